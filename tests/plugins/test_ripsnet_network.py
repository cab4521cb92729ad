"""The DeepSets network: sizes, pooling, leaving one out, and training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prunebench_ripsnet.clouds import training_clouds
from prunebench_ripsnet.diagrams import cloud_distances, persistence
from prunebench_ripsnet.image import fit_imager
from prunebench_ripsnet.leave_one_out import network_change
from prunebench_ripsnet.network import build_network, point_sizes
from prunebench_ripsnet.training import Recipe, held_out_loss, train_network


def test_layer_sizes_for_other_inputs_are_those_of_the_nearest_size() -> None:
    assert point_sizes(64) == (64, 32, 32)
    assert point_sizes(2) == (16, 16, 16)
    assert point_sizes(100) == (128, 64, 64)
    assert point_sizes(4096) == (1024, 512, 256)


@pytest.mark.parametrize("operator", ["mean", "sum"])
def test_pooling_is_the_operator_over_the_members_in_any_order(operator: str) -> None:
    network = build_network(3, 400, operator, 0)
    points = torch.from_numpy(np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32))
    members = np.array([[0, 4, 7, 2], [9, 1, 3, 10]])  # 10 = no point
    found = network(points, torch.from_numpy(members))
    assert torch.allclose(found, network(points, torch.from_numpy(members[:, [2, 0, 3, 1]])), atol=1e-6)
    embedded = network.point(points)
    for row, chosen in zip(found, ([0, 4, 7, 2], [9, 1, 3]), strict=True):
        pooled = embedded[chosen].mean(dim=0) if operator == "mean" else embedded[chosen].sum(dim=0)
        assert torch.allclose(row, network.head(pooled), atol=1e-6)
    assert ((found > 0) & (found < 1)).all()


@pytest.mark.parametrize("operator", ["mean", "sum"])
def test_the_closed_form_of_leaving_one_out_is_the_network_on_the_smaller_cloud(operator: str) -> None:
    network = build_network(4, 400, operator, 1)
    points = torch.from_numpy(3 * np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32))
    members = np.random.default_rng(1).permutation(20).reshape(4, 5)
    rows, columns = np.divmod(np.arange(20), 5)
    with torch.no_grad():
        found = network_change(points, network)(members, rows, columns)
        for row, column, value in zip(rows, columns, found, strict=True):
            rest = np.delete(members[row], column)
            images = [network(points, torch.from_numpy(cloud)[None])[0] for cloud in (members[row], rest)]
            assert value == pytest.approx(float((images[0] - images[1]).norm()), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("operator", ["mean", "sum"])
def test_the_network_overfits_8_clouds(operator: str) -> None:
    generator = np.random.default_rng(0)
    scale = np.repeat(np.linspace(0.3, 2.0, 8), 8)[:, None]
    points = (generator.normal(size=(64, 16)) * scale).astype(np.float32)
    clouds = np.arange(64).reshape(8, 8)
    diagrams = persistence(cloud_distances(points[clouds]), np.arange(8), None, 0)
    imager = fit_imager(diagrams, 0)
    images = imager.full(imager.images(diagrams))
    network = build_network(16, 400, operator, 0)
    # the eight clouds twice, as one is held out
    recipe = Recipe(max_epochs=800, patience=800, held_out=0.001, learning_rate=5e-3)
    tensor = torch.from_numpy(points)
    train_network(network, tensor, np.tile(clouds, (2, 1)), np.tile(images, (2, 1)), recipe, generator, lambda _: None)
    assert held_out_loss(network, tensor, clouds, images) < 1e-4


def test_training_stops_early_and_keeps_the_best_weights() -> None:
    generator = np.random.default_rng(0)
    points = torch.from_numpy(generator.normal(size=(40, 4)).astype(np.float32))
    clouds = training_clouds([np.arange(40)], 6, 40, generator)
    noise = generator.random((40, 400)).astype(np.float32)  # nothing to generalise
    network = build_network(4, 400, "sum", 0)
    recipe = Recipe(max_epochs=400, patience=3, learning_rate=2e-2)
    shuffled = np.random.default_rng(5).permutation(40)
    fit = train_network(network, points, clouds, noise, recipe, np.random.default_rng(5), lambda _: None)
    assert fit.epochs == fit.best_epoch + 3
    held = shuffled[:10]
    assert held_out_loss(network, points, clouds[held], noise[held]) == pytest.approx(fit.validation_loss)
