"""What holds for every bundled scorer: exact budgets, indices that stay with their samples, any kind of label."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import spearmanr

from prunebench import Arch, DataError, Dataset, DatasetSpec, EmbedContext, ScoreContext, Scores, SelectContext, Split
from prunebench.plugins import Entry, load_plugins
from prunebench.stages.data import load_dataset
from prunebench.stages.evidence import last_layer_gradients
from prunebench.testing import entry_of, with_defaults
from prunebench.testing.cases import call
from prunebench.testing.problems import FLOATS, Problem, mapped, ordinary, small_classes
from prunebench.toolbox import class_quotas, n_keep, preference_order

CATALOGUE = load_plugins()
# Smaller defaults where a run takes seconds; what is tested does not depend on them.
SMALLER = {
    "echo": {"encoder_epochs": 2},
    "elfs": {"heads": 2, "epochs": 10, "hidden": 16, "bottleneck": 8},
    "ripsnet": {"train_clouds": 32, "gate_samples": 0, "repeats": 2, "max_epochs": 1},
    "ripsnet-exact": {"repeats": 2},
    "stable-topocore": {"repeats": 5},
    "zcore": {"draws": 500},
}
SCORERS = {
    name: with_defaults(entry, SMALLER.get(name, {}))
    for name, entry in sorted(CATALOGUE.entries["scorers"].items())
    if entry.origin.distribution == "prunebench"
}
SEES_CLASSES = [  # those of the data; a labeller makes classes of its own
    name
    for name, entry in SCORERS.items()
    if entry.spec.needs & {"labels", "logits", "dynamics", "gradients"} and not entry.spec.labeller
]
EVERY = pytest.mark.parametrize("name", SCORERS)
Array = NDArray[Any]


def scored(entry: Entry[Any], problem: Problem, budget: int = 30, **params: Any) -> Scores:
    """Run a scorer on the arrays of a problem as they lie in memory."""
    for value in problem.evidence.values():
        for array in value if isinstance(value, tuple) else (value,):
            array.flags.writeable = False
    context = ScoreContext(
        params=entry.spec.resolve_params(params),
        n=problem.n,
        n_classes=problem.n_classes,
        scorer=entry.spec.name,
        evidence={kind: value for kind, value in problem.evidence.items() if kind in entry.spec.needs},
        budget=budget if entry.spec.budget_dependent else None,
    )
    returned = call(entry, context)
    if isinstance(returned, Scores):
        return returned
    if entry.spec.output == "order":
        return Scores(values=-np.argsort(returned).astype(np.float64))
    return Scores(values=returned)


@cache
def plain(name: str, **params: Any) -> Scores:
    """What a scorer makes of the ordinary problem of 101 samples."""
    return scored(SCORERS[name], ordinary(101), **params)


def kept(entry: Entry[Any], problem: Problem, budgets: list[int]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each budget, and what the scorer's own selector keeps for it."""
    select, found = CATALOGUE.selector(entry.spec.selector), scored(entry, problem, budgets[0])
    for budget in budgets:
        if entry.spec.budget_dependent:
            found = scored(entry, problem, budget)
        eligible = np.ones(problem.n, dtype=np.bool_) if found.excluded is None else ~found.excluded
        context = SelectContext(
            params=select.spec.resolve_params(entry.spec.selector_params),
            scores=found.values,
            labels=problem.labels,
            n_classes=problem.n_classes,
            n_keep=budget,
            order=preference_order(found.values, np.random.default_rng(1), eligible, found.refill),
            eligible=eligible,
        )
        chosen = select.load()(context)
        yield budget, np.sort(getattr(chosen, "indices", chosen))


def agreement(a: Scores, b: Scores) -> float:
    if np.ptp(a.values) == np.ptp(b.values) == 0:
        return 1.0
    return float(spearmanr(a.values, b.values).statistic)


# budgets


@EVERY
def test_the_selector_of_a_scorer_keeps_exactly_the_budget(name: str) -> None:
    n_classes = 7
    problem = ordinary(101, n_classes=n_classes)  # not a multiple
    for budget, indices in kept(SCORERS[name], problem, [1, n_classes, n_keep("0.333", 101), 100, 101]):
        assert len(indices) == len(np.unique(indices)) == budget
        assert indices[0] >= 0
        assert indices[-1] < 101
        if SCORERS[name].spec.selector in ("class_top", "strata"):
            quotas = class_quotas(problem.labels, n_classes, budget)
            assert np.bincount(problem.labels[indices], minlength=n_classes).tolist() == quotas.tolist()


@EVERY
def test_tiny_classes_do_not_cost_a_sample_of_the_budget(name: str) -> None:
    problem = small_classes()
    if name == "deepfool-last-layer":
        problem = ordinary(40, n_classes=4)  # it declines where the head cannot be known
    for budget, indices in kept(SCORERS[name], problem, [1, 4, 10, problem.n]):
        assert len(np.unique(indices)) == budget


# labels


def with_gaps(problem: Problem, numbers: Array, n_classes: int) -> Problem:
    """Return the problem with class c numbered numbers[c], among other classes that nothing belongs to."""

    def spread(kind: str, array: Array) -> Array:
        if kind == "labels":
            moved: Array = numbers[array]
            return moved
        by_class = kind in ("logits", "dynamics") or (kind == "gradients" and array.shape[1] == problem.n_classes)
        if not by_class:
            return array
        wide = np.full((*array.shape[:-1], n_classes), -60 if kind == "logits" else 0, dtype=array.dtype)
        wide[..., numbers] = array
        return wide

    return replace(mapped(problem, spread), n_classes=n_classes)


@pytest.mark.parametrize("name", SEES_CLASSES)
def test_labels_with_gaps_give_the_scores_of_labels_without(name: str) -> None:
    straight = plain(name)
    gaps = scored(SCORERS[name], with_gaps(ordinary(101), np.array([3, 7, 40]), 50))
    assert gaps.values == pytest.approx(straight.values, rel=1e-9, abs=1e-9 * np.ptp(straight.values))
    for one, other in ((straight.excluded, gaps.excluded), (straight.refill, gaps.refill)):
        assert (one is None) == (other is None)
        assert one is None or other is None or np.allclose(one, other)


def folder_of(root: Path, names: tuple[str, ...]) -> Dataset:
    """Three classes of small images in folders of these names, loaded as the image folder does."""
    generator = np.random.default_rng(0)
    for label, name in enumerate(names):
        for number in range(13 + 3 * label):
            place = root / ("test" if number == 0 else "train") / name / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            pixels = generator.normal(90 + 40 * label, 30, (8, 8, 3)).clip(0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(place)
    entry = CATALOGUE.dataset("image-folder")
    return load_dataset(entry, entry.spec.resolve_params({"path": str(root), "image_size": 8}), ())


@pytest.mark.parametrize("name", ["fdmat", "herding", "knn-density", "moderate"])
def test_the_names_of_the_classes_decide_nothing(name: str, tmp_path: Path) -> None:
    found = []
    for number, names in enumerate([("0", "1", "2"), ("zebra", "10", "9 lives")]):
        split = folder_of(tmp_path / str(number), names).train
        assert split.images is not None
        features = split.images.reshape(len(split), -1).astype(np.float32) / 255
        problem = replace(ordinary(len(split)), evidence={"features": features, "labels": split.labels.copy()})
        values = scored(SCORERS[name], problem, 9).values
        found.append({image.tobytes(): value for image, value in zip(split.images, values, strict=True)})
    assert len(found[0]) == 12 + 15 + 18
    assert found[1] == pytest.approx(found[0], rel=1e-6, abs=1e-9)


def strings(ctx: Any) -> Dataset:
    """A data set that gives the names of the classes where their numbers belong."""
    split = Split(
        images=None,
        features=np.zeros((2, 3), np.float32),
        labels=np.array(["cat", "dog"]),  # type: ignore[arg-type]
        ids=("a", "b"),
    )
    return Dataset(name="strings", train=split, test=split, class_names=("cat", "dog"))


def test_strings_as_labels_are_refused_with_what_to_do() -> None:
    entry = entry_of(DatasetSpec(name="strings", summary="A test.", load=f"{__name__}:strings"))
    with pytest.raises(DataError, match=r"labels are <U3 \[2\], expected int64 \[2\]") as caught:
        load_dataset(entry, {}, ())
    assert "class_names" in str(caught.value.hint)


# memory and precision


def strided(array: Array) -> Array:
    """Every second column of a wider array."""
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), dtype=array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


@EVERY
def test_the_layout_in_memory_does_not_matter(name: str) -> None:
    def elsewhere(kind: str, array: Array) -> Array:
        return strided(array) if kind in ("features", "dynamics") else np.asfortranarray(array)

    straight = plain(name)
    other = scored(SCORERS[name], mapped(ordinary(101), elsewhere))
    assert other.values == pytest.approx(straight.values, rel=1e-9, abs=1e-9 * np.ptp(straight.values))


@EVERY
def test_single_and_double_precision_agree(name: str) -> None:
    noise = np.random.default_rng(0)

    def precise(kind: str, array: Array) -> Array:
        wide = array.astype(np.float64)
        return wide * (1 + 1e-8 * noise.uniform(-1, 1, array.shape)) if kind in FLOATS else array

    problem = ordinary(101)
    double = mapped(problem, precise)
    single = mapped(double, lambda kind, array: array.astype(np.float32) if kind in FLOATS else array)
    assert agreement(scored(SCORERS[name], single), scored(SCORERS[name], double)) > 0.9999


SPOILABLE = [name for name, entry in SCORERS.items() if entry.spec.needs & set(FLOATS)]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", SPOILABLE)
def test_evidence_that_is_not_finite_is_refused_whichever_it_is(name: str, value: float) -> None:
    for kind in sorted(SCORERS[name].spec.needs & set(FLOATS)):
        for part in range(2 if kind == "gradients" else 1):
            arrays = ordinary(101).evidence[kind]
            changed = [array.copy() for array in (arrays if kind == "gradients" else [arrays])]
            changed[part][..., 17, 0] = value
            evidence = {**ordinary(101).evidence, kind: tuple(changed) if kind == "gradients" else changed[0]}
            with pytest.raises(DataError, match="not finite") as caught:
                scored(SCORERS[name], replace(ordinary(101), evidence=evidence))
            assert caught.value.hint


# T: adding a vector, R: a rotation, S: a positive factor.  A letter that is missing is a change that the scores show.
INVARIANT = [
    ("prototype", {}, "TRS"),
    ("knn-density", {"metric": "cosine"}, "RS"),
    ("knn-density", {"metric": "euclidean"}, "TRS"),
    ("ssl-prototypes", {}, "RS"),
    ("semdedup", {}, "RS"),
    ("zcore", {}, "TS"),
    ("herding", {}, "TRS"),
    ("k-center", {}, "TRS"),
    ("facility-location", {}, "R"),
    ("graph-cut", {}, "R"),
    ("log-det", {}, "R"),
    ("craig", {}, "R"),
    ("gradmatch", {}, "R"),
    ("glister", {}, "R"),
    ("d2", {}, "TR"),
    ("fdmat", {}, "S"),
    ("moderate", {}, "TS"),
    ("moderate", {"center": "mean"}, "TRS"),
    ("ripsnet-exact", {}, "TRS"),
    ("stable-topocore", {}, "TRS"),
    ("whitened-density", {}, "TRS"),
    ("topocore", {}, "T"),  # Adam moves every coordinate by itself
    ("topocore", {"optimiser": "sgd"}, "TR"),
    ("topocore-density", {}, "TR"),
    ("cal", {}, "TRS"),
    ("grand", {}, "R"),
    ("grand", {"bias": False}, "RS"),
    ("deepfool-last-layer", {}, "TRS"),
]


def moved(problem: Problem, change: str) -> Problem:
    """Return the problem with a change of all features and projections."""

    def move(kind: str, array: Array) -> Array:
        if kind not in ("features", "projection", "gradients") or array.shape[1] == problem.n_classes:
            return array
        d, wide = array.shape[1], array.astype(np.float64)
        if change == "T":
            return wide + np.linspace(1, 3, d)
        turn = np.linalg.qr(np.random.default_rng(d).normal(size=(d, d)))[0]
        return {"R": wide @ turn, "S": 3 * wide}[change]

    return mapped(problem, move)


@pytest.mark.parametrize(("name", "params", "invariant"), INVARIANT, ids=lambda value: str(value))
@pytest.mark.parametrize("change", ["T", "R", "S"])
def test_scores_ignore_exactly_the_changes_that_the_method_ignores(
    name: str, params: dict[str, Any], invariant: str, change: str
) -> None:
    straight = plain(name, **params)
    changed = scored(SCORERS[name], moved(ordinary(101), change), **params)
    if change in invariant:
        assert agreement(straight, changed) > 0.99999
    else:
        assert agreement(straight, changed) < 0.99995


# batches


def test_gradients_are_those_of_automatic_differentiation_sample_by_sample() -> None:
    generator = torch.Generator().manual_seed(3)
    z = torch.randn(9, 4, generator=generator)
    weight = torch.randn(5, 3, generator=generator, requires_grad=True)
    labels = np.arange(9) % 3
    extended = torch.cat([z, torch.ones(9, 1)], dim=1)
    residual, factor = last_layer_gradients((extended @ weight).detach().numpy(), labels, z.numpy())
    for i in range(9):
        loss = torch.nn.functional.cross_entropy(extended[i : i + 1] @ weight, torch.tensor(labels[i : i + 1]))
        expected = torch.autograd.grad(loss, weight)[0].numpy()
        assert np.outer(np.append(factor[i], 1.0), residual[i]) == pytest.approx(expected, abs=1e-6)


BATCHED = [name for name, entry in SCORERS.items() if entry.spec.needs & {"features", "logits", "gradients"}]


@pytest.fixture(scope="module")
def embedded() -> list[Problem]:
    """One network's evidence on 90 images, embedded in batches of 7 and of 256."""
    labels = np.arange(90) % 3
    noise = np.random.default_rng(0).normal(0, 40, (90, 32, 32, 3))
    places = np.linspace(0, 3, 32)[None, :, None, None] * (1 + labels[:, None, None, None])
    images = (120 + 60 * np.sin(places) + noise).clip(0, 255).astype(np.uint8)
    found = []
    for batch_size in (7, 256):
        context = EmbedContext(
            images=images, n_classes=3, arch=Arch(name="lenet", provider="timm", model="deepcore_lenet"),
            source="random", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), batch_size=batch_size,
        )  # fmt: skip
        embedding = CATALOGUE.backbone("timm").load().embed(context)
        assert embedding.batch_size_used == batch_size
        evidence = {
            **ordinary(90).evidence,
            "features": embedding.features,
            "logits": embedding.logits,
            "labels": labels,
            "gradients": last_layer_gradients(embedding.logits, labels, embedding.features),
        }
        found.append(replace(ordinary(90), evidence=evidence))
    return found


@pytest.mark.parametrize("name", BATCHED)
def test_the_batch_size_of_the_backbone_does_not_matter(name: str, embedded: list[Problem]) -> None:
    assert agreement(*(scored(SCORERS[name], problem) for problem in embedded)) > 0.9999
