"""The row of the committed board that comes nearest to what a person does with own data."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from prunebench.stats.moderated import Interval

_OVER_BACKBONES = ("-", "mean")  # score_backbone of a method's own row; the others are those of single backbones


@dataclass(frozen=True, kw_only=True)
class BoardRow:
    """What a method did on a data set of the board, at a kept fraction as it is written there.

    arch, recipe: the network that is trained on what it keeps, and how.  accuracy: of that network on the test part of
    the data set, with a 95 % interval.  gain: over random, None for random.
    everything: accuracy of the network trained on everything, None where the board has none."""

    suite: str
    dataset: str
    method: str
    projector: str
    keep: str
    arch: str
    recipe: str
    accuracy: Interval
    gain: Interval | None
    everything: float | None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        import msgspec

        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    def text(self) -> str:
        """Return it in one sentence."""
        told = f"On the board, {self.dataset} at keep {self.keep}: {self.method} {100 * self.accuracy.mean:.1f} %"
        told += _limits(self.accuracy, "")
        if self.gain is not None:
            told += f", {100 * self.gain.mean:+.1f}{_limits(self.gain, '+')} points over random"
        told += f"; everything {100 * self.everything:.1f} %" if self.everything is not None else ""
        return f"{told} (test accuracy on those data, not on yours, of {self.arch} trained by {self.recipe})."


def nearest_board_row(method: str, keep: float, *, projector: str = "", board: Path | None = None) -> BoardRow | None:
    """Return the row of a method at the kept fraction that is nearest; None where there is no board or no such row.

    keep: fraction 0..1.  projector: the row with this one goes before others.  board: an accuracy.csv, by default that
    of the checkout, or the one that ships with prunebench.  Equally near rows go to the larger pruning rate, then to
    the one that was trained more often."""
    path = board or next(filter(Path.is_file, _places()), None)
    if path is None:
        return None
    with path.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    own = [row for row in table if row["method"] == method and row["role"] in ("method", "baseline")
           and row["score_backbone"] in _OVER_BACKBONES and row["accuracy_mean"]]  # fmt: skip
    if not own:
        return None
    row = min(own, key=lambda row: (
        row["projector"] not in ("-", projector), round(abs(float(row["keep"]) - keep), 9), float(row["keep"]),
        -int(row["n_observations"]), row["suite"],
    ))  # fmt: skip
    same = ("suite", "dataset", "protocol", "train_arch", "recipe")
    everything = [other["accuracy_mean"] for other in table
                  if other["role"] == "unpruned" and all(other[key] == row[key] for key in same)]  # fmt: skip
    return BoardRow(
        suite=row["suite"], dataset=row["dataset"], method=method, projector=row["projector"], keep=row["keep"],
        arch=row["train_arch"], recipe=row["recipe"],
        accuracy=_interval(row, "accuracy", row["n_observations"]),
        gain=_interval(row, "gain", row["gain_n_seeds"]) if row["gain_mean"] else None,
        everything=float(everything[0]) if everything else None,
    )  # fmt: skip


def _places() -> tuple[Path, Path]:
    """Return where the board lies: in a checkout, and in an installed package."""
    package = Path(str(resources.files("prunebench")))
    return package.parents[1] / "results" / "board" / "accuracy.csv", package / "board.csv"


def _interval(row: Mapping[str, str], name: str, n: str) -> Interval:
    low, high = (float(row[f"{name}_{end}"]) if row[f"{name}_{end}"] else None for end in ("low", "high"))
    return Interval(float(row[f"{name}_mean"]), low, high, int(float(n)))


def _limits(found: Interval, sign: str) -> str:
    if found.low is None or found.high is None:
        return ""
    return f" [{100 * found.low:{sign}.1f}, {100 * found.high:{sign}.1f}]"
