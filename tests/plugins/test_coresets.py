"""What every greedy coreset promises: its exact picks, in any order of the file, and no table of all pairs."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch

from coreset_problems import EVERY, SPECS, evidence_of, picks_of, problem, run, selected, taken, values_of
from prunebench import DataError, PluginContractError
from prunebench.toolbox import class_quotas
from prunebench_selectors.ranked import class_top, top

# every method


@EVERY
@pytest.mark.parametrize("budget", [1, 2, 3, 20, 89, 90])
def test_both_selectors_keep_exactly_the_greedy_picks(name: str, params: dict[str, Any], budget: int) -> None:
    evidence = problem()
    result = run(name, evidence, budget, **params)
    picks, values = picks_of(result), values_of(result)
    quotas = class_quotas(evidence["labels"], 3, budget)
    assert np.bincount(evidence["labels"][picks], minlength=3).tolist() == quotas.tolist()
    for select in (class_top, top):
        assert selected(result, evidence["labels"], budget, select=select).indices.tolist() == picks.tolist()
    lowest = values[picks].min()
    assert not np.isin(np.flatnonzero(values == lowest), picks, invert=True).any()


@EVERY
def test_the_picks_are_the_same_samples_in_class_sorted_and_in_shuffled_files(
    name: str, params: dict[str, Any]
) -> None:
    evidence = problem(n=150)
    straight = picks_of(run(name, evidence, 45, **params))
    for order in (np.argsort(evidence["labels"], kind="stable"), np.random.default_rng(4).permutation(150)):
        moved = picks_of(run(name, taken(evidence, order), 45, **params))
        assert sorted(order[moved]) == straight.tolist()


@EVERY
def test_a_repeated_run_gives_the_same_bytes_and_leaves_the_global_generators_alone(
    name: str, params: dict[str, Any]
) -> None:
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what is checked
    torch_state = torch.get_rng_state()
    first, second = (values_of(run(name, problem(), 30, **params)).tobytes() for _ in range(2))
    assert first == second
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(torch_state, torch.get_rng_state())


@EVERY
@pytest.mark.parametrize("n", [1, 2, 3, 7])
@pytest.mark.parametrize("kind", ["ordinary", "constant", "zero", "duplicates", "collinear"])
def test_degenerate_input_still_gives_the_exact_budget(name: str, params: dict[str, Any], n: int, kind: str) -> None:
    generator, dtype = np.random.default_rng(n), "f2" if n in (2, 7) else "f4"
    features = {
        "ordinary": generator.normal(size=(n, 4)),
        "constant": np.ones((n, 4)),
        "zero": np.zeros((n, 4)),
        "duplicates": np.repeat(generator.normal(size=(1 + n // 2, 4)), 2, axis=0)[:n],
        "collinear": np.outer(np.arange(n), np.ones(4)),
    }[kind].astype(dtype)
    # the certain answers of "zero" make gradients of zero
    logits = np.repeat([[1000.0, 0.0, 0.0]], n, axis=0) if kind == "zero" else features[:, :3].astype(np.float64)
    for labels in (np.zeros(n, dtype=np.int64), np.arange(n) % 2):
        evidence = evidence_of(features, logits.astype(dtype), labels)
        for budget in {1, (n + 1) // 2, n}:
            result = run(name, evidence, budget, **params)
            assert len(picks_of(result)) == budget
            assert len(selected(result, labels, budget).indices) == budget


@EVERY
def test_values_that_are_not_finite_are_refused_with_their_number(name: str, params: dict[str, Any]) -> None:
    evidence = problem()
    features = evidence["features"].copy()
    features[[7, 30], 1] = np.nan
    features[30, 2] = np.inf
    spoilt = {**evidence, "features": features, "gradients": (evidence["gradients"][0], features)}
    with pytest.raises(DataError, match="features of 2 of 90 samples"):
        run(name, spoilt, 10, **params)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_a_method_reads_only_what_it_declares(name: str) -> None:
    with pytest.raises(PluginContractError, match="did not declare"):
        run(name, {"labels": np.zeros(3, dtype=np.int64)}, 1)


def test_logits_and_class_predictions_are_checked_too() -> None:
    evidence = problem()
    logits, residual = evidence["logits"].copy(), evidence["gradients"][0].copy()
    logits[3] = residual[4] = np.nan
    with pytest.raises(DataError, match="logits of 1 of 90"):
        run("glister", {**evidence, "logits": logits}, 9)
    with pytest.raises(DataError, match="class predictions of 1 of 90"):
        run("craig", {**evidence, "gradients": (residual, evidence["features"])}, 9)


# memory


@pytest.mark.parametrize(
    ("name", "params", "n", "d"),
    [
        ("k-center", {"scope": "global"}, 30_000, 8),
        ("graph-cut", {}, 20_000, 8),
        ("herding", {}, 30_000, 8),
        ("log-det", {}, 20_000, 8),
        ("gradmatch", {}, 20_000, 8),
        ("facility-location", {}, 8_400, 4),
    ],
)
def test_one_large_class_never_needs_a_table_of_all_pairs(name: str, params: dict[str, Any], n: int, d: int) -> None:
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(n, d)).astype(np.float32), np.zeros(n, dtype=np.int64)
    evidence = evidence_of(features, features[:, :2], labels)
    tracemalloc.start()
    try:
        result = run(name, evidence, 12, n_classes=1, **params)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(picks_of(result)) == 12
    # facility location keeps the pairs that still count; the others hold a few rows of length n
    assert peak < (4 * n * n if name == "facility-location" else 16 * 2**20)
