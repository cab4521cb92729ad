"""GraNd against autograd, TDDS against its slow definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from prunebench import DataError, NotApplicable
from uncertainty_evidence import run, sample


@pytest.mark.parametrize("bias", [True, False])
def test_grand_is_the_norm_of_the_gradient_that_autograd_finds(bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    z, y = torch.randn(12, 5, generator=generator), torch.arange(12) % 3
    weight = torch.randn(3, 5, generator=generator, requires_grad=True)
    offset = torch.randn(3, generator=generator, requires_grad=True)
    expected = []
    for i in range(12):
        loss = torch.nn.functional.cross_entropy((z[i] @ weight.T + offset)[None], y[i : i + 1])
        gradients = torch.autograd.grad(loss, [weight, offset])
        expected.append(float(torch.cat([g.flatten() for g in gradients[: 2 if bias else 1]]).norm()))
    with torch.no_grad():
        residual = torch.softmax(z @ weight.T + offset, 1) - torch.eye(3)[y]
    values = run("grand", {"gradients": (residual.numpy(), z.numpy())}, bias=bias)
    assert values == pytest.approx(expected, rel=1e-5)


@given(arrays(np.float32, (5, 3), elements=st.floats(-1, 1, width=32)), st.booleans())
@settings(max_examples=30, deadline=None)
def test_grand_is_the_norm_of_the_outer_product(residual: NDArray[np.float32], bias: bool) -> None:
    z = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    extended = np.hstack([z, np.full((5, 1), float(bias))]).astype(np.float64)
    outer = np.einsum("ic,id->icd", residual.astype(np.float64), extended)
    expected = np.linalg.norm(outer.reshape(5, -1), axis=1)
    assert run("grand", {"gradients": (residual, z)}, bias=bias) == pytest.approx(expected, rel=1e-9, abs=1e-30)


# ------------------------------------------------------------------------------------------------- TDDS


def slow_tdds(dynamics: NDArray[Any], length: int, window: int, decay: float, *, absolute: bool = True) -> list[float]:
    """The definition, number by number: every window by itself, with its explicit weight."""
    scores = []
    for i in range(dynamics.shape[1]):
        total = 0.0
        for k in range(length - window + 1):
            changes = []
            for t in range(k, k + window - 1):
                before, after = (dynamics[e, i].astype(np.float64) for e in (t, t + 1))
                terms = [a * (np.log(a + 1e-8) - np.log(b + 1e-8)) for a, b in zip(after, before, strict=True)]
                changes.append(sum(map(abs, terms)) if absolute else sum(terms))
            mean = sum(changes) / len(changes)
            spread = np.sqrt(sum((change - mean) ** 2 for change in changes))
            total += spread * decay * (1 - decay) ** (length - window - k)
        scores.append(float(total))
    return scores


@pytest.mark.parametrize(("length", "window", "decay"), [(14, 10, 0.9), (10, 10, 0.9), (9, 3, 0.5), (14, 4, 1.0)])
def test_tdds_matches_the_slow_definition(length: int, window: int, decay: float) -> None:
    evidence = sample(n=9)
    values = run("tdds", evidence, epochs=length, window=window, decay=decay)
    assert values == pytest.approx(slow_tdds(evidence["dynamics"], length, window, decay), rel=1e-9)
    kl = run("tdds", evidence, epochs=length, window=window, decay=decay, divergence="kl")
    expected = slow_tdds(evidence["dynamics"], length, window, decay, absolute=False)
    assert kl == pytest.approx(expected, rel=1e-9)


def test_tdds_reads_the_first_epochs_and_shortens_the_window_of_a_short_recording() -> None:
    evidence = sample(n=9)
    default = run("tdds", evidence)
    assert default == pytest.approx(slow_tdds(evidence["dynamics"], 10, 10, 0.9), rel=1e-9)
    short = {"dynamics": evidence["dynamics"][:5].copy(), "labels": evidence["labels"]}
    assert run("tdds", short) == pytest.approx(slow_tdds(short["dynamics"], 5, 5, 0.9), rel=1e-9)
    assert run("tdds", evidence, epochs=5) == pytest.approx(run("tdds", short), rel=1e-12)


def test_a_sample_that_keeps_flipping_unevenly_comes_before_a_steady_one() -> None:
    steady, flips = [[0.9, 0.1]] * 6, [[0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1]]
    evidence = {"dynamics": np.array([steady, flips], "f2").transpose(1, 0, 2).copy(), "labels": np.zeros(2, "i8")}
    values = run("tdds", evidence)
    assert values[0] == 0
    assert values[1] > 0


def test_tdds_is_finite_for_probabilities_of_zero_and_one() -> None:
    dynamics = np.zeros((5, 2, 2), "f2")
    dynamics[[0, 2, 4], :, 0] = dynamics[[1, 3], :, 1] = 1
    expected = slow_tdds(dynamics, 5, 4, 0.9)
    values = run("tdds", {"dynamics": dynamics, "labels": np.zeros(2, "i8")}, window=4)
    assert values == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("epochs", [0, 1, 2])
def test_tdds_declines_fewer_than_three_epochs(epochs: int) -> None:
    with pytest.raises(NotApplicable, match="epochs"):
        run("tdds", {"labels": np.zeros(3, "i8"), "dynamics": np.full((epochs, 3, 2), 0.5, "f2")})


@pytest.mark.parametrize("shape", [(4, 2, 2), (3, 2)])
def test_dynamics_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="shape"):
        run("tdds", {"labels": np.zeros(3, "i8"), "dynamics": np.zeros(shape, "f2")})
