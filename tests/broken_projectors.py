"""Projectors that break one promise each; named after what they do."""

from __future__ import annotations

import numpy as np

from broken_scorers import has_duplicates
from prunebench import DataError


def plane(ctx):
    """The first two features: keeps every promise."""
    if not np.isfinite(ctx.features).all():
        raise DataError("not finite", "a hint")
    return ctx.features[:, :2].astype(np.float32)


def float64_plane(ctx):
    return plane(ctx).astype(np.float64)


def view_of_the_features(ctx):
    return ctx.features[:, :2]


def plane_with_infinity(ctx):
    return plane(ctx) + np.where(np.arange(len(ctx.features)) == 3, np.inf, 0).astype(np.float32)[:, None]


def scrambled_plane(ctx):
    return np.sin(1e4 * plane(ctx))


def divides_by_the_spread(ctx):
    spread = np.ptp(ctx.features)
    return plane(ctx) / np.float32(0 if spread == np.ptp(ctx.features[0]) and len(ctx.features) > 6 else 1)


def refuses_duplicates(ctx):
    if has_duplicates(ctx.features):
        raise ValueError("duplicates")
    return plane(ctx)


def refuses_float16(ctx):
    if ctx.features.dtype == np.float16:
        raise TypeError("no float16")
    return plane(ctx)


def needs_three_samples(ctx):
    return plane(ctx) + 0 * ctx.features[2, 0]


def projects_nan(ctx):
    return ctx.features[:, :2].astype(np.float32)
