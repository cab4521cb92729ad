"""Weights in low precision beside the float32 ones that the optimiser updates."""

from __future__ import annotations

import torch
from torch import nn

_CAST_BY_AUTOCAST = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


class CachedWeights:
    """Stands in for the parameters of convolutions and linear layers, which autocast would cast at every forward pass.

    The network then holds copies in `precision`, with gradients in `precision`; these go to the float32 parameters
    after every backward pass, as autocast's do.  Make it after the optimiser, which keeps the float32 ones.
    """

    def __init__(self, model: nn.Module, precision: torch.dtype) -> None:
        self._places: list[tuple[nn.Module, str, nn.Parameter]] = []
        copies: dict[nn.Parameter, nn.Parameter] = {}  # a shared parameter has one copy
        for module in model.modules():
            if not isinstance(module, _CAST_BY_AUTOCAST):
                continue
            for name, master in list(module.named_parameters(recurse=False)):
                if not master.requires_grad:
                    continue
                copies.setdefault(master, nn.Parameter(master.detach().to(precision)))
                self._places.append((module, name, master))
                setattr(module, name, copies[master])
        self._masters: list[torch.Tensor] = [*copies]
        self._copies: list[torch.Tensor] = [*copies.values()]
        self._gradients = [torch.zeros_like(master) for master in self._masters]

    @torch.no_grad()
    def refresh(self) -> None:
        """Cast the float32 parameters anew, after an update."""
        torch._foreach_copy_(self._copies, self._masters)

    @torch.no_grad()
    def collect(self, *, first: bool) -> None:
        """Hand the gradients of a micro-batch to the float32 parameters; first: they replace what is there."""
        low = [torch.zeros_like(copy) if copy.grad is None else copy.grad for copy in self._copies]
        (torch._foreach_copy_ if first else torch._foreach_add_)(self._gradients, low)
        for master, copy, gradient in zip(self._masters, self._copies, self._gradients, strict=True):
            master.grad, copy.grad = gradient, None

    def restore(self) -> None:
        """Give the network its float32 parameters back."""
        for module, name, master in self._places:
            setattr(module, name, master)
