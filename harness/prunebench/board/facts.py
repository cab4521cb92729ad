"""What the board says beside its numbers: titles, commands, failures, sources, and what the seeds moved."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunebench.board.cells import METHOD, NONE, SECTION, UNPRUNED, groups, label, plain
from prunebench.board.grid import TABLE
from prunebench.registry import Suite, without_noise

PLACES = {
    "": ("train_arch",), "keep ": ("keep",), "scored with ": ("score_backbone", "backbone_a", "backbone_b"),
    "seeds ": ("seed", "seed_a", "seed_b"),
}  # fmt: skip
UNKNOWN = "The records do not say what the seeds moved."
LINE = ("projector", "method", "score_backbone", "keep")
SOURCES = (
    "method", "projector", "role", *(name for names in PLACES.values() for name in names if name != "train_arch"),
    "features_key", "scores_key_a", "scores_key_b", "prunebench_version", "git_commit", "git_dirty",
)  # fmt: skip
KEYS = ("status", "features_key", "proxy_key", "scores_key", "subset_digest", "train_key")


def section_facts(
    every: pd.DataFrame, suites: Mapping[str, Suite], registry_file: str | None, needs_data: Collection[str]
) -> pd.DataFrame:
    """Return one row per section: its title, the command that computes it, and where its records come from."""
    rows, sections = [], every[SECTION].drop_duplicates()
    for section, members in groups(every[[*SECTION, *SOURCES]], SECTION):
        cells, compared = members[members.backbone_a.isna()], members[members.backbone_a.notna()]
        command = run_command(members, suites.get(section[0]), registry_file, section[1] in needs_data)
        rows.append({
            **dict(zip(SECTION, section, strict=True)), "title": _title(sections, *section), "command": command,
            "varied_scores": varied_in_scores(compared, networks_of(cells)),
            "prunebench_versions": _listed(members, "prunebench_version"),
            "git_commits": _listed(members, "git_commit"), "n_cells": len(cells),
            "n_cells_dirty": int(cells.git_dirty.sum()), "n_comparisons": len(compared),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _title(sections: pd.DataFrame, suite: str, dataset: str, protocol: str, fingerprint: str) -> str:
    """Return "suite on data set", with protocol and data where one suite has results of several."""
    same = sections[(sections.suite == suite) & (sections.dataset == dataset)]
    title = f"{suite} on {dataset}" + (f", protocol {protocol}" if same.protocol.nunique() > 1 else "")
    return title + (f", data {fingerprint[:8]}" if same.dataset_fingerprint.nunique() > 1 else "")


def _values(records: pd.DataFrame, *names: str) -> set[Any]:
    """Return what the records hold in some fields, but for nothing."""
    return {value for name in names for value in records[name].dropna()} - {"", "-"}


def _listed(records: pd.DataFrame, *names: str) -> str:
    return ", ".join(map(str, sorted(_values(records, *names))))


def run_command(records: pd.DataFrame, suite: Suite | None, registry_file: str | None, data: bool) -> str:
    """Return the command that computes the records: no budget and no seed that they do not have."""
    keeps = sorted({plain(keep) for keep in _values(records[records.role != UNPRUNED], "keep")}, key=Decimal)
    options = [("--seeds", str(max(_values(records, *PLACES["seeds "])) + 1))]
    options += [("--keep", keep) for keep in reversed(keeps)]
    options += adding(_values(records, "method"), suite) if suite else []
    options += [("--registry", registry_file)] if registry_file else []
    return command_of(records.suite.iloc[0], options, data)


def adding(methods: Collection[str], suite: Suite) -> list[tuple[str, str]]:
    """Return the options that add to a suite those of some methods that it does not have."""
    known = {*suite.methods, *suite.agreement.methods, suite.unpruned, suite.baseline}
    return [("--with", method) for method in sorted({*methods} - known)]


def command_of(suite: str, options: Iterable[tuple[str, str]], data: bool) -> str:
    """Return a command that runs a suite; data: whether its data lie in a folder of the user's."""
    words = (word for option in options for word in option)
    return shlex.join(["prunebench", "run", suite, *words]) + (" --data DIR" if data else "")


def table_facts(cells: pd.DataFrame) -> pd.DataFrame:
    """Return one row per table of accuracies: what is trained, over how many seeds, and what those moved."""
    several = cells.groupby(TABLE[:-1]).recipe_digest.nunique()
    rows = []
    for table, members in groups(cells[[*TABLE, *LINE, "seed", *KEYS]], TABLE):
        *_, arch, recipe, digest = table
        content = f" ({digest[:8] or 'unknown'})" if several.loc[table[:-1]] > 1 else ""
        rows.append({
            **dict(zip(TABLE, table, strict=True)), "title": f"{arch}, recipe {recipe}{content}",
            "n_seeds": members.seed.nunique(), "varied": varied_in_cells(members),
        })  # fmt: skip
    return pd.DataFrame(rows, columns=[*TABLE, "title", "n_seeds", "varied"])


def failures(every: pd.DataFrame) -> pd.DataFrame:
    """Return the records without a value, one row per section, status and reason."""
    lost = every[every.status != "ok"].assign(status=lambda rows: rows.status.str.replace("_", " "))
    rows = [
        {
            **dict(zip(SECTION, place, strict=False)), "status": place[-2], "reason": place[-1],
            "methods": ", ".join(sorted({label(row) for row in members[METHOD].to_dict("records")})),
            "n_records": len(members),
            "where": "; ".join(f"{text}{at}" for text, names in PLACES.items() if (at := _listed(members, *names))),
        }
        for place, members in groups(lost, [*SECTION, "status", "status_reason"])
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=[*SECTION, "status", "reason", "methods", "n_records", "where"])


def varied_in_cells(cells: pd.DataFrame) -> str:
    """Return the sentence of a table of accuracies."""
    cells = cells[cells.status == "ok"]
    if cells.seed.nunique() < 2:
        return "There is one seed, so no number has an interval." if len(cells) else ""
    if not ((cells.train_key != "") & (cells.scores_key != "")).any():
        return UNKNOWN
    scores = _distinct(cells, "scores_key", (*LINE, "features_key", "proxy_key"))  # of one network and one proxy run
    moved = _moved(scores, _distinct(cells, "scores_key", LINE))
    if _most(_distinct(cells[cells.scores_key != ""], "subset_digest", (*LINE, "scores_key"))) > 1:
        moved.append("the selection")
    # The same subset trained to another network: the training has a seed of its own.
    training = _most(_distinct(cells[cells.subset_digest != ""], "train_key", (*LINE, "subset_digest")))
    return _sentence(moved, networks_of(cells), _most(_distinct(cells, "proxy_key", LINE)), training > 1)


def networks_of(cells: pd.DataFrame) -> int:
    """Return how many networks of one name scored the samples, over all seeds; 0 where the records do not say."""
    return _most(_distinct(cells, "features_key", ("score_backbone",)))


def varied_in_scores(compared: pd.DataFrame, networks: int) -> str:
    """Return the sentence of a table of agreement of scores; networks: of one name, 0 for an unknown number."""
    names = ["projector", "method", "score_backbone", "seed", "scores_key"]
    sides = [compared[["projector", "method", f"backbone_{x}", f"seed_{x}", f"scores_key_{x}"]].set_axis(names, axis=1)
             for x in "ab"]  # fmt: skip
    both = pd.concat(sides)
    if both.seed.nunique() < 2:
        return "There is one seed, so no number has an interval, and there is no ceiling." if len(both) else ""
    keys = _distinct(both, "scores_key", names[:3])
    if keys.empty:
        return UNKNOWN
    clean = keys[~_noisy(keys)]
    backbones = clean.index.get_level_values("score_backbone")
    fixed = set(backbones[clean == 1]) == set(backbones)  # scores that are equal at all seeds come from one network
    return _sentence(_moved(keys[:0] if networks > 1 else keys, keys), 1 if fixed else networks, 0, False)


def _distinct(cells: pd.DataFrame, key: str, same: Sequence[str]) -> pd.Series[int]:
    """Return the number of distinct values of `key` among cells that are the same in the fields `same`."""
    return cells.loc[cells[key] != "", [*same, key]].groupby(list(same))[key].nunique()


def _most(counts: pd.Series[int]) -> int:
    return int(counts.max()) if len(counts) else 0


def _moved(own: pd.Series[int], scores: pd.Series[int]) -> list[str]:
    """Return what moved the scores; own: those of one network and one proxy run."""
    own, clean, noise = own[~_noisy(own)], scores[~_noisy(scores)], bool((scores[_noisy(scores)] > 1).any())
    randomness = bool((own[own.index.get_level_values("projector") == NONE] > 1).any())
    projection = bool((clean[clean.index.get_level_values("projector") != NONE] > 1).any())
    moved = {"the methods' own randomness": randomness, "the projection": projection, "the noise in features": noise}
    return [what for what, is_moved in moved.items() if is_moved]


def _noisy(counts: pd.Series[int]) -> NDArray[np.bool_]:
    """Return which of some counts are of a backbone under noise."""
    names = counts.index.get_level_values("score_backbone")
    return np.array([without_noise(name)[1] != "" for name in names], dtype=np.bool_)


def _sentence(moved: Sequence[str], networks: int, proxies: int, training: bool) -> str:
    moved = [*moved, *[f"the scoring network ({networks} per backbone)"] * (networks > 1)]
    moved += [f"the proxy run ({proxies} of them)"] * (proxies > 1) + ["the training"] * training
    text = f"Seeds move {listed(moved)}" if moved else "Seeds move nothing here: every method is deterministic"
    shared = ["one network per backbone"] * (networks == 1) + ["one proxy run"] * (proxies == 1)
    return text + (f"; {listed(shared)} {'is' if len(shared) == 1 else 'are'} shared by all seeds." if shared else ".")


def listed(parts: Sequence[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
