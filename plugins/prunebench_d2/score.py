"""D2 pruning (Maharana et al., ICLR 2024): the order of picks as scores."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import cast

import numpy as np
from numpy.typing import NDArray

from prunebench import DataError, ScoreContext, Scores
from prunebench.toolbox import content_order
from prunebench_d2.difficulty import measure
from prunebench_d2.graph import neighbour_graph
from prunebench_d2.picking import pick_order

_FLOOR = 1e-7  # of the difficulty that a neighbour sends, as in the released code


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The parameters of message passing; see the declaration of `d2` for their meaning and source."""

    k: int
    gamma_f: float
    gamma_r: float
    distance_power: int
    message: str
    reverse: str
    clip: bool


def d2(ctx: ScoreContext) -> Scores:
    """Score each sample by how early D2 picks it: minus the fraction of its graph picked before it.

    Any budget is thus a prefix of the picks of a class (of the whole set for the global scope).  Values are
    float64 [n] in (-1, 0], and -1 for samples excluded by `mis_ratio`, which return least suspicious first.
    Exact ties, and neighbours at equal distance, are decided by the seed and the content of the samples, never by the
    order of the file.  Raises DataError for features or dynamics that are not finite.
    """
    params = ctx.params
    settings = _settings(ctx)
    difficulty = measure(ctx)
    x = difficulty.named(cast(str, params["score"]))
    shuffled = content_order(ctx.rng, ctx.features, x, difficulty.margin)
    # decimal, so that 0.29 of 100 is 29; the least margin first
    n_cut = int(Decimal(str(params["mis_ratio"])) * ctx.n)
    excluded = np.zeros(ctx.n, dtype=np.bool_)
    excluded[shuffled[np.argsort(difficulty.margin[shuffled], kind="stable")[:n_cut]]] = True
    values, edges, features = np.full(ctx.n, -1.0), 0, ctx.features
    for members in _graphs(ctx, shuffled[~excluded[shuffled]]):
        ctx.check_deadline()
        order, n_edges = d2_order(features[members], x[members], settings)
        values[members[order]] = -np.arange(len(members)) / len(members)
        edges += n_edges
    return Scores(
        values=values,
        excluded=excluded,
        refill=difficulty.margin,
        diagnostics={"edges": edges, "excluded": n_cut},
    )


def d2_order(
    features: NDArray[np.floating], x: NDArray[np.float64], settings: Settings
) -> tuple[NDArray[np.int64], int]:
    """Return the picks of one graph int64 [n], first pick first, and its number of undirected edges.

    features: floating [n, d].  x: difficulty float64 [n] >= 0.  Ties go to the lower index.
    Forward: u_i = x_i + sum_j exp(-gamma_f * d_ij^p) * x_j (or x_i times the sum); then picks by `pick_order`.
    Raises DataError for features that are not finite.
    """
    points = features.astype(np.float64)
    if not np.isfinite(points).all():
        raise DataError("the features contain values that are not finite", "check the backbone and its weights")
    graph = neighbour_graph(points, settings.k)
    decay = graph.distance**settings.distance_power
    received = graph.neighbour_sum(np.exp(-settings.gamma_f * decay), np.maximum(x, _FLOOR))
    u = x * received if settings.message == "product" else x + received
    taken = np.ones_like(decay) if settings.reverse == "absolute" else np.exp(-settings.gamma_r * decay)
    return pick_order(u, graph, taken, clip=settings.clip), len(graph.neighbours) // 2


def _settings(ctx: ScoreContext) -> Settings:
    params = ctx.params
    return Settings(
        k=cast(int, params["k"]),
        gamma_f=cast(float, params["gamma_f"]),
        gamma_r=cast(float, params["gamma_r"]),
        distance_power=cast(int, params["distance_power"]),
        message=cast(str, params["message"]),
        reverse=cast(str, params["reverse"]),
        clip=cast(bool, params["clip"]),
    )


def _graphs(ctx: ScoreContext, samples: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Split `samples` int64 [m] into the members of each graph, in their given order; empty ones left out."""
    if ctx.params["graph_scope"] == "global":
        return [samples] if len(samples) else []
    labels = ctx.labels[samples]
    groups = (samples[labels == label] for label in range(ctx.n_classes))
    return [members for members in groups if len(members)]
