"""Persistence images as TopKD draws them: 20 x 20 pixels, one bandwidth, divided by the greatest value."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

SIDE = 20


@dataclass(frozen=True, kw_only=True)
class Imager:
    """Turns diagrams into images.

    Every pair (birth b, persistence p) has the weight 10 (tanh p + ln(100 b + 1)) and is spread by an isotropic
    Gaussian density of `bandwidth`; the surface is read at 20 x 20 equispaced points and divided by `peak`.

    In H0 all births are 0, hence so is the whole range of births, and the 20 columns of the image are
    identical: only one column, 20 numbers, is computed, and `copies` is 20.
    """

    homology: int
    bandwidth: float
    births: tuple[float, float]
    persistences: tuple[float, float]
    peak: float = 1.0

    @property
    def copies(self) -> int:
        """How often each computed pixel occurs in the image of 400."""
        return SIDE if self.homology == 0 else 1

    def images(self, diagrams: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return float64 [p, 20] (H0) or [p, 400] (H1, births slow) of diagrams float64 [p, k, 2], NaN = none."""
        chunks = np.array_split(diagrams, max(1, len(diagrams) // 512))
        return np.concatenate([self._surface(chunk) for chunk in chunks]) / self.peak

    def full(self, images: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return all 400 pixels, float32 [p, 400]."""
        return np.tile(images, (1, self.copies)).astype(np.float32)

    def _surface(self, diagrams: NDArray[np.float64]) -> NDArray[np.float64]:
        pairs = np.where(np.isnan(diagrams), 0.0, diagrams)  # weight 0
        weights = 10 * (np.tanh(pairs[..., 1]) + np.log(100 * pairs[..., 0] + 1))
        weights /= 2 * np.pi * self.bandwidth**2
        vertical = self._kernel(pairs[..., 1], self.persistences)
        if self.homology == 0:
            column: NDArray[np.float64] = np.einsum("pk,pkj->pj", weights, vertical)
            return column
        horizontal = self._kernel(pairs[..., 0], self.births) * weights[..., None]
        surface: NDArray[np.float64] = np.matmul(horizontal.transpose(0, 2, 1), vertical)
        return surface.reshape(len(pairs), SIDE * SIDE)

    def _kernel(self, values: NDArray[np.float64], limits: tuple[float, float]) -> NDArray[np.float64]:
        offsets = values[..., None] - np.linspace(*limits, SIDE)
        kernel: NDArray[np.float64] = np.exp(-(offsets**2) / (2 * self.bandwidth**2))
        return kernel


def fit_imager(diagrams: NDArray[np.float64], homology: int) -> Imager:
    """Fix bandwidth, range and greatest value on diagrams float64 [p, k, 2] of random clouds.

    Bandwidth: the 20 % quantile of the distances above 1e-5 among the first 200 pairs (1 where there are
    none).  Range: from the least to the greatest birth and persistence of all clouds.  Source: the TopKD
    code, which measures persistence as a difference of edge lengths (the paper: radii).
    """
    pairs = diagrams.reshape(-1, 2)
    pairs = pairs[~np.isnan(pairs[:, 0])]
    if len(pairs) == 0:
        pairs = np.zeros((1, 2))
    gaps = pdist(pairs[:200])
    gaps = gaps[gaps > 1e-5]
    imager = Imager(
        homology=homology,
        bandwidth=float(np.quantile(gaps, 0.2)) if len(gaps) else 1.0,
        births=(float(pairs[:, 0].min()), float(pairs[:, 0].max())),
        persistences=(float(pairs[:, 1].min()), float(pairs[:, 1].max())),
    )
    peak = float(imager.images(diagrams).max(initial=0.0))
    return replace(imager, peak=peak or 1.0)
