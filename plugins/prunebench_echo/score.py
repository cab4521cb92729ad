"""ECHO: rounds over the cells of a grid in a 2-D embedding of the raw images, with support samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from prunebench import DataError, ScoreContext, Scores
from prunebench.toolbox import class_quotas
from prunebench_echo.encoder import EncoderRecipe, principal_components, to_unit_square, train_encoder
from prunebench_echo.graph import build_cells, build_graph, visiting_order
from prunebench_echo.rounds import place_samples


@dataclass(frozen=True, kw_only=True)
class _Ranking:
    """All samples of one run, best first (int64 [m]), its supports (bool [m]), and what to store of the run."""

    order: NDArray[np.int64]
    supports: NDArray[np.bool_]
    facts: dict[str, Any]


def echo(ctx: ScoreContext) -> Scores:
    """Return descending ranks float64 [n] whose first `n_keep` are the chosen set.

    With accounting = inside that set is exactly Q u A, the picks Q of the rounds and the supports A of the
    cells visited.  With paper it is Q, the supports of all cells are extra samples on top of the budget, and
    the caveat states how many images Q u A are.
    Diagnostics (lists of one entry per class with per_class): cells, components before bridging, bridges,
    supports in the chosen set, rounds begun.  Source: ECHO, sections on embedding, PC graph, sampling.
    Raises DataError for pixels that are not uint8, Diverged where the encoder fails.
    """
    if ctx.pixels.dtype != np.uint8:
        raise DataError(f"the pixels are {ctx.pixels.dtype}, expected uint8", "ECHO embeds raw images")
    pixels = ctx.pixels.reshape(ctx.n, -1)
    ranking = (_rank_classes if ctx.params["per_class"] else _rank)(ctx, pixels, ctx.n_keep)
    values = np.empty(ctx.n)
    values[ranking.order] = np.arange(ctx.n, 0, -1)
    if ctx.params["accounting"] == "inside":
        return Scores(values=values, diagnostics=ranking.facts)
    extra = ranking.supports.copy()
    extra[ranking.order[: ctx.n_keep]] = False
    caveat = f"trains on {ctx.n_keep + int(extra.sum()):,} images, on a budget of {ctx.n_keep:,}"
    return Scores(values=values, extra=extra, diagnostics=ranking.facts, caveat=caveat if extra.any() else "")


def _rank_classes(ctx: ScoreContext, pixels: NDArray[np.uint8], budget: int) -> _Ranking:
    """Run ECHO on each class by itself; its share of the budget comes before the rest of any class."""
    first, rest, facts = [], [], []
    supports = np.zeros(ctx.n, dtype=np.bool_)
    for label, quota in enumerate(class_quotas(ctx.labels, ctx.n_classes, budget)):
        members = np.flatnonzero(ctx.labels == label)
        if len(members) == 0:
            continue
        ranking = _rank(ctx, pixels[members], int(quota))
        first.append(members[ranking.order[:quota]])
        rest.append(members[ranking.order[quota:]])
        supports[members] = ranking.supports
        facts.append(ranking.facts)
    diagnostics = {name: [fact[name] for fact in facts] for name in facts[0]}
    diagnostics["distinct_images"] = sum(diagnostics["distinct_images"])
    return _Ranking(order=np.concatenate([*first, *rest]), supports=supports, facts=diagnostics)


def _rank(ctx: ScoreContext, pixels: NDArray[np.uint8], budget: int) -> _Ranking:
    """Run ECHO on pixels uint8 [m, d]; the order does not depend on `budget`, the facts do."""
    embedded, loss = _embed(ctx, pixels)
    cells = build_cells(embedded)
    graph = build_graph(cells)
    visits = visiting_order(cells, graph, ctx.rng if ctx.params["ties"] == "random" else None)
    places = place_samples(embedded, pixels, cells, visits, cast(int, ctx.params["supports"]), ctx.rng)
    inside = ctx.params["accounting"] == "inside"
    order = places.with_supports() if inside else places.picks()
    chosen, left = order[:budget], order[budget:]
    is_support = places.support > 0
    entered = np.where(inside & is_support, 1, places.rounds)
    facts = {
        "structural_loss": loss,
        "side": cells.side,
        "cells": graph.n_cells,
        "components": graph.components,
        "bridges": len(graph.bridges),
        "supports": int(is_support[chosen].sum()),
        "rounds": int(entered[chosen].max(initial=0)),
        "distinct_images": len(chosen) + (0 if inside else int(is_support[left].sum())),
    }
    return _Ranking(order=order, supports=is_support, facts=facts)


def _embed(ctx: ScoreContext, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float64], float | None]:
    """Return the embedding float64 [m, 2] in the unit square, and the encoder's last loss where it has one."""
    kind = cast(str, ctx.params["encoder"])
    if kind == "pca":
        return to_unit_square(principal_components(pixels)), None
    recipe = EncoderRecipe(
        kind=kind,
        epochs=cast(int, ctx.params["encoder_epochs"]),
        batch_size=cast(int, ctx.params["encoder_batch"]),
        learning_rate=cast(float, ctx.params["encoder_learning_rate"]),
        seed=ctx.seed,
        device=ctx.device,
    )

    def report(epoch: int) -> None:
        ctx.check_deadline()
        ctx.progress(0.9 * epoch / recipe.epochs, f"ECHO encoder epoch {epoch}")

    embedded, loss = train_encoder(pixels, recipe, ctx.rng, report)
    return to_unit_square(embedded), loss
