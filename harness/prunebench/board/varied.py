"""What the seeds of a table moved and what they shared, read from the keys of its records, in one plain sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prunebench.board.grid import NONE
from prunebench.records import AgreementRecord, CellRecord

UNKNOWN = "The records do not say what the seeds moved."
LINE = ("projector", "method", "score_backbone", "keep")


def varied_in_cells(cells: Sequence[CellRecord]) -> str:
    """Return the sentence of a table of accuracies."""
    cells = [cell for cell in cells if cell.status == "ok"]
    if len({cell.seed for cell in cells}) < 2:
        return "There is one seed, so no number has an interval." if cells else ""
    if not any(cell.train_key and cell.scores_key for cell in cells):
        return UNKNOWN
    moved = _moved(_distinct(cells, "scores_key", LINE))
    # The same subset trained to another network: the training has a seed of its own.
    same = [cell for cell in cells if cell.subset_digest]
    if _most(_distinct(same, "train_key", (*LINE, "subset_digest"))) > 1:
        moved.append("the training")
    networks = _most(_distinct(cells, "features_key", ("score_backbone",)))
    return _sentence(moved, networks, _most(_distinct(cells, "proxy_key", LINE)))


def varied_in_scores(records: Sequence[AgreementRecord]) -> str:
    """Return the sentence of a table of agreement of scores."""
    sides = [(record, *side) for record in records for side in scored(record)]
    if len({seed for _, _, seed, _ in sides}) < 2:
        return "There is one seed, so no number has an interval, and there is no ceiling." if records else ""
    keys: dict[tuple[Any, ...], set[Any]] = defaultdict(set)
    for record, backbone, _, key in sides:
        if key:
            keys[record.projector, record.method, backbone].add(key)
    # Scores that are equal at all seeds come from one network.
    fixed = {place[-1] for place, found in keys.items() if len(found) == 1}
    return _sentence(_moved(keys), int(fixed == {place[-1] for place in keys}), 0) if keys else UNKNOWN


def scored(record: AgreementRecord) -> list[tuple[str, int, str]]:
    """Return (backbone, seed, key of the scores) of the two sides of a comparison."""
    return [(record.backbone_a, record.seed_a, record.scores_key_a),
            (record.backbone_b, record.seed_b, record.scores_key_b)]  # fmt: skip


def _distinct(cells: Iterable[CellRecord], key: str, same: Sequence[str]) -> dict[tuple[Any, ...], set[Any]]:
    """Return the distinct values of `key` among cells that are the same in the fields `same`."""
    found: dict[tuple[Any, ...], set[Any]] = defaultdict(set)
    for cell in cells:
        if value := getattr(cell, key):
            found[tuple(getattr(cell, name) for name in same)].add(value)
    return found


def _most(found: Mapping[tuple[Any, ...], set[Any]]) -> int:
    return max(map(len, found.values()), default=0)


def _moved(scores: Mapping[tuple[Any, ...], set[Any]]) -> list[str]:
    projected = {place[0] != NONE for place, keys in scores.items() if len(keys) > 1}
    return ["the methods' own randomness"] * (False in projected) + ["the projection"] * (True in projected)


def _sentence(moved: Sequence[str], networks: int, proxies: int) -> str:
    text = f"Seeds move {listed(moved)}" if moved else "Seeds move nothing here: every method is deterministic"
    several = [f"{networks} networks per backbone"] * (networks > 1) + [f"{proxies} proxy runs"] * (proxies > 1)
    shared = ["one network per backbone"] * (networks == 1) + ["one proxy run"] * (proxies == 1)
    text += f", over {listed(several)}" if several else ""
    return text + (f"; {listed(shared)} {'is' if len(shared) == 1 else 'are'} shared by all seeds." if shared else ".")


def listed(parts: Sequence[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
