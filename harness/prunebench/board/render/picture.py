"""The picture of the README: what two suites say of the same methods, drawn by a template as SVG."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from prunebench.board.cells import BASELINE, MEAN, WHOLE, label
from prunebench.board.claims import Labels, Picture
from prunebench.board.correlation import CROSS
from prunebench.board.render.charts import Scale, ticks
from prunebench.board.render.view import Row, records
from prunebench.board.table import Board


class Mark(NamedTuple):
    """One method; kind: the group that it belongs to.  agreement, accuracy: its row, None where there is no number;
    pairs: the agreement of each pair of networks."""

    label: str
    kind: str
    agreement: Row | None
    pairs: list[float]
    accuracy: Row | None


def picture(board: Board, spec: Picture, groups: Mapping[str, Labels]) -> dict[str, Any]:
    """Return what the template draws: methods from the highest agreement down, and a scale for either side."""
    pairs, cells = board.rank_correlation, board.accuracy
    pairs, cells = pairs[pairs.suite == spec.agreement], cells[cells.suite == spec.accuracy]
    compared = records(pairs[(pairs.quantity == "score_rho") & (pairs.comparison == CROSS)])
    trained = records(cells[(cells.keep == spec.keep) & cells.score_backbone.isin(WHOLE)])
    marks = []
    for name in spec.methods:
        mine = [row for row in compared if label(row) == name and row["value"] is not None]
        whole = next((row for row in mine if row["a"] == MEAN), None)
        alone = [row["value"] for row in mine if row["a"] != MEAN]
        gain = next((row for row in trained if label(row) == name and row["gain_mean"] is not None), None)
        kind = next((kind for kind, labels in groups.items() if name in labels), "")
        marks.append(Mark(name, kind, whole, alone, gain))
    marks.sort(key=lambda mark: (-mark.agreement["value"] if mark.agreement else 1.0, mark.label))
    ends = [mark.accuracy[f"gain_{end}"] or mark.accuracy["gain_mean"]
            for mark in marks if mark.accuracy for end in ("low", "high")]  # fmt: skip
    return {
        "spec": spec, "marks": marks, "kinds": [kind for kind in groups if any(mark.kind == kind for mark in marks)],
        "left": Scale([0, 0.25, 0.5, 0.75, 1], 215, 465),
        "right": Scale(ticks(min([*ends, 0.0]), max([*ends, 0.0])), 520, 770),
        "n_networks": len({row[side] for row in compared for side in "ab"} - {MEAN}),
        "training": f"{trained[0]['train_arch']}, {trained[0]['dataset']}" if trained else "not run",
        "dataset": compared[0]["dataset"] if compared else "not run",
        "baseline": next((label(row) for row in trained if row["role"] == BASELINE), ""),
    }  # fmt: skip
