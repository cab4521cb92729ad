"""Is the margin right? Cases that can be checked by hand."""

import numpy as np
import pytest
from prunebench import DataError, ScoreContext

from prunebench_nearmiss.margin import score


def margins(features, labels, k=1, prefer="large"):
    evidence = {"features": np.array(features, dtype=np.float32), "labels": np.array(labels)}
    params = {"prefer": prefer, "k": k}
    return score(ScoreContext(params=params, n=len(labels), n_classes=2, evidence=evidence))


def test_the_margin_is_the_relative_difference_of_miss_and_hit():
    found = margins([[0.0], [1.0], [4.0], [6.0]], [0, 0, 1, 1])
    np.testing.assert_allclose(found, [(4 - 1) / 5, (3 - 1) / 4, (3 - 2) / 5, (5 - 2) / 7])


def test_several_neighbours_are_averaged_and_missing_ones_left_out():
    found = margins([[0.0], [1.0], [4.0], [6.0]], [0, 0, 1, 1], k=5)
    assert found[0] == pytest.approx((5 - 1) / 6)


def test_a_wrong_label_has_a_negative_margin_and_the_unit_does_not_matter():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 4)) + np.repeat([[0.0], [9.0]], 30, axis=0)
    labels = np.repeat([0, 1], 30)
    labels[5] = 1
    found = margins(features, labels, k=3)
    assert np.flatnonzero(found < 0).tolist() == [5]
    np.testing.assert_allclose(margins(features * 1000, labels, k=3), found, rtol=1e-4)


def test_small_turns_the_order_around():
    features, labels = [[0.0], [1.0], [4.0], [6.0]], [0, 0, 1, 1]
    np.testing.assert_array_equal(margins(features, labels, prefer="small"), -margins(features, labels))


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 1]])
def test_where_there_is_no_hit_or_no_miss_the_margin_is_0(labels):
    assert margins([[0.0], [1.0], [3.0]], labels)[0] == 0


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(DataError, match="1 of 2"):
        margins([[0.0], [np.nan]], [0, 1])
