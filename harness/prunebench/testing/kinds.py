"""Promises of data sets, networks (learners and backbones) and metrics alone."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench import contexts
from prunebench.errors import NotApplicable
from prunebench.keys import canonical_json
from prunebench.plugins import Entry
from prunebench.records import CellRecord, encode
from prunebench.stages.data import load_dataset
from prunebench.testing.cases import Case, call, context, ordinary_run, run
from prunebench.testing.problems import ordinary
from prunebench.testing.results import ensure, ensure_array, promise


@promise("learner")
def check_an_easy_problem_is_learnt(entry: Entry[Any]) -> str:
    """On well separated classes the test accuracy is above chance by a fifth."""
    problem = ordinary(240)
    accuracy, floor = run(entry, Case(problem=problem)).accuracy, 1 / problem.n_classes + 0.2
    ensure(accuracy >= floor, f"accuracy {accuracy:.2f} on an easy problem, expected at least {floor:.2f}")
    return f"accuracy {accuracy:.3f}"


@promise("learner")
def check_dynamics_have_the_promised_shape(entry: Entry[Any]) -> None:
    """record_dynamics gives float16 [epochs, n, classes] of probabilities, or NotApplicable."""
    with context(entry, Case()) as ctx:
        dynamics = call(entry, replace(ctx, record_dynamics=True)).dynamics
    if dynamics is None:
        raise NotApplicable("it records no dynamics")
    ensure_array("dynamics", dynamics, np.float16, "any", len(ctx.train_labels), ctx.n_classes)
    sums = dynamics.astype(np.float64).sum(axis=2)
    text = f"dynamics: probabilities of a sample sum to {sums.min():.2f} to {sums.max():.2f}"
    ensure(np.allclose(sums, 1, atol=0.02), text)


@promise("backbone")
def check_features_belong_to_the_image(entry: Entry[Any]) -> None:
    """An image has the same features beside other images; other images, or other random weights, have others."""
    with context(entry, Case()) as ctx:
        whole, order = ordinary_run(entry), np.random.default_rng(3).permutation(len(ctx.images))[:33]
        some = call(entry, replace(ctx, images=ctx.images[order], batch_size=7))
    for name in ("features", "logits"):
        a, b = getattr(whole, name)[order], getattr(some, name)
        # Sums of float32 in another order; batch statistics in train mode move them by as much as they are.
        is_alone = np.allclose(a, b, rtol=1e-3, atol=1e-3 * float(np.abs(a).max()))
        ensure(is_alone, f"{name} of an image change with the images beside it: is the network in eval mode?")
    for case, text in (
        (Case(problem=ordinary(seed=1)), "other images have the same features"),
        (Case(seed=1), 'source "random" with another seed gives the same features: draw the weights by ctx.seed'),
    ):
        ensure(not np.array_equal(whole.features, run(entry, case).features), text)


@promise("backbone")
def check_a_built_network_can_be_trained(entry: Entry[Any]) -> None:
    """`build` gives a torch module for the classes, channels and size that were asked for, by the global torch seed."""
    import torch

    with context(entry, Case()) as ctx:
        size, arch, build = ctx.images.shape[1], ctx.arch, entry.load().build
    for n_classes, channels in ((3, 1), (7, 3)):
        torch.manual_seed(0)
        networks = [build(arch, n_classes, channels, size), build(arch, n_classes, channels, size)]
        first, other = (torch.nn.utils.parameters_to_vector(network.parameters()) for network in networks)
        torch.manual_seed(0)
        again = torch.nn.utils.parameters_to_vector(build(arch, n_classes, channels, size).parameters())
        is_seeded = torch.equal(first, again) and not torch.equal(first, other)
        ensure(is_seeded, "the global torch seed does not decide the weights: draw them from its generator")
        out = networks[0](torch.zeros(4, channels, size, size))
        ensure(out.shape == (4, n_classes), f"four images of {n_classes} classes give {list(out.shape)}")
        out.sum().backward()


@promise("backbone")
def check_a_picture_is_seen_alike_in_any_company(entry: Entry[Any]) -> str:
    """`pictures`, where it is declared, gives pictures of all sizes one shape, and each its rows whatever is beside it;
    its facts are JSON and change with the weights."""
    if not entry.spec.pictures or not entry.spec.check_model:
        raise NotApplicable("its spec names no pictures, or no check_model to try them with")
    arch = contexts.Arch(name="small", provider=entry.spec.name, model=entry.spec.check_model)
    opening = entry.load_pictures()
    opened = [opening(contexts.PictureContext(arch=arch, source="random", seed=seed)) for seed in (0, 0, 1)]
    first, again, other = (canonical_json(dict(network.facts)) for network in opened)
    mixed = "facts of one seed differ, or those of two are equal: stored rows would be mixed up"
    ensure(first == again and first != other, mixed)
    network, size = opened[0], opened[0].batch_size
    images = _seen(network)
    order = np.random.default_rng(0).permutation(size)
    batch = np.stack([images[i % len(images)] for i in range(size)])
    whole, turned = network.run(batch), network.run(np.ascontiguousarray(batch[order]))
    for name, a, b in zip(("features", "logits"), whole, turned, strict=True):
        if a is None and b is None and name == "logits":
            continue
        for found in (a, b):
            ensure_array(name, found, np.float32, size, "any")
        same = np.allclose(a[order], b, rtol=1e-3, atol=1e-3 * float(np.abs(a).max()))
        ensure(same, f"{name} of a picture change with its place in the batch")
    return f"{size} at once, as {' x '.join(map(str, images[0].shape))}"


def _seen(network: contexts.PictureNetwork) -> list[NDArray[np.uint8]]:
    """Return pictures of several sizes and aspects as a network sees them."""
    from PIL import Image

    noise, images = np.random.default_rng(1), list[NDArray[np.uint8]]()
    for shape in ((60, 80, 3), (300, 40, 3), (7, 5, 3)):
        picture = Image.fromarray(noise.integers(0, 256, shape, dtype=np.uint8))
        images += [network.prepare(picture), network.prepare(picture)]
        ensure_array("a prepared picture", images[-1], np.uint8, *images[0].shape)
        twice = "a picture is not prepared as [height, width, channels], or twice not in the same way"
        ensure(images[-1].ndim == 3 and np.array_equal(images[-1], images[-2]), twice)
    return images[::2]


@promise("dataset", stage=5)
def check_data_set_is_valid(entry: Entry[Any]) -> None:
    """It has the declared classes, a training sample of each, ids that are unique over both splits, and promised types.
    Images are uint8 [n, height, width, channels], features float32 [n, d], labels int64 [n]."""
    with context(entry, Case()) as ctx:
        data = load_dataset(entry, ctx.params, ctx.roots)
    declared = entry.spec.n_classes
    ensure(declared in (None, 0, data.n_classes), f"{data.n_classes} classes, declared are {declared}")


def _cells(entry: Entry[Any], *, by_class: bool = True) -> list[CellRecord]:
    """Return six made-up records, as a metric of this scope gets them, with or without the accuracy of each class."""
    keeps = ["0.3"] * 6 if entry.spec.scope == "cell" else ["1", "0.7", "0.5", "0.3", "0.2", "0.1"]
    return [
        CellRecord(
            key=f"{number:032x}", suite="made-up", protocol="1", dataset="made-up", dataset_fingerprint="0" * 32,
            method="full" if keep == "1" else "odd", role="unpruned" if keep == "1" else "method", status="ok",
            scorer="odd", scorer_version="1", scorer_dist="odd 1", selector="class_top", keep=keep, seed=0,
            train_arch="small", recipe="short", score_backbone=f"b{number % 2}", accuracy=accuracy,
            accuracy_best=accuracy, epochs=2, n_train=1000, n_classes=3, n_keep=int(1000 * float(keep)),
            loss=0.1 * number, class_accuracy=[accuracy, 0.9 * accuracy, None] if by_class else [],
        )
        for number, (keep, accuracy) in enumerate(zip(keeps, (0.95, 0.88, 0.81, 0.74, 0.67, 0.6), strict=True))
    ]  # fmt: skip


@promise("metric", stage=6)
def check_a_number_or_none_is_returned(entry: Entry[Any]) -> str:
    """A finite float, or None without a value: for several cells, for one and none, and without class accuracies."""
    for cells in (_cells(entry)[:1], [], _cells(entry, by_class=False)):
        _measured(entry, cells)
    return f"value {_measured(entry, _cells(entry))}"


@promise("metric")
def check_the_same_cells_give_the_same_number(entry: Entry[Any]) -> None:
    """Asked again, and in another order of the cells, it gives the same number up to rounding; no record is changed."""
    cells = _cells(entry)
    first, again = _measured(entry, cells), _measured(entry, cells)
    is_unchanged = [encode(cell) for cell in cells] == [encode(cell) for cell in _cells(entry)]
    ensure(is_unchanged, "it changes the records that it is given, which other columns read too")
    turned = _measured(entry, cells[::-1])
    is_same = first == again and (first is None) == (turned is None) and math.isclose(first or 0.0, turned or 0.0)
    ensure(is_same, f"the same cells give {first}, then {again}, and in another order {turned}")


def _measured(entry: Entry[Any], cells: Sequence[CellRecord]) -> float | None:
    found = entry.load()(cells)
    is_number = isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found)
    ensure(found is None or is_number, f"expected a finite float or None, got {found!r}")
    return None if found is None else float(found)
