"""ELFS against plain loops, separate networks of torch, scikit-learn's neighbours, and AUM of another plugin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import nn

from prunebench import DataError, ScoreContext
from prunebench.plugins import load_plugins
from prunebench.stages.heads import matched_accuracy
from prunebench_elfs import prunebench_scorers
from prunebench_elfs.heads import Heads, Shape
from prunebench_elfs.neighbours import cosine_neighbours
from prunebench_elfs.score import elfs, pseudo_labels
from prunebench_elfs.temi import Recipe, objective, temi_clusters

(SPEC,) = prunebench_scorers()
SHAPE = Shape(heads=3, inputs=5, hidden=7, bottleneck=6, clusters=4)
SMALL = {
    "heads": 4,
    "hidden": 32,
    "bottleneck": 16,
    "epochs": 60,
    "warmup_epochs": 5,
    "batch_size": 32,
    "neighbours": 10,
    "learning_rate": 2e-2,
    "teacher_momentum": 0.95,
}
RECIPE = Recipe(
    neighbours=6, epochs=4, warmup_epochs=2, batch_size=8, learning_rate=0.05, beta=0.6, teacher_momentum=0.9
)


def heads(seed: int = 0) -> Heads:
    return Heads(SHAPE, torch.Generator().manual_seed(seed))


def blobs(n: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(n) % classes)
    features = 3 * np.eye(classes, 8)[labels] + 0.3 * generator.normal(size=(n, 8))
    return features.astype(np.float32), labels.astype(np.int64)


def context(evidence: dict[str, Any], n: int, classes: int, seed: int = 0, **params: Any) -> ScoreContext:
    return ScoreContext(
        params=SPEC.resolve_params({**SMALL, **params}), seed=seed, n=n, n_classes=classes, evidence=evidence
    )


def labelled(features: np.ndarray, classes: int, **params: Any) -> np.ndarray:
    return pseudo_labels(context({"features": features}, len(features), classes, **params))


def one_head(source: Heads, head: int) -> nn.Sequential:
    """Return a head as torch's own layers, with the same numbers."""
    width = SHAPE.hidden
    first, second = nn.Linear(SHAPE.inputs, width), nn.Linear(width, SHAPE.bottleneck)
    last = nn.utils.parametrizations.weight_norm(nn.Linear(SHAPE.bottleneck, SHAPE.clusters, bias=False))
    with torch.no_grad():
        first.weight.copy_(source.first[:, head * width : (head + 1) * width].T)
        first.bias.copy_(source.first_bias[head * width : (head + 1) * width])
        second.weight.copy_(source.second[head].T)
        second.bias.copy_(source.second_bias[head, 0])
        last.parametrizations.weight.original0.copy_(source.last_length[head].T)
        last.parametrizations.weight.original1.copy_(source.last_direction[head].T)
    return nn.Sequential(first, nn.GELU(), second, UnitLength(), last)


class UnitLength(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / x.norm(dim=1, keepdim=True)


def perturbed(source: Heads, seed: int) -> Heads:
    """Move every parameter, so that biases are not zero and lengths are not one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in source.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return source


def test_the_heads_are_separate_networks_of_torch() -> None:
    together, inputs = perturbed(heads(), 1), torch.randn(9, SHAPE.inputs, generator=torch.Generator().manual_seed(2))
    found = together(inputs)
    assert found.shape == (3, 9, 4)
    for head in range(SHAPE.heads):
        assert torch.allclose(found[head], one_head(together, head)(inputs), atol=1e-6)


def test_a_head_starts_as_the_dino_head_does() -> None:
    start = Heads(Shape(heads=20, inputs=40, hidden=50, bottleneck=30, clusters=10), torch.Generator().manual_seed(0))
    start.requires_grad_(False)
    assert float(start.first.std()) == pytest.approx(0.02, rel=0.02)
    assert float(start.second.std()) == pytest.approx(0.02, rel=0.02)
    assert float(start.last_direction.abs().max()) <= 30**-0.5 + 1e-7
    assert float(start.last_direction.std()) == pytest.approx(30**-0.5 / math.sqrt(3), rel=0.03)
    assert bool((start.last_length == 1).all())
    assert not bool(start.first_bias.any())
    assert not bool(start.second_bias.any())


def by_loops(student: np.ndarray, teacher: np.ndarray, prior: np.ndarray, beta: float) -> list[float]:
    """Both pairings of each sample, cluster by cluster, on probabilities [2, heads, b, clusters]."""
    _, n_heads, n, n_clusters = student.shape
    weight = [
        sum(teacher[0, h, i, c] * teacher[1, h, i, c] for h in range(n_heads) for c in range(n_clusters)) / n_heads
        for i in range(n)
    ]
    losses = []
    for h in range(n_heads):
        total = 0.0
        for i in range(n):
            for one, other in ((0, 1), (1, 0)):
                shared = sum(
                    (student[one, h, i, c] * teacher[other, h, i, c]) ** beta / prior[h, c] for c in range(n_clusters)
                )
                total -= weight[i] * math.log(shared) / 2
        losses.append(total / n)
    return losses


@pytest.mark.parametrize("beta", [0.6, 1.0])
def test_the_objective_is_the_weighted_mutual_information_summed_by_loops(beta: float) -> None:
    generator = np.random.default_rng(0)
    student, teacher = (generator.dirichlet(np.ones(4), (2, 3, 5)) for _ in range(2))
    prior = generator.dirichlet(np.ones(4), 3)
    logs = [torch.from_numpy(np.log(p)) for p in (student, teacher)]
    found = objective(*logs, torch.from_numpy(prior), beta)
    assert found.numpy() == pytest.approx(by_loops(student, teacher, prior, beta), rel=1e-12)


def test_a_probability_that_vanishes_leaves_a_finite_gradient() -> None:
    logits = torch.tensor([[[[400.0, 0.0, -400.0]]], [[[0.0, 400.0, -400.0]]]], requires_grad=True)
    logs = logits.log_softmax(dim=3)
    objective(logs, logs.detach(), torch.full((1, 3), 1 / 3), 0.6).sum().backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


def test_neighbours_are_those_of_scikit_learn_and_never_the_sample_itself(monkeypatch) -> None:
    monkeypatch.setattr("prunebench_elfs.neighbours._ROWS", 7)  # blocks that do not divide the number of rows
    points = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    found = cosine_neighbours(torch.from_numpy(points), 9).numpy()
    expected = NearestNeighbors(n_neighbors=9, metric="cosine").fit(points).kneighbors(return_distance=False)
    assert np.array_equal(found, expected)


def by_torch_alone(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Train every head on its own, as described: torch's optimiser, layers and powers of probabilities."""
    rng = np.random.default_rng(5)
    start = Heads(SHAPE, torch.Generator().manual_seed(int(rng.integers(2**62))))
    students = [one_head(start, head) for head in range(SHAPE.heads)]
    teachers = [one_head(start, head).requires_grad_(False) for head in range(SHAPE.heads)]
    points, n = torch.from_numpy(features), len(features)
    near = NearestNeighbors(n_neighbors=RECIPE.neighbours, metric="cosine").fit(features)
    near = near.kneighbors(return_distance=False)
    optimisers = [
        torch.optim.AdamW(
            [
                {"params": [p for name, p in student.named_parameters() if not name.endswith("bias")]},
                {"params": [p for name, p in student.named_parameters() if name.endswith("bias")], "weight_decay": 0},
            ],
            weight_decay=1e-4,
        )
        for student in students
    ]
    prior, per_epoch = torch.full((SHAPE.heads, SHAPE.clusters), 1 / SHAPE.clusters), n // RECIPE.batch_size
    for epoch in range(RECIPE.epochs):
        losses = np.zeros(SHAPE.heads)
        order, partner = rng.permutation(n), rng.integers(RECIPE.neighbours, size=n)
        for step in range(per_epoch):
            rows = order[step * RECIPE.batch_size : (step + 1) * RECIPE.batch_size]
            views = [points[rows], points[near[rows, partner[rows]]]]
            with torch.no_grad():
                taught = [[(teacher(view) / 0.1).softmax(dim=1) for view in views] for teacher in teachers]
            weight = sum((p * q).sum(dim=1) for p, q in taught) / SHAPE.heads
            done = epoch * per_epoch + step
            rate = 0.05 * 8 / 256 * min(1.0, done / (RECIPE.warmup_epochs * per_epoch - 1))
            for head, (student, teacher) in enumerate(zip(students, teachers, strict=True)):
                prior[head] = 0.9 * prior[head] + 0.1 * torch.cat(taught[head]).mean(dim=0)
                learnt = [(student(view) / 0.1).softmax(dim=1) for view in views]
                shared = [((learnt[k] * taught[head][1 - k]) ** 0.6 / prior[head]).sum(dim=1) for k in (0, 1)]
                loss = sum((-weight * s.log()).mean() for s in shared) / 2
                optimisers[head].zero_grad()
                loss.backward()
                losses[head] += loss.item() / per_epoch
                if epoch == 0:
                    for name, parameter in student.named_parameters():
                        if name.startswith("4."):
                            parameter.grad = None
                for group in optimisers[head].param_groups:
                    group["lr"] = rate
                optimisers[head].step()
                with torch.no_grad():
                    for mine, theirs in zip(teacher.parameters(), student.parameters(), strict=True):
                        mine.mul_(0.9).add_(theirs, alpha=0.1)
    best = teachers[int(losses.argmin())]
    return best(points).argmax(dim=1).numpy(), losses


def test_training_all_heads_at_once_is_training_each_alone() -> None:
    features, _ = blobs(43, 4)  # three samples are left out of every epoch
    expected, losses = by_torch_alone(features[:, :5])
    found = temi_clusters(features[:, :5].copy(), SHAPE, RECIPE, np.random.default_rng(5), "cpu", lambda epoch: None)
    assert found.losses == pytest.approx(losses, rel=1e-4)
    assert np.ptp(losses) > 1e-3  # the best head is a choice
    assert np.array_equal(found.labels, expected)


@pytest.mark.parametrize("classes", [2, 5])
def test_clusters_that_lie_apart_are_found_without_a_label(classes: int) -> None:
    features, labels = blobs(150, classes)
    assert matched_accuracy(labelled(features, classes), labels) > 0.98


def test_pseudo_labels_are_numbered_without_gaps_and_repeat_with_the_seed() -> None:
    features, _ = blobs(60, 3)
    found = labelled(features, 3, clusters=8)
    assert np.array_equal(np.unique(found), np.arange(found.max() + 1))
    assert np.array_equal(found, labelled(features, 3, clusters=8))


@pytest.mark.parametrize(("n", "classes"), [(1, 3), (2, 1), (2, 2), (3, 5)])
def test_few_samples_and_one_class_have_pseudo_labels_too(n: int, classes: int) -> None:
    found = labelled(np.eye(n, 4, dtype=np.float32), classes)
    assert found.shape == (n,)
    assert found.dtype == np.int64


def test_features_that_are_not_finite_are_refused_with_their_number() -> None:
    features, _ = blobs(30, 3)
    features[4, 2], features[9, 0] = np.nan, np.inf
    with pytest.raises(DataError, match="features of 2 samples are not finite"):
        labelled(features, 3)


def dynamics_of(labels: np.ndarray, classes: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.dirichlet(np.ones(classes), (5, len(labels))).astype(np.float16)


def test_the_score_is_minus_the_mean_margin_by_loops_and_aum_where_pseudo_labels_are_the_labels() -> None:
    labels = np.random.default_rng(1).integers(0, 4, 50)
    dynamics = dynamics_of(labels, 4)
    found = elfs(context({"pseudo_labels": labels, "dynamics": dynamics}, 50, 4))
    for i in range(50):
        margins = [float(p[i, labels[i]]) - max(float(p[i, c]) for c in range(4) if c != labels[i]) for p in dynamics]
        assert found[i] == pytest.approx(-sum(margins) / 5, abs=1e-12)
    entry = load_plugins().scorer("aum")
    params = entry.spec.resolve_params({"prefer": "hard"})
    other = ScoreContext(params=params, n=50, n_classes=4, evidence={"labels": labels, "dynamics": dynamics})
    assert found == pytest.approx(entry.load()(other), abs=1e-6)


def test_dynamics_of_other_samples_or_of_fewer_classes_are_refused() -> None:
    labels = np.arange(10) % 3
    for dynamics in (dynamics_of(labels[:9], 3), dynamics_of(labels, 2)):
        with pytest.raises(DataError, match="training dynamics have shape"):
            elfs(context({"pseudo_labels": labels, "dynamics": dynamics}, 10, 3))


def test_a_proxy_run_that_diverged_is_told_apart_from_one_that_did_not() -> None:
    labels = np.arange(10) % 3
    dynamics = dynamics_of(labels, 3)
    dynamics[2, 4] = np.nan
    with pytest.raises(DataError, match="not finite"):
        elfs(context({"pseudo_labels": labels, "dynamics": dynamics}, 10, 3))
