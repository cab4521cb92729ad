"""Many small clustering networks side by side, computed together."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_INITIAL_DEVIATION = 0.02


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How many heads, and the widths of their layers."""

    heads: int
    inputs: int
    hidden: int
    bottleneck: int
    clusters: int


class Heads(nn.Module):
    """Heads of two layers with GELU between them, unit length, and a weight-normalised last layer without bias.

    Source: the DINO head (Caron et al. 2021) as TEMI uses it.
    """

    def __init__(self, shape: Shape, generator: torch.Generator) -> None:
        super().__init__()
        heads, inputs, hidden, bottleneck = shape.heads, shape.inputs, shape.hidden, shape.bottleneck

        def normal(*size: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(size).normal_(std=_INITIAL_DEVIATION, generator=generator))

        # the first layers of all heads are one matrix: they read the same inputs
        self.first, self.first_bias = normal(inputs, heads * hidden), nn.Parameter(torch.zeros(heads * hidden))
        self.second, self.second_bias = (
            normal(heads, hidden, bottleneck),
            nn.Parameter(torch.zeros(heads, 1, bottleneck)),
        )
        bound = bottleneck**-0.5
        last = torch.empty(heads, bottleneck, shape.clusters).uniform_(-bound, bound, generator=generator)
        self.last_direction, self.last_length = nn.Parameter(last), nn.Parameter(torch.ones(heads, 1, shape.clusters))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits [heads, b, clusters] of inputs [b, d]."""
        heads = len(self.second)
        hidden = nn.functional.gelu(inputs @ self.first + self.first_bias)
        hidden = hidden.view(len(inputs), heads, -1).transpose(0, 1)
        narrow = nn.functional.normalize(torch.baddbmm(self.second_bias, hidden, self.second), dim=2)
        direction = nn.functional.normalize(self.last_direction, dim=1)
        return torch.bmm(narrow, direction) * self.last_length

    def last_layer(self) -> list[nn.Parameter]:
        """Return the parameters of the last layer."""
        return [self.last_direction, self.last_length]

    def biases(self) -> list[nn.Parameter]:
        """Return the parameters that are not decayed."""
        return [self.first_bias, self.second_bias]

    def teacher(self) -> Heads:
        """Return a copy without gradients."""
        twin = copy.deepcopy(self)
        return twin.requires_grad_(False)

    @torch.no_grad()
    def follow(self, student: Heads, momentum: float) -> None:
        """Move every parameter to momentum * itself + (1 - momentum) * the student's."""
        torch._foreach_lerp_(list(self.parameters()), list(student.parameters()), 1 - momentum)
