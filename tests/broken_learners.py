"""Learners that break one promise each; named after what they do."""

from __future__ import annotations

import numpy as np

from prunebench import TrainResult


def _result(accuracy=0.9, **more):
    return TrainResult(accuracy=accuracy, accuracy_best=accuracy, loss=1.0, epochs=1, **more)


def learns(ctx):
    """Claims to: keeps every promise that can be seen from outside."""
    dynamics = np.full((2, len(ctx.train_labels), ctx.n_classes), 1 / ctx.n_classes).astype(np.float16)
    return _result(weights={"w": np.zeros(1)}, dynamics=dynamics if ctx.record_dynamics else None)


def percent(ctx):
    return _result(90.0, weights={"w": np.zeros(1)})


def learns_nothing(ctx):
    return _result(0.33, weights={"w": np.zeros(1)})


def needs_two_classes(ctx):
    if len(ctx.train_labels) > 3 and len(np.unique(ctx.train_labels)) < 2:
        raise ValueError("one class")
    return learns(ctx)


def needs_a_batch(ctx):
    return learns(ctx) if len(ctx.train_labels) > 1 else _result(float("nan"))


def asks_for_a_teacher(ctx):
    ctx.teacher()
    return learns(ctx)


def keeps_no_weights(ctx):
    return _result()


def odds_for_dynamics(ctx):
    return _result(weights={"w": np.zeros(1)}, dynamics=np.full((2, len(ctx.train_labels), 3), 1.0).astype(np.float16))
