"""A RipsNet that has learnt the persistence images of given clouds, and is frozen: gradients pass through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunebench import DataError
from prunebench_ripsnet.diagrams import cloud_distances, mean_distance, persistence
from prunebench_ripsnet.image import SIDE, fit_imager
from prunebench_ripsnet.network import RipsNet, build_network
from prunebench_ripsnet.training import Fit, Recipe, train_network

_CLOUDS_AT_ONCE = 128


@dataclass(frozen=True, kw_only=True)
class FrozenImages:
    """Clouds to images in (0, 1), 20 x 20 pixels.

    distance: mean distance of the points that it has learnt from, to which all points are scaled.
    """

    network: RipsNet
    distance: float
    fit: Fit

    def __call__(self, points: Tensor, members: Tensor) -> Tensor:
        """Return images float32 [c, 400] of clouds of rows of `points` float32 [b, d].

        members: int64 [c, m], rows of `points`; b stands for no point.
        """
        images: Tensor = self.network(points / self.distance, members)
        return images


def learn_images(
    clouds: NDArray[np.float32],
    *,
    homology: int,
    operator: str,
    max_epochs: int,
    seed: int,
    device: str,
    after_step: Callable[[float, str], None],
) -> FrozenImages:
    """Return a network that was trained on the exact images of clouds float32 [c, m, d], m >= 2.

    Bandwidth, range and greatest value of the images are those of all clouds; a quarter of them is held out, and the
    weights of the lowest held-out loss are kept.  after_step: called often, with the fraction done and a text.
    Raises DataError for points that are not finite, Diverged where training fails.
    Source: Kim et al. 2024, TopKD, section 3, and its released code.
    """
    if not np.isfinite(clouds).all():
        raise DataError("the features of the teacher contain values that are not finite", "check its weights")
    rng = np.random.default_rng(seed)
    count, size, width = clouds.shape
    distance = mean_distance(clouds.reshape(-1, width), rng)
    points = clouds / np.float32(distance)
    parts: list[NDArray[np.float64]] = []
    for part in np.array_split(points, -(-count // _CLOUDS_AT_ONCE)):
        after_step(0.3 * sum(len(part) for part in parts) / count, "persistence images of the teacher")
        parts.append(persistence(cloud_distances(part), np.arange(len(part)), None, homology))
    longest = max(part.shape[1] for part in parts)
    padding = [((0, 0), (0, longest - part.shape[1]), (0, 0)) for part in parts]
    diagrams = np.concatenate([np.pad(a, b, constant_values=np.nan) for a, b in zip(parts, padding, strict=True)])
    imager = fit_imager(diagrams, homology)
    network = build_network(width, SIDE * SIDE, operator, seed).to(device)
    fit = train_network(
        network,
        torch.from_numpy(points.reshape(-1, width)).to(device),
        np.arange(count * size, dtype=np.int64).reshape(count, size),
        imager.full(imager.images(diagrams)),
        Recipe(max_epochs=max_epochs),
        rng,
        lambda epoch: after_step(0.3 + 0.7 * epoch / max_epochs, f"RipsNet epoch {epoch}"),
    )
    return FrozenImages(network=network.requires_grad_(False).eval(), distance=distance, fit=fit)
