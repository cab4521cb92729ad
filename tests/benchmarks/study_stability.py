"""How far scores agree between backbones, between seeds and under noise: the table in docs/stable-topocore.md.

`python tests/benchmarks/study_stability.py DATA_ROOT`, where DATA_ROOT holds CIFAR-10 and weights/ (see README).
The first 10,000 training images, penultimate features of the four CIFAR ResNets, Spearman within class.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from prunebench.contexts import DataContext, EmbedContext, ProjectContext, ScoreContext, Scores
from prunebench.plugins import Catalogue, load_plugins
from prunebench.registry import load_registry
from prunebench.stats import score_agreement

BACKBONES = ("cifar10-resnet20", "cifar10-resnet32", "cifar10-resnet44", "cifar10-resnet56")
N = 10_000


@dataclass(frozen=True)
class Attempt:
    """One score: a scorer, its parameters, and how many projections its scores are averaged over (0: none)."""

    label: str
    scorer: str
    params: dict[str, Any] = field(default_factory=dict)
    projections: int = 0


BY_NORM = {"loss": "norm_l1", "projected": "all"}
RIPS = {"complex": "delaunay_rips"}
ATTEMPTS = (
    Attempt("TopoCore (UMAP, delaunay_rips)", "topocore", BY_NORM | RIPS, 1),
    Attempt("TopoCore (UMAP, weak_delaunay)", "topocore", BY_NORM, 1),
    Attempt("its displacement alone (weak_delaunay)", "topocore-persistence", BY_NORM, 1),
    Attempt("its density alone", "topocore-density", {"projected": "all"}, 1),
    Attempt("TopoCore, mean over 3 UMAP seeds", "topocore", BY_NORM | RIPS, 3),
    Attempt("its displacement, mean over 3 UMAP seeds", "topocore-persistence", BY_NORM | RIPS, 3),
    Attempt("its displacement, one plain gradient step, 3 seeds", "topocore-persistence",
            BY_NORM | RIPS | {"optimiser": "sgd", "steps": 1}, 3),
    Attempt("leave-one-out persistence images, H0", "ripsnet-exact"),
    Attempt("leave-one-out persistence images, H1", "ripsnet-exact",
            {"homology": 1, "repeats": 1, "cloud_size": 24, "train_clouds": 200}),
    Attempt("merge height, cosine, elder-like (bulk .5)", "stable-topocore", {"metric": "cosine", "bulk": 0.5}),
    Attempt("merge height, euclidean", "stable-topocore", {"metric": "euclidean"}),
    Attempt("merge height, cosine", "stable-topocore", {"metric": "cosine"}),
    Attempt("merge height, centred", "stable-topocore", {"metric": "centred"}),
    Attempt("merge height, whitened, clouds of 16", "stable-topocore", {"cloud_size": 16}),
    Attempt("merge height, whitened, clouds of 256", "stable-topocore", {"cloud_size": 256}),
    Attempt("merge height, whitened, bulk .5", "stable-topocore", {"bulk": 0.5}),
    Attempt("merge height, whitened, bulk 1/32", "stable-topocore", {"bulk": 0.03125}),
    Attempt("merge height, whitened, no shrinkage", "stable-topocore", {"shrinkage": 0.0}),
    Attempt("**Stable TopoCore** (whitened, 64, 1/8)", "stable-topocore"),
    Attempt("control: distance to the class mean, Euclidean", "prototype", {}, -1),
    Attempt("control: 15 neighbours, Euclidean", "knn-density", {"metric": "euclidean"}),
    Attempt("control: 15 neighbours, cosine", "knn-density"),
    Attempt("control: 15 neighbours, cosine, whitened (`whitened-density`)", "whitened-density"),
)  # fmt: skip


@dataclass(frozen=True)
class Evidence:
    """What a backbone says of the images."""

    features: np.ndarray
    logits: np.ndarray


def embed(catalogue: Catalogue, roots: tuple[Path, ...]) -> tuple[np.ndarray, dict[str, Evidence]]:
    """Return labels int64 [n] and the evidence of each backbone."""
    registry = load_registry(None)
    data = catalogue.dataset("cifar10").load()(DataContext(roots=roots))
    labels, found = data.train.labels[:N], {}
    for name in BACKBONES:
        network = registry.networks[name]
        provider = catalogue.backbone(network.arch.provider).load()
        weights = next(root / "weights" / str(network.weights.file) for root in roots)
        context = EmbedContext(
            images=data.train.images[:N], n_classes=10, arch=network.arch, source="file", weights=weights
        )
        embedding = provider.embed(context)
        accuracy = float((embedding.logits.argmax(axis=1) == labels).mean())
        print(f"{name}: {accuracy:.4f} of the training images right", file=sys.stderr)
        found[name] = Evidence(embedding.features, embedding.logits)
    return labels, found


def scored(catalogue: Catalogue, attempt: Attempt, evidence: Evidence, labels: np.ndarray, seed: int) -> np.ndarray:
    """Return the scores of one attempt, averaged over its projections."""
    spec = catalogue.scorer(attempt.scorer).spec
    parts = []
    for projection in projections(catalogue, attempt, evidence, labels, seed):
        context = ScoreContext(
            params=spec.resolve_params(attempt.params), seed=seed, n=N, n_classes=10, scorer=spec.name,
            evidence={
                "features": evidence.features, "logits": evidence.logits, "labels": labels, "projection": projection,
            },
        )  # fmt: skip
        returned = catalogue.scorer(attempt.scorer).load()(context)
        parts.append(returned.values if isinstance(returned, Scores) else returned)
    return np.mean(parts, axis=0)


def projections(
    catalogue: Catalogue, attempt: Attempt, evidence: Evidence, labels: np.ndarray, seed: int
) -> Iterable[np.ndarray]:
    """Yield what stands for the projection: nothing, the features (-1), or UMAPs."""
    if attempt.projections < 1:
        yield evidence.features
        return
    entry = catalogue.projector("umap")
    for number in range(attempt.projections):
        key = (id(evidence), seed, number)
        if key not in UMAPS:
            params = entry.spec.resolve_params({})
            UMAPS[key] = entry.load()(
                ProjectContext(features=evidence.features, params=params, seed=10 * seed + number)
            )
        yield UMAPS[key]


UMAPS: dict[tuple[int, int, int], np.ndarray] = {}


def within(a: np.ndarray, b: np.ndarray, labels: np.ndarray) -> float:
    value = score_agreement(a, b, labels).within_class_spearman
    return float("nan") if value is None else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    roots = (parser.parse_args().root,)
    catalogue = load_plugins()
    labels, evidence = embed(catalogue, roots)
    first = evidence[BACKBONES[0]]
    spread, generator = float(first.features.std(axis=0).mean()), np.random.default_rng(0)
    noisy = {
        level: Evidence(
            first.features + generator.normal(0, level * spread, first.features.shape).astype("f4"), first.logits
        )
        for level in (0.25, 1.0)
    }  # fmt: skip
    print("| score | between backbones | seed to seed | noise .25 | noise 1 | seconds |")
    print("|---|---|---|---|---|---|")
    for attempt in ATTEMPTS:
        started = time.perf_counter()
        scores = [scored(catalogue, attempt, evidence[name], labels, 0) for name in BACKBONES]
        seconds = (time.perf_counter() - started) / len(BACKBONES)
        between = np.mean([within(a, b, labels) for a, b in itertools.combinations(scores, 2)])
        reseeded = within(scores[0], scored(catalogue, attempt, first, labels, 1), labels)
        under = [within(scores[0], scored(catalogue, attempt, noisy[level], labels, 0), labels) for level in noisy]
        numbers = [f"{value:.3f}" for value in (between, reseeded, *under)]
        print(f"| {attempt.label} | {' | '.join(numbers)} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
