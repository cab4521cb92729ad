"""Seeds that are trained as one network are the networks that are trained alone."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from learner_contexts import conv_net, digits
from stacked_seeds import StackedSeeds


def test_stacked_seeds_are_the_networks_that_train_alone() -> None:
    images, labels = digits()
    x = torch.from_numpy(images[:120]).permute(0, 3, 1, 2).float().div(255).view(3, 2, 20, 1, 8, 8)
    y = torch.from_numpy(labels[:120]).view(3, 2, 20)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        models = [conv_net() for _ in range(2)]
    stacked = StackedSeeds(models, momentum=0.9, nesterov=True, weight_decay=5e-4)
    losses = [stacked.update(x[step], y[step], 0.05) for step in range(3)]
    for seed, model in enumerate(models):
        expected = alone(model, x[:, seed], y[:, seed])
        torch.testing.assert_close(torch.stack(losses)[:, seed], expected, atol=1e-5, rtol=1e-5)
        for name, value in model.state_dict().items():
            found = {**stacked.weights, **stacked.buffers}[name][seed]
            torch.testing.assert_close(found.detach(), value, atol=1e-5, rtol=1e-4, check_dtype=False)


def alone(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Train one network by an ordinary loop, and return its losses."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    losses = []
    for batch, truth in zip(images, labels, strict=True):
        optimiser.zero_grad()
        losses.append(cross_entropy(model(batch), truth))
        losses[-1].backward()
        optimiser.step()
    return torch.stack(losses).detach()
