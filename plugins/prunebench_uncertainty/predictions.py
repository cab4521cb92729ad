"""Uncertainty of a prediction: least confidence, entropy, margin."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from prunebench import ScoreContext
from prunebench_uncertainty.evidence import blocks, require_finite

_LOG_OFFSET = 1e-6  # inside the logarithm of the entropy in DeepCore's code


def least_confidence(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return 1 - max_c p_c, float64 [n] in [0, 1); in release mode minus the largest logit.

    Computed from the probabilities of the other classes, so that samples of confidence near 1 are not tied.
    The sign follows `prefer`.  Source: Lewis and Gale 1994; DeepCore.  Raises DataError for logits that are
    not finite.
    """
    if ctx.params["mode"] == "release":
        return _signed(ctx, lambda logits: -logits.max(axis=1))
    return _signed(ctx, lambda logits: _share(_others(logits)[1].sum(axis=1)))


def entropy(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return -sum_c p_c log p_c in nats, float64 [n]; in release mode with log(p_c + 1e-6).

    The sign follows `prefer`.  Source: Shannon 1948, Settles 2009; DeepCore.  Raises DataError for logits
    that are not finite.
    """
    return _signed(ctx, _offset_entropy if ctx.params["mode"] == "release" else _entropy)


def margin(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return 1 - (p_1 - p_2) for the two most probable classes, float64 [n] in [0, 1].

    The sign follows `prefer`; 0 with one class.  Source: Scheffer et al. 2001; DeepCore computes the same.
    Raises DataError for logits that are not finite.
    """
    return _signed(ctx, _one_minus_margin)


def _signed(ctx: ScoreContext, measure: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return `measure` of the logits, in blocks of samples; negated where confident samples go first."""
    logits = ctx.logits
    require_finite(logits, "logits")
    values = np.empty(ctx.n)
    for rows in blocks(ctx.n, logits.shape[1]):
        ctx.check_deadline()
        values[rows] = measure(logits[rows].astype(np.float64))
    return -values if ctx.params["prefer"] == "confident" else values


def _others(logits: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (l - max l, exp of it), float64 [m, c] each, the second with 0 for one winning class."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    odds = np.exp(shifted)
    odds[np.arange(len(odds)), logits.argmax(axis=1)] = 0.0
    return shifted, odds


def _share(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability of what has these odds against the winning class."""
    return odds / (1.0 + odds)


def _entropy(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted, odds = _others(logits)
    rest = odds.sum(axis=1)
    values: NDArray[np.float64] = np.log1p(rest) - (odds * shifted).sum(axis=1) / (1.0 + rest)
    return values


def _offset_entropy(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    values: NDArray[np.float64] = -(probabilities * np.log(probabilities + _LOG_OFFSET)).sum(axis=1)
    return values


def _one_minus_margin(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    odds = _others(logits)[1]
    rest = odds.sum(axis=1)
    values: NDArray[np.float64] = (rest + odds.max(axis=1)) / (1.0 + rest)
    return values
