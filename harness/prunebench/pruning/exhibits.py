"""Makes the exhibit of a suite out of the cache: what its methods keep of the data, at the first seed."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import Dataset
from prunebench.errors import DataError
from prunebench.exhibit import SHARED, Exhibit, Opinion, encode_exhibit
from prunebench.plan import NONE, Goal, Plan
from prunebench.records import write_bytes
from prunebench.store import Store
from prunebench.tasks import Task

ON_MAP, EXTREMES, BINS, GREYS = 300, 4, 40, 16
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def export_exhibit(plan: Plan, data: Dataset, store: Store, results: Path, licence: str) -> Path:
    """Write results/<suite>/<data set>/exhibit.json and return its path.  licence: of the images.  Raises
    DataError where what it shows is not in the cache."""
    exhibit = make_exhibit(plan, data, store, licence)
    write_bytes(results / exhibit.file, encode_exhibit(exhibit), "name another folder with --results DIR")
    return results / exhibit.file


def make_exhibit(plan: Plan, data: Dataset, store: Store, licence: str) -> Exhibit:
    """Return the exhibit of a suite: a seeded sample of its training set, balanced over the classes.  Raises DataError
    where what it shows is not in the cache."""
    goals = _chosen(plan)
    features, projection, places = _map(goals, store, plan.suite.name)
    there = np.flatnonzero(np.isfinite(places).all(axis=1))
    labels = data.train.labels
    sample = _balanced(labels[there], ON_MAP)
    shown, thought = there[sample], [_thoughts(group, labels, data.n_classes, store) for group in _methods(goals)]
    extremes = {int(row) for *_, best, worst in thought for side in (best, worst) for rows in side for row in rows}
    tiles = np.concatenate([shown, np.array(sorted(extremes - {*shown.tolist()}), dtype=np.int64)])
    tile_of = {row: tile for tile, row in enumerate(tiles.tolist())}
    low, high = np.quantile(places[there], [0.005, 0.995], axis=0)
    x, y = (np.clip((places[shown] - low) / (high - low), 0, 1) * 1000).round().astype(int).T.tolist()
    sheet, columns, size = _sheet(data, tiles) if licence in SHARED else ("", 0, (0, 0))
    axes = goals[0].axes
    return Exhibit(
        schema=1, suite=plan.suite.name, dataset=plan.suite.dataset, protocol=plan.protocol, licence=licence,
        dataset_fingerprint=axes["dataset_fingerprint"], seed=axes["seed"], n=len(labels), n_mapped=len(there),
        backbone=_named(goals, features, "score_backbone"),
        projector=_named(goals, projection, "projector") if projection else "pca",
        features_key=features.key, projection_key=projection.key if projection else "",
        classes=list(data.class_names), x=x, y=y, labels=labels[tiles].tolist(),
        ids=[data.train.ids[row] for row in tiles.tolist()], sheet=sheet, columns=columns, tile=size,
        opinions=[_opinion(*one, shown, tile_of) for one in thought],
    )  # fmt: skip


def _named(goals: Sequence[Goal], task: Task, axis: str) -> str:
    """Return what the goals that read a task have on an axis, such as "score_backbone"."""
    return next(str(goal.axes[axis]) for goal in goals if task.key in {one.key for one in goal.task.ancestors()})


def _chosen(plan: Plan) -> list[Goal]:
    """Return the cells of the first seed, of the first network that is trained and the first backbone that scores."""
    if not plan.cells:
        raise DataError(f"suite {plan.suite.name!r} trains on no selection", "name a suite with training")
    first = plan.suite.training[0]
    backbones = (*plan.suite.backbones[:1], NONE)
    return [
        goal for goal in plan.cells
        if goal.axes["seed"] == 0 and goal.axes["score_backbone"] in backbones and goal.axes["role"] != "unpruned"
        and (goal.axes["train_arch"], goal.axes["recipe"]) == (first.arch, first.recipe)
    ]  # fmt: skip


def _methods(goals: Sequence[Goal]) -> Iterator[list[Goal]]:
    """Yield the cells of each method by falling fraction that is kept."""
    groups: dict[tuple[str, str], list[Goal]] = {}
    for goal in goals:
        groups.setdefault((goal.axes["method"], goal.axes["projector"]), []).append(goal)
    for group in groups.values():
        yield sorted(group, key=lambda goal: -float(goal.axes["keep"]))


def _read(store: Store, task: Task, suite: str) -> Any:
    found = store.read(task.stage, task.key)
    if found is None:
        text = f"the {task.stage} {task.key[:12]} is not in the cache"
        raise DataError(text, f"compute it first: prunebench run {suite} --seeds 1, with the same --cache")
    return found


def _map(goals: Sequence[Goal], store: Store, suite: str) -> tuple[Task, Task | None, Floats]:
    """Return what the map shows, features and their projection, and the places float64 [n, 2], NaN where there is none:
    the projection of most samples, or the two principal components of the features where nothing is projected."""
    tasks = {task.key: task for goal in goals for task in goal.task.ancestors()}
    read = [(task, _read(store, task, suite)) for task in tasks.values() if task.stage in ("features", "projection")]
    flat = [(task, array) for task, found in read if task.stage == "projection"
            for array in [found.arrays["projection"]] if array.shape[1] == 2]  # fmt: skip
    if flat:
        best, array = max(flat, key=lambda one: int(np.isfinite(one[1]).all(axis=1).sum()))
        return best.upstream["features"], best, array.astype(np.float64)
    features = next(((task, found.arrays["train_features"]) for task, found in read if task.stage == "features"), None)
    if features is None:
        raise DataError(f"no method of suite {suite!r} reads features", "name a suite with a backbone")
    centred = features[1].astype(np.float64) - features[1].mean(axis=0)
    _, _, axes = np.linalg.svd(centred[:: max(1, len(centred) // 5000)], full_matrices=False)
    return features[0], None, centred @ axes[:2].T


def _balanced(labels: Ints, size: int) -> Ints:
    """Return positions of a seeded sample, sorted, with as many of each class as there are."""
    order = np.random.default_rng(0).permutation(len(labels))
    classes, counts = np.unique(labels, return_counts=True)
    each = -(-size // len(classes))
    taken = [order[labels[order] == one][: min(each, n)] for one, n in zip(classes, counts, strict=True)]
    return np.sort(np.concatenate(taken)[: max(size, len(classes))])


def _thoughts(
    group: Sequence[Goal], labels: Ints, n_classes: int, store: Store
) -> tuple[Goal, Floats, dict[str, NDArray[np.bool_]], Floats, list[Ints], list[Ints]]:
    """Return a cell of a method, its scores, what it keeps by fraction, the share of better scores in the class, and
    the best and worst rows of each class.  Where scores depend on the budget, they are those of the smallest."""
    kept, suite = {}, str(group[0].axes["suite"])
    for goal in group:
        subset = _read(store, goal.task.upstream["subset"], suite)
        kept[goal.axes["keep"]] = np.isin(np.arange(len(labels)), subset.arrays["indices"])
    scores = (
        _read(store, group[-1].task.upstream["subset"].upstream["scores"], suite).arrays["scores"].astype(np.float64)
    )
    better, best, worst = np.zeros(len(labels)), [], []
    for one in range(n_classes):
        rows = np.flatnonzero(labels == one)
        own = np.sort(-scores[rows])
        better[rows] = np.searchsorted(own, -scores[rows]) / max(len(rows), 1)
        order = rows[np.argsort(-scores[rows], kind="stable")]
        best.append(order[:EXTREMES])
        worst.append(order[::-1][:EXTREMES])
    return group[-1], scores, kept, better, best, worst


def _opinion(
    goal: Goal, scores: Floats, kept: dict[str, NDArray[np.bool_]], better: Floats, best: list[Ints], worst: list[Ints],
    shown: Ints, tile_of: dict[int, int],
) -> Opinion:  # fmt: skip
    finite = np.isfinite(scores)
    low, high = (float(scores[finite].min()), float(scores[finite].max())) if finite.any() else (0.0, 0.0)
    low, high = float(f"{low:.6g}"), float(f"{high:.6g}")
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)

    def counts(rows: NDArray[np.bool_]) -> list[int]:
        inside = np.clip(scores[rows & finite], edges[0], edges[-1])  # the ends are rounded
        return list(map(int, np.histogram(inside, edges)[0]))

    axes = goal.axes
    return Opinion(
        method=axes["method"], projector=axes["projector"], score_backbone=axes["score_backbone"],
        scores_key=goal.task.upstream["subset"].upstream["scores"].key,
        better=(better[shown] * 1000).round().astype(int).tolist(),
        kept={keep: "".join(map(str, flags[shown].astype(int))) for keep, flags in kept.items()},
        low=low, high=high, counts=counts(np.ones(len(scores), dtype=np.bool_)),
        kept_counts={keep: counts(flags) for keep, flags in kept.items()},
        best=[[tile_of[row] for row in rows.tolist()] for rows in best],
        worst=[[tile_of[row] for row in rows.tolist()] for rows in worst],
    )  # fmt: skip


def _sheet(data: Dataset, rows: Ints) -> tuple[str, int, tuple[int, int]]:
    """Return the pictures of some samples as a data URI of one PNG, the number of columns, and the size of a tile."""
    from PIL import Image

    if data.train.images is None:
        return "", 0, (0, 0)
    images = data.train.images[rows]
    _, height, width, channels = images.shape
    columns = math.ceil(math.sqrt(len(rows)))
    sheet = np.zeros((math.ceil(len(rows) / columns) * height, columns * width, channels), dtype=np.uint8)
    for tile, image in enumerate(images):
        top, left = tile // columns * height, tile % columns * width
        sheet[top : top + height, left : left + width] = image
    file = io.BytesIO()
    if channels == 1:
        step = 256 // GREYS  # a palette of 16 greys takes half the room
        picture = Image.fromarray(sheet[:, :, 0] // step, mode="P")
        picture.putpalette([grey * 255 // (GREYS - 1) for grey in range(GREYS) for _ in "rgb"])
        picture.save(file, "PNG", optimize=True, bits=4)
    else:
        Image.fromarray(sheet).quantize(64).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}", columns, (width, height)
