"""Overlap of selections beside chance."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.errors import UsageError
from prunebench.pruning.stability import agreement, overlap, stability, stability_text


def rows_of(chosen: set[int]) -> np.ndarray:
    return np.array(sorted(chosen), dtype=np.int64)


@given(st.sets(st.integers(0, 19), min_size=1), st.sets(st.integers(0, 19), min_size=1))
def test_overlap_is_the_shared_part_of_the_mean_size_and_symmetric(first: set[int], second: set[int]) -> None:
    found = overlap(rows_of(first), rows_of(second), 20)
    assert found.overlap == pytest.approx(2 * len(first & second) / (len(first) + len(second)))
    assert found == overlap(rows_of(second), rows_of(first), 20)


@pytest.mark.parametrize("by_class", [False, True])
def test_chance_is_what_random_selections_of_these_sizes_share_on_average(by_class: bool) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [20, 80])

    def draw() -> np.ndarray:
        if by_class:  # ten of the small class, ten of the large one
            return np.concatenate([rng.permutation(20)[:10], 20 + rng.permutation(80)[:10]])
        return rng.permutation(100)[:20]

    found = [overlap(draw(), draw(), 100, labels if by_class else None) for _ in range(2000)]
    assert found[0].chance == pytest.approx(0.3125 if by_class else 0.2)
    assert np.mean([one.overlap for one in found]) == pytest.approx(found[0].chance, abs=0.01)


def test_a_method_without_randomness_is_called_deterministic() -> None:
    found = stability(lambda seed: np.arange(10)[:: 1 if seed % 2 else -1], [0, 1, 2], 100)
    assert found.deterministic
    assert found.overlap == found.least == 1
    assert "keep the same 10 samples (chance would share 10%)" in stability_text(found)


def test_probabilities_count_the_selections_that_keep_a_sample() -> None:
    chosen = {0: np.array([0, 1]), 1: np.array([1, 2]), 2: np.array([1, 3])}
    found = stability(chosen.__getitem__, [0, 1, 2], 5)
    assert found.keep_probability.tolist() == pytest.approx([1 / 3, 1, 1 / 3, 1 / 3, 0])
    assert (found.overlap, found.deterministic, found.samples) == (0.5, False, 2)
    assert found.keep_probability.sum() == pytest.approx(found.samples)


def test_beyond_chance_is_zero_for_chance_and_one_for_the_same_samples() -> None:
    assert overlap(np.arange(10), np.arange(9, 19), 100).beyond_chance == pytest.approx(0)
    assert overlap(np.arange(10), np.arange(10), 100).beyond_chance == 1
    assert overlap(np.arange(10), np.arange(10), 10).beyond_chance is None


def test_json_says_all_but_the_probabilities_and_gives_the_same_sentence() -> None:
    found = agreement([np.array([0, 1, 2]), np.array([1, 2, 3])], 10)
    facts = json.loads(json.dumps(found.as_json()))
    assert facts == {"overlap": 0.666667, "least": 0.666667, "chance": 0.3, "deterministic": False, "selections": 2,
                     "samples": 3}  # fmt: skip
    assert stability_text(facts) == stability_text(found)


@pytest.mark.parametrize("rows", [[], [0, 0], [-1], [10]])
def test_rows_that_are_no_selection_are_refused(rows: list[int]) -> None:
    with pytest.raises(UsageError, match="of 10"):
        overlap(np.array(rows, dtype=np.int64), np.array([1]), 10)


def test_one_seed_shows_no_stability() -> None:
    with pytest.raises(UsageError, match="under 1 seed"):
        stability(lambda seed: np.arange(3), [1, 1], 10)
