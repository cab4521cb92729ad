"""RipsNet: a DeepSets network from a cloud to its persistence image (de Surrel et al. 2022; sizes of TopKD)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag


class RipsNet(nn.Module):
    """Layers for each point, a permutation-invariant operator, and a head with values in (0, 1)."""

    def __init__(self, n_inputs: int, n_pixels: int, operator: str) -> None:
        super().__init__()
        self.operator = operator
        first, second, third = point_sizes(n_inputs)
        self.point = nn.Sequential(
            *(nn.Linear(n_inputs, first), nn.ReLU()),
            *(nn.Linear(first, second), nn.ReLU()),
            *(nn.Linear(second, third), nn.ReLU()),
        )
        self.head = nn.Sequential(
            *(nn.Linear(third, 50, bias=False), nn.ReLU()),
            *(nn.Linear(50, 100, bias=False), nn.ReLU()),
            *(nn.Linear(100, 200, bias=False), nn.ReLU()),
            *(nn.Linear(200, n_pixels, bias=False), nn.Sigmoid()),
        )

    def pool(self, embedded: Tensor, members: Tensor) -> Tensor:
        """Return the pooled clouds float32 [c, h] of point embeddings [u, h].

        members: int64 [c, m], rows of `embedded`; u stands for no point.
        """
        rows = torch.cat([embedded, embedded.new_zeros(1, embedded.shape[1])])
        return embedding_bag(members, rows, mode=self.operator, padding_idx=len(embedded))

    def forward(self, points: Tensor, members: Tensor) -> Tensor:
        """Return images float32 [c, pixels] of clouds of rows of `points` [u, d]; members as in `pool`."""
        images: Tensor = self.head(self.pool(self.point(points), members))
        return images

    def without(self, pooled: Tensor, left_out: Tensor, size: int) -> Tensor:
        """Return pooled clouds [p, h] of `size` points after the embedding `left_out` [p, h] has left each."""
        if self.operator == "sum":
            return pooled - left_out
        return (size * pooled - left_out) / (size - 1)


def point_sizes(n_inputs: int) -> tuple[int, int, int]:
    """Return the widths of the three point layers: those of the nearest input size of TopKD (by ratio)."""
    sizes = {
        16: (16, 16, 16),
        32: (32, 16, 16),
        64: (64, 32, 32),
        128: (128, 64, 64),
        256: (256, 128, 128),
        512: (512, 256, 256),
        1024: (512, 256, 256),
        2048: (1024, 512, 256),
    }
    return sizes[min(sizes, key=lambda known: abs(math.log(known / n_inputs)))]


def build_network(n_inputs: int, n_pixels: int, operator: str, seed: int) -> RipsNet:
    """Return an untrained network; the global generator of torch is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return RipsNet(n_inputs, n_pixels, operator)
