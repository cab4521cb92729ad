"""TopKD's losses against closed forms and torch's own, and its learner against `deepcore`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from learner_contexts import SPECS, conv_net, image_context, linear_net
from prunebench import NotApplicable, PluginContractError, TrainContext, TrainResult
from prunebench.keys import digest
from prunebench_learners import deepcore, topkd
from prunebench_learners.topkd import cloud_members, distillation_loss, teach, teacher_clouds, topology_loss
from prunebench_learners.watching import Watched
from prunebench_ripsnet.diagrams import cloud_distances, persistence
from prunebench_ripsnet.frozen import FrozenImages, learn_images

SHORT = {"epochs": 3, "batch_size": 64, "learning_rate": 0.05, "clouds": 64, "image_epochs": 2, "cloud_size": 16}


def seeded(build: Callable[[], nn.Module], seed: int = 5) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build().eval().requires_grad_(False)


def context(n: int = 200, teacher: Callable[[], nn.Module] = conv_net, **params: Any) -> TrainContext:
    resolved = SPECS["topkd"].resolve_params({**SHORT, **params})
    made = image_context(n, keep_weights=True, seed=3)
    return replace(made, params=resolved, teacher=lambda: seeded(teacher), used=learn_images)


def same(one: TrainResult, other: TrainResult) -> bool:
    assert one.weights is not None
    assert other.weights is not None
    return all(np.array_equal(array, other.weights[name]) for name, array in one.weights.items())


@pytest.fixture(scope="module")
def images() -> FrozenImages:
    clouds = np.random.default_rng(0).normal(size=(40, 12, 6)).astype(np.float32)
    return learned(clouds)


def learned(clouds: np.ndarray, max_epochs: int = 3) -> FrozenImages:
    return learn_images(
        clouds, homology=0, operator="mean", max_epochs=max_epochs, seed=1, device="cpu", after_step=lambda *_: None
    )


# ------------------------------------------------------------------------------------------------- distillation


def test_two_logits_have_the_distillation_loss_of_the_closed_form():
    teacher, student = torch.tensor([[2.0, 0.0]]), torch.zeros(1, 2)
    p = 1 / (1 + math.exp(-0.5))
    expected = 16 * (p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p)))
    assert float(distillation_loss(student, teacher, 4.0)) == pytest.approx(expected, abs=1e-6)
    assert expected == pytest.approx(0.484798, abs=1e-6)


@given(st.integers(0, 10_000), st.floats(0.5, 8))
@settings(max_examples=20, deadline=None)
def test_the_distillation_loss_is_that_of_torch(seed, temperature):
    student, teacher = torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    divergence = nn.KLDivLoss(reduction="batchmean")
    expected = divergence((student / temperature).log_softmax(1), (teacher / temperature).softmax(1)) * temperature**2
    torch.testing.assert_close(distillation_loss(student, teacher, temperature), expected)
    assert float(distillation_loss(teacher, teacher, temperature)) == pytest.approx(0, abs=1e-12)


# ----------------------------------------------------------------------------------------------------- topology


def test_equal_features_have_no_topology_loss_and_other_ones_have(images):
    features = torch.randn(24, 6, generator=torch.Generator().manual_seed(0))
    assert float(topology_loss(images, features, features.clone(), 12)) == 0
    assert float(topology_loss(images, 3 * features, features, 12)) > 0


def test_the_order_within_a_cloud_does_not_matter(images):
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 12, 6, generator=generator)
    order = torch.randperm(12, generator=generator)
    loss = topology_loss(images, student, teacher, 12)
    torch.testing.assert_close(topology_loss(images, student[order], teacher, 12), loss)


def test_the_gradient_of_the_topology_loss_is_that_of_finite_differences(images):
    student, teacher = torch.randn(2, 10, 6, generator=torch.Generator().manual_seed(2))
    network = images.network.double()
    exact = replace(images, network=network)
    members = cloud_members(10, 5)

    def loss(points: torch.Tensor) -> torch.Tensor:
        return nn.functional.mse_loss(exact(points, members), exact(teacher.double(), members))

    try:
        assert torch.autograd.gradcheck(loss, student.double().requires_grad_(True), eps=1e-5, atol=1e-4)
    finally:
        network.float()


def test_a_large_batch_is_the_mean_over_its_clouds(images):
    student, teacher = torch.randn(2, 36, 6, generator=torch.Generator().manual_seed(3))
    parts = [topology_loss(images, student[i : i + 12], teacher[i : i + 12], 12) for i in (0, 12, 24)]
    torch.testing.assert_close(topology_loss(images, student, teacher, 12), torch.stack(parts).mean())


@given(st.integers(2, 700), st.integers(2, 80))
@settings(max_examples=50, deadline=None)
def test_every_point_is_in_one_cloud_and_none_is_alone(n, size):
    members = cloud_members(n, size)
    assert sorted(members[members < n].tolist()) == list(range(n))
    sizes = (members < n).sum(dim=1)
    assert int(sizes.min()) >= 2
    assert int(sizes.max()) <= size + 1
    assert len(members) == 1 or int(sizes.max()) - int(sizes.min()) <= 1


def test_the_code_s_batches_are_one_cloud_each():
    assert [len(cloud_members(n, 64)) for n in (64, 16, 256, 512)] == [1, 1, 4, 8]


def test_ripsnet_learns_the_images_of_clouds_of_known_topology():
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.2, 3, size=(200, 1, 1))
    clouds = (spread * rng.normal(size=(200, 8, 4))).astype(np.float32)
    before, after = learned(clouds, max_epochs=1), learned(clouds, max_epochs=60)
    assert after.fit.validation_loss < 0.5 * before.fit.validation_loss
    # wider clouds have longer edges in their spanning trees, and other images
    lengths = persistence(cloud_distances(clouds), np.arange(200), None, 0)[..., 1].sum(axis=1)
    found = after(torch.from_numpy(clouds.reshape(-1, 4)), torch.arange(1600).reshape(200, 8))
    distances = torch.cdist(found, found).numpy()
    near, far = np.argsort(lengths)[[0, 1]], np.argsort(lengths)[[0, -1]]
    assert distances[near[0], near[1]] < distances[far[0], far[1]]


def test_ripsnet_is_frozen_and_lets_gradients_through(images):
    assert not any(parameter.requires_grad for parameter in images.network.parameters())
    points = torch.randn(12, 6, requires_grad=True)
    images(points, cloud_members(12, 12)).sum().backward()
    assert points.grad is not None
    assert float(points.grad.abs().sum()) > 0


# ------------------------------------------------------------------------------------------------- the learner


def test_the_whole_loss_is_the_weighted_sum_of_its_three_parts(images):
    """One training step by hand, on the images, the teacher and the RipsNet of the learner."""
    ctx = context(n=48)
    student, watched = Watched(), Watched()
    teacher, network = watched.attach(seeded(linear_net), 10), student.attach(seeded(linear_net, 6), 10)
    inputs = torch.randn(48, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    clouds = teacher_clouds(ctx, teacher, watched)
    lesson = topkd.Lesson(
        teacher=teacher, watched=watched, student=student, kd_weight=2.0, topology_weight=5.0, temperature=4.0,
        cloud_size=48, images_of=learned(clouds), amp=False,
    )  # fmt: skip
    logits = network(inputs)
    got = lesson(logits, torch.zeros(48, dtype=torch.int64))
    distilled, topology = lesson.parts(logits)
    torch.testing.assert_close(got, 2 * distilled + 5 * topology)
    torch.testing.assert_close(distilled, distillation_loss(logits, teach(teacher, inputs, amp=False), 4.0))
    assert float(topology) == 0  # both read the pixels themselves


def test_without_weights_it_is_cross_entropy_training_byte_for_byte():
    result = topkd.train(context(kd_weight=0.0, topology_weight=0.0))
    ctx = context()
    plain = {name: value for name, value in ctx.params.items() if name in SPECS["deepcore"].params}
    expected = deepcore.train(replace(ctx, params=plain))
    assert same(result, expected)
    assert result.accuracy_per_epoch == expected.accuracy_per_epoch


def test_each_weight_changes_what_is_learnt():
    results = [topkd.train(context(kd_weight=kd, topology_weight=top)) for kd, top in ((0, 0), (2, 0), (0, 5), (2, 5))]
    for place, one in enumerate(results):
        assert not any(same(one, other) for other in results[:place])


def test_the_same_seed_gives_the_same_network_and_another_one_another():
    first, again = topkd.train(context()), topkd.train(context())
    assert same(first, again)
    assert not same(first, topkd.train(replace(context(), seed=4)))


def test_the_teacher_is_not_changed_and_the_global_generator_neither():
    teacher = seeded(conv_net)
    before = digest([value.tolist() for value in teacher.state_dict().values()])
    state = torch.get_rng_state()
    topkd.train(replace(context(), teacher=lambda: teacher))
    assert digest([value.tolist() for value in teacher.state_dict().values()]) == before
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_good_teacher_makes_a_good_student_without_labels_that_are_right():
    """With labels that are noise, all that can be learnt is what the teacher says."""
    ctx = image_context(600, keep_weights=True)
    trained = deepcore.train(replace(ctx, params={**ctx.params, "epochs": 8, "batch_size": 64}))
    assert trained.weights is not None

    def teacher() -> nn.Module:
        network = conv_net()
        network.load_state_dict({name: torch.tensor(array) for name, array in (trained.weights or {}).items()})
        return network.eval().requires_grad_(False)

    noise = np.random.default_rng(0).integers(0, 10, 600)
    params = SPECS["topkd"].resolve_params({**SHORT, "epochs": 8, "learning_rate": 0.02, "kd_weight": 4.0})
    taught, alone = (
        topkd.train(replace(ctx, params=one, train_labels=noise, teacher=teacher, used=learn_images))
        for one in (params, {**params, "kd_weight": 0.0, "topology_weight": 0.0})
    )
    assert taught.accuracy > 0.7 > 0.4 > alone.accuracy


def test_the_clouds_are_of_the_teacher_and_drawn_anew_in_each_pass():
    watched = Watched()
    teacher = watched.attach(seeded(linear_net), 10)
    clouds = teacher_clouds(context(n=50, cloud_size=16, clouds=9), teacher, watched)
    assert clouds.shape == (9, 16, 64)
    ctx = context(n=50)
    assert ctx.train_images is not None
    pixels = ((ctx.train_images[:50, :, :, 0] / 255 - 0.3) / 0.35).reshape(50, 64).astype(np.float32)
    nearest = np.linalg.norm(clouds.reshape(-1, 1, 64) - pixels[None], axis=2)
    assert nearest.min(axis=1).max() < 1e-4
    drawn = nearest.argmin(axis=1).reshape(3, 48)  # three passes of three clouds
    assert all(len(set(one)) == 48 for one in drawn.tolist())
    assert drawn[0].tolist() != drawn[1].tolist()


@pytest.mark.parametrize("n", [1, 2, 3, 17])
def test_small_subsets_are_trained_on(n):
    assert 0 <= topkd.train(context(n=n)).accuracy <= 1


def test_features_of_two_widths_are_refused_by_name():
    with pytest.raises(NotApplicable, match="student has 128 penultimate features, and the teacher 64"):
        topkd.train(context(teacher=linear_net))


def test_a_network_without_a_linear_classifier_is_refused():
    with pytest.raises(NotApplicable, match="no linear classifier of 10 classes"):
        topkd.train(context(teacher=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 7))))


def test_an_undeclared_teacher_is_refused():
    ctx = image_context(10)
    with pytest.raises(PluginContractError, match="did not declare") as refused:
        ctx.teacher()
    assert "'teacher' to `needs`" in refused.value.hint
