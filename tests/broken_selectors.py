"""Selectors that break one promise each; named after what they do."""

from __future__ import annotations

import numpy as np


def first(ctx):
    """The first of the order: keeps every promise."""
    return np.sort(ctx.order[: ctx.n_keep])


def best_first(ctx):
    return ctx.order[: ctx.n_keep].copy()


def one_too_many(ctx):
    return np.sort(ctx.order[: ctx.n_keep + 1])


def the_same_one(ctx):
    return np.repeat(ctx.order[:1], ctx.n_keep)


def only_distinct_scores(ctx):
    return first(ctx) if len(np.unique(ctx.scores)) > 1 or len(ctx.scores) < 5 else ctx.order[:0]


def only_several_classes(ctx):
    return first(ctx) if len(np.unique(ctx.labels)) > 1 or len(ctx.labels) < 5 else ctx.order[:0]


def only_many_samples(ctx):
    return first(ctx) if len(ctx.labels) > 4 else ctx.order[:0]


def equal_shares(ctx):
    """A third of the budget a class, which small classes cannot give."""
    if len(np.unique(ctx.labels)) < 3 or np.ptp(np.bincount(ctx.labels)) < 10:
        return first(ctx)
    share = ctx.n_keep // 3
    return np.sort(np.concatenate([ctx.order[ctx.labels[ctx.order] == c][:share] for c in range(3)]))


def ignores_exclusion(ctx):
    return np.sort(np.argsort(-ctx.scores, kind="stable")[: ctx.n_keep])
