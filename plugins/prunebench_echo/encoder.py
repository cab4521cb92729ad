"""Maps of raw pixels to the unit square: ECHO's structural encoder, and principal components."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunebench import Diverged
from prunebench.toolbox import min_max


@dataclass(frozen=True, kw_only=True)
class EncoderRecipe:
    """How to train the encoder with Adam; kind is linear or mlp."""

    kind: str
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    device: str


def train_encoder(
    pixels: NDArray[np.uint8],
    recipe: EncoderRecipe,
    rng: np.random.Generator,
    after_epoch: Callable[[int], None],
) -> tuple[NDArray[np.float64], float]:
    """Return the embedding float64 [n, 2] of pixels uint8 [n, d] and the mean loss a sample of the last epoch.

    Raises Diverged where the loss is not finite.
    """
    network = _network(pixels.shape[1], recipe).to(recipe.device)
    optimiser = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    loss = 0.0
    for epoch in range(1, recipe.epochs + 1):
        order, total = rng.permutation(len(pixels)), 0.0
        for start in range(0, len(order), recipe.batch_size):
            batch = as_floats(pixels[order[start : start + recipe.batch_size]], recipe.device)
            batch_loss = structural_loss(batch, network(batch))
            optimiser.zero_grad(set_to_none=True)
            batch_loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            total += batch_loss.item()
        loss = total / len(pixels)
        if not np.isfinite(loss):
            raise Diverged(f"the structural loss is {loss} after epoch {epoch}", "lower encoder_learning_rate")
        after_epoch(epoch)
    with torch.no_grad():
        parts = [network(as_floats(chunk, recipe.device)).double().cpu() for chunk in _chunks(pixels)]
    return torch.cat(parts).numpy(), loss


def structural_loss(images: Tensor, embedded: Tensor) -> Tensor:
    """Return sum_i (mean_j Dx_ij - mean_j Dz_ij)^2 of a batch, images [b, d] and embedded [b, 2].

    Dx and Dz are Euclidean distances divided by their greatest value in the batch (paper: in the whole set).
    """
    flat = torch.cdist(embedded, embedded, compute_mode="donot_use_mm_for_euclid_dist")
    scale = flat.max().clamp_min(torch.finfo(flat.dtype).tiny)
    return ((_eccentricities(images) - flat.mean(dim=1) / scale) ** 2).sum()


@torch.no_grad()
def _eccentricities(images: Tensor) -> Tensor:
    """Return the mean distance [b] of each of `images` [b, d] to all of them, as a fraction of the greatest."""
    squared = images.square().sum(dim=1)
    # one product and no copies: this is what an epoch spends its time on
    raw = torch.addmm(squared[:, None] + squared, images, images.T, alpha=-2).clamp_min_(0).sqrt_()
    raw.fill_diagonal_(0)
    return raw.mean(dim=1) / raw.max().clamp_min(torch.finfo(raw.dtype).tiny)


def principal_components(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the first two principal components float64 [n, 2] of pixels uint8 [n, d].

    The greatest loading of each is positive.  A missing component (d = 1) is 0.
    """
    mean = pixels.mean(axis=0, dtype=np.float64) / 255
    covariance = np.zeros((pixels.shape[1], pixels.shape[1]))
    for chunk in _chunks(pixels):
        centred = chunk / 255 - mean
        covariance += centred.T @ centred
    axes = np.linalg.eigh(covariance)[1][:, ::-1][:, :2]
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    embedded = np.zeros((len(pixels), 2))
    embedded[:, : axes.shape[1]] = np.concatenate([(chunk / 255 - mean) @ axes for chunk in _chunks(pixels)])
    return embedded


def to_unit_square(embedded: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return float64 [n, 2] with each axis scaled to [0, 1]; a constant axis becomes 0."""
    return np.stack([min_max(embedded[:, 0]), min_max(embedded[:, 1])], axis=1)


def as_floats(pixels: NDArray[np.uint8], device: str = "cpu") -> Tensor:
    """Return pixels as fractions of 1, float32 of the same shape."""
    return torch.from_numpy(pixels.astype(np.float32) / 255).to(device)


def _chunks(pixels: NDArray[np.uint8], rows: int = 4096) -> list[NDArray[np.uint8]]:
    return [pixels[start : start + rows] for start in range(0, len(pixels), rows)]


def _network(n_inputs: int, recipe: EncoderRecipe) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(recipe.seed)
        if recipe.kind == "linear":
            return nn.Linear(n_inputs, 2)
        return nn.Sequential(nn.Linear(n_inputs, 128), nn.ReLU(), nn.Linear(128, 2))
