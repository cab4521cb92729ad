"""Several seeds of one network trained as one: their weights stacked, each update one call of torch.func.vmap."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn.functional import cross_entropy


class StackedSeeds:
    """SGD over the stacked weights of several networks of one architecture; batch k trains network k.

    precision: of the forward pass, None for that of the weights.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        *,
        momentum: float,
        nesterov: bool,
        weight_decay: float,
        precision: torch.dtype | None = None,
    ) -> None:
        self.weights, self.buffers = stack_module_state(list(models))
        self._skeleton = copy.deepcopy(models[0]).to("meta")
        self._precision = precision
        self._optimiser = torch.optim.SGD(
            list(self.weights.values()), momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True
        )
        self._gradients = vmap(grad_and_value(self._loss), randomness="different")

    def _loss(self, weights: dict[str, Tensor], buffers: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(images.device.type, dtype=self._precision, enabled=self._precision is not None):
            logits = functional_call(self._skeleton, (weights, buffers), (images,))
        return cross_entropy(logits.float(), labels)

    def update(self, images: Tensor, labels: Tensor, learning_rate: float) -> Tensor:
        """Make one update on images [seeds, b, c, h, w] and labels [seeds, b]; return the losses float32 [seeds]."""
        gradients, losses = self._gradients(self.weights, self.buffers, images, labels)
        for name, weight in self.weights.items():
            weight.grad = gradients[name].to(weight.dtype)
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate
        self._optimiser.step()
        return losses.detach()
