"""The row of the committed board that comes nearest to what a person does with own data."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import msgspec

from prunebench.guard import read_text, told
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


class _Row(msgspec.Struct, kw_only=True):
    """A row of accuracy.csv."""

    suite: str
    dataset: str
    protocol: str
    method: str
    projector: str
    role: str
    score_backbone: str
    keep: Annotated[str, msgspec.Meta(pattern=r"^(1|0?\.[0-9]{1,20})$")]
    train_arch: str
    recipe: str
    n_observations: Annotated[float, msgspec.Meta(ge=0, le=1e15)]
    accuracy_mean: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    gain_mean: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    gain_n_seeds: Annotated[float, msgspec.Meta(ge=0, le=1e15)] = 0


def nearest_board_row(method: str, keep: float, *, projector: str = "", board: Path | None = None) -> BoardRow | None:
    """Return the row of a method at the kept fraction that is nearest; None where there is no board or no such row.

    keep: fraction 0..1.  projector: the row with this one goes before others.  board: an accuracy.csv, by default that
    of the checkout, or the one that ships with prunebench.  Equally near rows go to the larger pruning rate, then to
    the one that was trained more often."""
    path = board or next(filter(Path.is_file, _places()), None)
    if path is None:
        return None
    with told(path, "write it again with `prunebench leaderboard`"):
        text = read_text(path)
        given = [{name: cell for name, cell in row.items() if cell} for row in csv.DictReader(io.StringIO(text))]
        table = msgspec.convert(given, list[_Row], strict=False)
    own = [row for row in table if row.method == method and row.role in ("method", "baseline")
           and row.score_backbone in _OVER_BACKBONES and row.accuracy_mean is not None]  # fmt: skip
    if not own:
        return None
    row = min(own, key=lambda row: (
        row.projector not in ("-", projector), round(abs(float(row.keep) - keep), 9), float(row.keep),
        -row.n_observations, row.suite,
    ))  # fmt: skip
    same = ("suite", "dataset", "protocol", "train_arch", "recipe")
    whole = [other for other in table if other.role == "unpruned"]
    everything = [one.accuracy_mean for one in whole if all(getattr(one, key) == getattr(row, key) for key in same)]
    gain = (
        None if row.gain_mean is None else Interval(row.gain_mean, row.gain_low, row.gain_high, int(row.gain_n_seeds))
    )
    return BoardRow(
        suite=row.suite, dataset=row.dataset, method=method, projector=row.projector, keep=row.keep,
        arch=row.train_arch, recipe=row.recipe,
        accuracy=Interval(row.accuracy_mean or 0.0, row.accuracy_low, row.accuracy_high, int(row.n_observations)),
        gain=gain, everything=everything[0] if everything else None,
    )  # fmt: skip


def _places() -> tuple[Path, Path]:
    """Return where the board lies: in a checkout, and in an installed package."""
    package = Path(str(resources.files("prunebench")))
    return package.parents[1] / "results" / "board" / "accuracy.csv", package / "board.csv"


def _limits(found: Interval, sign: str) -> str:
    if found.low is None or found.high is None:
        return ""
    return f" [{100 * found.low:{sign}.1f}, {100 * found.high:{sign}.1f}]"
