"""Scores from predictions against direct formulas; what all scorers of the package hold to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import entropy as scipy_entropy
from scipy.stats import rankdata

from prunebench import DataError, PluginContractError
from prunebench_uncertainty import evidence as steps
from uncertainty_evidence import LOGITS, SPECS, UNCERTAINTIES, moved, run, sample


@pytest.mark.parametrize("name", SPECS)
def test_a_scorer_reads_only_what_it_declares(name: str) -> None:
    with pytest.raises(PluginContractError, match="did not declare"):
        run(name, {"labels": np.zeros(4, dtype=np.int64)}, budget=2)


@pytest.mark.parametrize("name", sorted(set(SPECS) - {"contextual-diversity"}))
def test_scores_follow_the_samples_into_class_sorted_and_shuffled_order(name: str) -> None:
    evidence = sample()
    straight = run(name, evidence)
    for to in (np.argsort(evidence["labels"], kind="stable"), np.random.default_rng(0).permutation(60)):
        assert run(name, moved(evidence, to)) == pytest.approx(straight[to], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", SPECS)
def test_a_seed_gives_the_same_bytes_and_the_global_random_state_stays(name: str) -> None:
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what is checked
    torch_before = torch.get_rng_state()
    first, second = (run(name, sample(), budget=20) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert np.array_equal(numpy_before, np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(torch_before, torch.get_rng_state())


@pytest.mark.parametrize("name", SPECS)
def test_the_size_of_a_block_does_not_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(name, sample(), budget=20)
    monkeypatch.setattr(steps, "_BLOCK_VALUES", 70)
    assert run(name, sample(), budget=20) == pytest.approx(whole, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("kind", ["features", "logits", "dynamics", "gradients"])
def test_values_that_are_not_finite_are_refused_with_their_count(kind: str) -> None:
    evidence = sample()
    array = evidence[kind][0] if kind == "gradients" else evidence[kind]
    (array[4] if kind == "dynamics" else array)[[5, 9, 9], [0, 0, 1]] = [np.nan, np.inf, np.nan]
    for name, spec in SPECS.items():
        if kind in spec.needs:
            with pytest.raises(DataError, match="2 of 60 rows"):
                run(name, evidence, budget=20)


@pytest.mark.parametrize("dtype", ["f2", "f4"])
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("name", sorted(set(SPECS) - {"deepfool-last-layer"}))
def test_tiny_and_constant_input_gives_equal_scores(name: str, n: int, dtype: str) -> None:
    for classes in (1, 3):
        evidence = {
            "labels": np.zeros(n, dtype=np.int64),
            "features": np.ones((n, 2), dtype),
            "logits": np.ones((n, classes), dtype),
            "gradients": (np.zeros((n, classes), dtype), np.ones((n, 2), dtype)),
            "dynamics": np.full((4, n, classes), 1 / classes, "f2"),
        }
        values = run(name, evidence, n_classes=classes, budget=n)
        assert name == "contextual-diversity" or np.ptp(values) == 0


# ------------------------------------------------------------------------------------------ predictions


@given(LOGITS)
@settings(max_examples=50, deadline=None)
def test_uncertainties_match_their_formulas(logits: NDArray[np.float32]) -> None:
    p = softmax(logits.astype(np.float64), axis=1)
    ranked = np.sort(p, axis=1)
    evidence = {"logits": logits}
    assert run("least-confidence", evidence) == pytest.approx(1 - p.max(axis=1), abs=1e-12)
    assert run("entropy", evidence) == pytest.approx(scipy_entropy(p, axis=1), abs=1e-12)
    assert run("margin", evidence) == pytest.approx(1 - (ranked[:, -1] - ranked[:, -2]), abs=1e-12)
    assert run("least-confidence", evidence, mode="release").tolist() == (-logits.max(axis=1)).tolist()
    released = -(p * np.log(p + 1e-6)).sum(axis=1)
    assert run("entropy", evidence, mode="release") == pytest.approx(released, abs=1e-12)


@given(arrays(np.float32, (9, 2), elements=st.floats(-40, 40, width=32)))
@settings(max_examples=50, deadline=None)
def test_all_uncertainties_order_two_classes_alike(logits: NDArray[np.float32]) -> None:
    least, spread, between = (run(name, {"logits": logits}) for name in UNCERTAINTIES)
    assert between == pytest.approx(2 * least, rel=1e-12)
    assert rankdata(least).tolist() == rankdata(between).tolist()
    assert (np.diff(spread[np.argsort(least)]) >= -1e-12).all()


@pytest.mark.parametrize("name", UNCERTAINTIES)
def test_the_most_uncertain_sample_comes_first_and_certain_samples_are_not_tied(name: str) -> None:
    values = run(name, {"logits": np.array([[0, 0, 0], [200, 0, 0], [90, 0, 0], [90.5, 0, 0], [2, 1, 0]], "f4")})
    assert np.argsort(-values).tolist() == [0, 4, 2, 3, 1]
    assert (np.diff(np.sort(values)) > 0).all()


@pytest.mark.parametrize("name", UNCERTAINTIES)
def test_a_constant_added_to_all_logits_changes_nothing_but_the_largest_logit(name: str) -> None:
    logits = np.array([[3, 1, 0], [1, 2, 1], [5, 5, 0]], dtype=np.float32)
    lifted = (logits + np.array([[64], [0], [-64]])).astype(np.float32)
    assert run(name, {"logits": lifted}) == pytest.approx(run(name, {"logits": logits}), rel=1e-12)
    released = [run("least-confidence", {"logits": given}, mode="release") for given in (logits, lifted)]
    assert np.argsort(released[0]).tolist() != np.argsort(released[1]).tolist()


@pytest.mark.parametrize("name", UNCERTAINTIES)
def test_the_preference_for_confident_samples_inverts_the_order(name: str) -> None:
    evidence = sample()
    assert (run(name, evidence, prefer="confident") == -run(name, evidence)).all()


def test_huge_logits_do_not_overflow() -> None:
    logits = np.array([[3e38, -3e38, 0], [0, 0, 0]], dtype=np.float32)
    assert [run(name, {"logits": logits})[0] for name in UNCERTAINTIES] == [0, 0, 0]
