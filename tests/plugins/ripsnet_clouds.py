"""Groups of samples, the scorers run on them, and the closed form of an image."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

import prunebench_ripsnet
from prunebench import ScoreContext, Scores
from prunebench_ripsnet import score as scoring
from prunebench_ripsnet.image import Imager

NET, EXACT = prunebench_ripsnet.prunebench_scorers()
SMALL = {"cloud_size": 8, "repeats": 2, "train_clouds": 64}


def score(features: Any, labels: Any, seed: int = 0, exact: bool = False, **params: Any) -> Scores:
    features, labels = np.asarray(features), np.asarray(labels, dtype=np.int64)
    features.setflags(write=False)
    spec = EXACT if exact else NET
    context = ScoreContext(
        params=spec.resolve_params(params),
        seed=seed,
        n=len(labels),
        n_classes=int(labels.max()) + 1,
        evidence={"features": features, "labels": labels},
    )
    found = scoring.exact(context) if exact else scoring.ripsnet(context)
    assert found.values.dtype == np.float64
    assert found.values.shape == labels.shape
    assert np.isfinite(found.values).all()
    json.dumps(dict(found.diagnostics), allow_nan=False)
    return found


def blobs(n: int = 60, d: int = 5, classes: int = 2) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    generator = np.random.default_rng(1)
    labels = np.arange(n) % classes
    return (generator.normal(size=(n, d)) + 4 * labels[:, None]).astype(np.float32), labels


def image_of(lengths: Any, imager: Imager) -> NDArray[np.float64]:
    """The closed form of the H0 image, all 400 pixels, one pixel after the other."""
    pixels = []
    for height in np.linspace(*imager.persistences, 20):
        spread = [
            10
            * np.tanh(length)
            * np.exp(-((height - length) ** 2) / (2 * imager.bandwidth**2))
            / (2 * np.pi * imager.bandwidth**2)
            for length in lengths
        ]
        pixels += [sum(spread) / imager.peak] * 20
    return np.array(pixels)
