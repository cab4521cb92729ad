"""The leave-one-out score of persistence images (ours; clouds, images and network of TopKD and RipsNet)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from prunebench import DataError, ScoreContext, Scores
from prunebench_ripsnet.clouds import CloudGroup, partitions, sample_pools, training_clouds
from prunebench_ripsnet.diagrams import cloud_distances, mean_distance, persistence
from prunebench_ripsnet.image import Imager, fit_imager
from prunebench_ripsnet.leave_one_out import exact_change, mean_change, network_change
from prunebench_ripsnet.network import build_network
from prunebench_ripsnet.training import Recipe, train_network

_FAR = 1000.0


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """Points float32 [n, d] of mean distance 1, clouds to score in, clouds to train on with their images."""

    points: NDArray[np.float32]
    groups: list[CloudGroup]
    clouds: NDArray[np.int64]
    images: NDArray[np.float64]
    imager: Imager


def ripsnet(ctx: ScoreContext) -> Scores:
    """Return the mean change of the persistence image over the clouds of each sample, float64 [n].

    The change is the Euclidean norm over 400 pixels between the image of a cloud and that of the cloud
    without the sample; large = topologically influential.  With mode = net the images are those of a
    network trained on exact ones here, and the diagnostics hold its losses and the rank correlation with
    exact scores on some samples (`gate_spearman`); below the gate the scores carry a caveat.
    Samples of classes of 1 or 2 score 0.
    Raises DataError for features that are not finite, Diverged where training fails.
    """
    if ctx.params["mode"] == "exact":
        return exact(ctx)
    prepared = _prepare(ctx)
    if prepared is None:
        return Scores(values=np.zeros(ctx.n), diagnostics={"mode": "net", "scored_samples": 0})
    operator = cast(str, ctx.params["operator"])
    network = build_network(prepared.points.shape[1], 400, operator, ctx.seed).to(ctx.device)
    points = torch.from_numpy(prepared.points).to(ctx.device)
    recipe = Recipe(
        max_epochs=cast(int, ctx.params["max_epochs"]),
        patience=cast(int, ctx.params["patience"]),
        learning_rate=cast(float, ctx.params["learning_rate"]),
    )

    def report(epoch: int) -> None:
        ctx.check_deadline()
        ctx.progress(0.9 * epoch / recipe.max_epochs, f"RipsNet epoch {epoch}")

    targets = prepared.imager.full(prepared.images)
    fit = train_network(network, points, prepared.clouds, targets, recipe, ctx.rng, report)
    values = mean_change(prepared.groups, ctx.n, network_change(points, network), 128, ctx.check_deadline)
    facts = {"train_loss": fit.train_loss, "validation_loss": fit.validation_loss, "epochs": fit.epochs}
    facts["best_epoch"] = fit.best_epoch
    judged = _gate(ctx, prepared, values)
    diagnostics = {**_facts(prepared, "net"), **facts, **judged}
    return Scores(values=values, diagnostics=diagnostics, caveat=_caveat(ctx, judged))


def exact(ctx: ScoreContext) -> Scores:
    """Return the same score as `ripsnet` from exact persistence images, float64 [n]; nothing is trained.

    Raises DataError for features that are not finite.
    """
    prepared = _prepare(ctx)
    if prepared is None:
        return Scores(values=np.zeros(ctx.n), diagnostics={"mode": "exact", "scored_samples": 0})
    values = _exact_values(ctx, prepared, prepared.groups)
    return Scores(values=values, diagnostics=_facts(prepared, "exact"))


def _prepare(ctx: ScoreContext) -> _Prepared | None:
    """Draw all clouds and fix the image scale; None where no class has 3 samples."""
    if not np.isfinite(ctx.features).all():
        raise DataError("the features contain values that are not finite", "check the backbone and its weights")
    pools = sample_pools(ctx.labels, ctx.n_classes, by_class=ctx.params["clouds"] == "class")
    if not pools:
        return None
    size, homology = cast(int, ctx.params["cloud_size"]), cast(int, ctx.params["homology"])
    points = _scaled(ctx.features, ctx.rng)
    groups = partitions(pools, size, cast(int, ctx.params["repeats"]), ctx.rng)
    count = max(8, min(cast(int, ctx.params["train_clouds"]), 256 * ctx.n // size))
    clouds = training_clouds(pools, size, count, ctx.rng)
    diagrams = _diagrams(ctx, points, clouds, homology)
    imager = fit_imager(diagrams, homology)
    return _Prepared(points=points, groups=groups, clouds=clouds, images=imager.images(diagrams), imager=imager)


def _scaled(features: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the points float32 [n, d] over their mean distance, and about their mean where that is far away.

    Single precision would not hold the distances beside an offset of a thousand times their size.
    """
    single = features.astype(np.float32)
    distance, mean = mean_distance(single, rng), features.mean(axis=0, dtype=np.float64)
    if float(np.linalg.norm(mean)) > _FAR * distance:
        centred: NDArray[np.float32] = ((features - mean) / distance).astype(np.float32)
        return centred
    scaled: NDArray[np.float32] = single / np.float32(distance)
    return scaled


def _diagrams(
    ctx: ScoreContext, points: NDArray[np.float32], clouds: NDArray[np.int64], homology: int
) -> NDArray[np.float64]:
    """Return the diagrams float64 [t, k, 2] of padded clouds int64 [t, m], NaN = no pair."""
    sizes, parts = (clouds >= 0).sum(axis=1), []
    for size in np.unique(sizes):
        members = np.flatnonzero(sizes == size)
        for rows in np.array_split(members, -(-len(members) // 128)):
            ctx.check_deadline()
            distances = cloud_distances(points[clouds[rows, :size]])
            parts.append((rows, persistence(distances, np.arange(len(rows)), None, homology)))
    found = np.full((len(clouds), max(part.shape[1] for _, part in parts), 2), np.nan)
    for rows, part in parts:
        found[rows, : part.shape[1]] = part
    return found


def _exact_values(ctx: ScoreContext, prepared: _Prepared, groups: list[CloudGroup]) -> NDArray[np.float64]:
    change = exact_change(prepared.points, prepared.imager)
    return mean_change(groups, ctx.n, change, 16, ctx.check_deadline)


def _gate(ctx: ScoreContext, prepared: _Prepared, values: NDArray[np.float64]) -> dict[str, Any]:
    """Return the rank correlation of network and exact scores on some samples, in the same clouds."""
    eligible = np.unique(np.concatenate([group.members.ravel() for group in prepared.groups]))
    count = min(cast(int, ctx.params["gate_samples"]), len(eligible))
    if count == 0:
        return {"gate_samples": 0}
    targets = ctx.rng.choice(eligible, count, replace=False)
    exact_values = _exact_values(ctx, prepared, [group.only(targets) for group in prepared.groups])
    return {"gate_samples": count, "gate_spearman": _spearman(values[targets], exact_values[targets])}


def _caveat(ctx: ScoreContext, judged: dict[str, Any]) -> str:
    """Return what to print beside scores that fail the gate, or were not put to it."""
    gate = float(str(ctx.params["gate"]))
    if judged["gate_samples"] == 0:
        return "the network was not compared with exact images"
    if judged["gate_spearman"] is None or judged["gate_spearman"] < gate:
        return f"the network does not rank the samples as exact images do (Spearman below {gate:g})"
    return ""


def _spearman(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(spearmanr(one, other).statistic)


def _facts(prepared: _Prepared, mode: str) -> dict[str, Any]:
    return {
        "mode": mode,
        "scored_samples": len(np.unique(np.concatenate([group.members.ravel() for group in prepared.groups]))),
        "training_clouds": len(prepared.clouds),
        "image_bandwidth": prepared.imager.bandwidth,
        "image_peak": prepared.imager.peak,
    }
