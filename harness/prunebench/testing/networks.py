"""Promises of backbones and learners alone: networks that are built, trained, and read in eval mode."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from prunebench.plugins import Entry
from prunebench.testing.cases import Case, call, context, ordinary_run, run
from prunebench.testing.problems import ordinary
from prunebench.testing.promises import promise
from prunebench.testing.results import CheckFailed, DoesNotApply


@promise("learner")
def check_an_easy_problem_is_learnt(entry: Entry[Any]) -> dict[str, Any]:
    """On well separated classes the test accuracy is above chance by a fifth."""
    problem = ordinary(240)
    accuracy, floor = run(entry, Case(problem=problem)).accuracy, 1 / problem.n_classes + 0.2
    if accuracy < floor:
        raise CheckFailed(f"accuracy {accuracy:.2f} on an easy problem, expected at least {floor:.2f}")
    return {"accuracy": round(accuracy, 3)}


@promise("learner")
def check_weights_are_returned_when_asked_for(entry: Entry[Any]) -> None:
    """keep_weights gives arrays by name."""
    weights = ordinary_run(entry).weights
    if not weights or not all(isinstance(array, np.ndarray) for array in weights.values()):
        raise CheckFailed("keep_weights=True gave no arrays: a backbone cannot be trained with this learner")


@promise("learner")
def check_dynamics_have_the_promised_shape(entry: Entry[Any]) -> None:
    """record_dynamics gives float16 [epochs, n, classes] of probabilities, or NotApplicable."""
    with context(entry, Case()) as ctx:
        dynamics = call(entry, replace(ctx, record_dynamics=True)).dynamics
        n, classes = len(ctx.train_labels), ctx.n_classes
    if dynamics is None:
        raise DoesNotApply("it records no dynamics")
    if dynamics.ndim != 3 or dynamics.shape[1:] != (n, classes) or dynamics.dtype != np.float16:
        expected = f"expected float16 [epochs, {n}, {classes}]"
        raise CheckFailed(f"dynamics: {expected}, got {dynamics.dtype} {list(dynamics.shape)}")
    sums = dynamics.astype(np.float64).sum(axis=2)
    if not np.allclose(sums, 1, atol=0.02):
        raise CheckFailed(f"dynamics: probabilities of a sample sum to {sums.min():.2f} to {sums.max():.2f}")


@promise("backbone")
def check_features_of_an_image_depend_on_no_other(entry: Entry[Any]) -> None:
    """In eval mode an image has the same features alone, in another order and in another batch."""
    with context(entry, Case()) as ctx:
        whole = ordinary_run(entry)
        order = np.random.default_rng(3).permutation(len(ctx.images))[:33]
        some = call(entry, replace(ctx, images=ctx.images[order], batch_size=7))
    for name in ("features", "logits"):
        a, b = getattr(whole, name)[order], getattr(some, name)
        # Sums of float32 in another order; batch statistics in train mode move them by as much as they are.
        if not np.allclose(a, b, rtol=1e-3, atol=1e-3 * float(np.abs(a).max())):
            raise CheckFailed(f"{name} of an image change with the images beside it: is the network in eval mode?")


@promise("backbone")
def check_images_and_seed_decide_the_features(entry: Entry[Any]) -> None:
    """Other images, and other random weights by another seed, have other features."""
    plain = ordinary_run(entry).features
    other_images, other_seed = (run(entry, case).features for case in (Case(problem=ordinary(seed=1)), Case(seed=1)))
    if np.array_equal(plain, other_images) or len(np.unique(plain, axis=0)) < 2:
        raise CheckFailed("other images have the same features")
    if np.array_equal(plain, other_seed):
        raise CheckFailed('source "random" with another seed gives the same features: draw the weights by ctx.seed')


@promise("backbone")
def check_a_built_network_can_be_trained(entry: Entry[Any]) -> None:
    """`build` gives a torch module for the classes, channels and size that were asked for, by the global torch seed."""
    import torch

    with context(entry, Case()) as ctx:
        size = ctx.images.shape[1]
        for n_classes, channels in ((3, 1), (7, 3)):
            torch.manual_seed(0)
            first, again = (entry.load().build(ctx.arch, n_classes, channels, size) for _ in range(2))
            out = first(torch.zeros(4, channels, size, size))
            if tuple(out.shape) != (4, n_classes):
                raise CheckFailed(
                    f"four images of {n_classes} classes give {list(out.shape)}, expected [4, {n_classes}]"
                )
            out.sum().backward()
            weights = [list(network.parameters()) for network in (first, again)]
            if not any(p.requires_grad and p.grad is not None for p in weights[0]):
                raise CheckFailed("no weight of the network has a gradient")
            if all(torch.equal(a, b) for a, b in zip(*weights, strict=True)):
                raise CheckFailed("two networks have the same weights: draw them from the global torch generator")
            torch.manual_seed(0)
            same = entry.load().build(ctx.arch, n_classes, channels, size).parameters()
            if not all(torch.equal(a, b) for a, b in zip(weights[0], same, strict=True)):
                raise CheckFailed("one seed gives two networks: draw the weights from the global torch generator")
