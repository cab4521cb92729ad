"""What a network sees and makes of it: its last batch, and the features that its classifier reads."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from prunebench import NotApplicable


class Watched:
    """The images [b, c, h, w] of the last batch of a network in training or of one without gradients, and the
    penultimate features [b, d]: what its linear classifier read of it."""

    images: torch.Tensor
    features: torch.Tensor

    def attach(self, network: nn.Module, n_classes: int) -> nn.Module:
        """Watch `network` from now on, and return it.

        Raises NotApplicable where its last linear layer does not give one number for each class.
        """
        classifier = next((one for one in reversed([*network.modules()]) if isinstance(one, nn.Linear)), None)
        if classifier is None or classifier.out_features != n_classes:
            text = f"{type(network).__name__} has no linear classifier of {n_classes} classes, whose input is compared"
            raise NotApplicable(text, "choose a network that ends in one linear layer")
        network.register_forward_pre_hook(self._see)
        classifier.register_forward_pre_hook(self._read)
        return network

    def _see(self, network: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.images = inputs[0]

    def _read(self, classifier: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.features = inputs[0].flatten(1)
