"""What the seeds of a table moved and what they shared, read from the keys of its records, in one plain sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from prunebench.board.grid import NONE
from prunebench.records import AgreementRecord, CellRecord

UNKNOWN = "The records do not say what the seeds moved."


def varied_in_cells(cells: Sequence[CellRecord]) -> str:
    """Return the sentence of a table of accuracies."""
    cells = [cell for cell in cells if cell.status == "ok"]
    if len({cell.seed for cell in cells}) < 2:
        return "There is one seed, so no number has an interval." if cells else ""
    if not any(cell.train_key and cell.scores_key for cell in cells):
        return UNKNOWN
    line = ("method", "projector", "score_backbone", "keep")
    scores = _distinct(cells, "scores_key", line)
    projected = {place[1] != NONE for place, keys in scores.items() if len(keys) > 1}
    moved = ["the methods' own randomness"] if False in projected else []
    moved += ["the projection"] if True in projected else []
    # The same subset trained to another network: the training has a seed of its own.
    same = [cell for cell in cells if cell.subset_digest]
    if _most(_distinct(same, "train_key", (*line, "subset_digest", "train_arch"))) > 1:
        moved.append("the training")
    return _sentence(moved, {
        "network per backbone": _most(_distinct(cells, "features_key", ("score_backbone",))),
        "proxy run": _most(_distinct(cells, "proxy_key", line)),
    })  # fmt: skip


def varied_in_scores(records: Sequence[AgreementRecord]) -> str:
    """Return the sentence of a table of agreement of scores."""
    keys: dict[tuple[object, ...], set[str]] = defaultdict(set)
    seeds = set()
    for record in records:
        for backbone, seed, key in scored(record):
            seeds.add(seed)
            if key:
                keys[record.projector != NONE, record.method, record.projector, backbone].add(key)
    if len(seeds) < 2:
        return "There is one seed, so no number has an interval and there is no ceiling." if records else ""
    if not keys:
        return UNKNOWN
    projected = {place[0] for place, found in keys.items() if len(found) > 1}
    moved = ["the methods' own randomness"] if False in projected else []
    moved += ["the projection"] if True in projected else []
    # Scores that are equal at all seeds come from one network.
    fixed = {place[-1] for place, found in keys.items() if len(found) == 1}
    return _sentence(moved, {"network per backbone": int(fixed == {place[-1] for place in keys})})


def scored(record: AgreementRecord) -> list[tuple[str, int, str]]:
    """Return (backbone, seed, key of the scores) of the two sides of a comparison."""
    return [
        (record.backbone_a, record.seed_a, record.scores_key_a),
        (record.backbone_b, record.seed_b, record.scores_key_b),
    ]


def _distinct(cells: Iterable[CellRecord], key: str, same: Sequence[str]) -> Mapping[tuple[object, ...], set[object]]:
    """Return the distinct values of `key` among cells that are the same in the fields `same`."""
    found: dict[tuple[object, ...], set[object]] = defaultdict(set)
    for cell in cells:
        if value := getattr(cell, key):
            found[tuple(getattr(cell, name) for name in same)].add(value)
    return found


def _most(found: Mapping[tuple[object, ...], set[object]]) -> int:
    return max(map(len, found.values()), default=0)


def _sentence(moved: Sequence[str], counts: Mapping[str, int]) -> str:
    text = f"Seeds move {listed(moved)}" if moved else "Seeds move nothing here: every method is deterministic"
    for name, count in counts.items():
        if count > 1:
            text += f", over {count} {name.replace(' ', 's ', 1) if ' per ' in name else name + 's'}"
    shared = [f"one {name}" for name, count in counts.items() if count == 1]
    if shared:
        text += f"; {listed(shared)} {'is' if len(shared) == 1 else 'are'} shared by all seeds"
    return text + "."


def listed(parts: Sequence[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
