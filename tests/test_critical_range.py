"""The critical value of all pairs, beside that of scipy."""

import math

import pytest
from scipy.stats import studentized_range

from prunebench.stats.ranks import PAIR_LEVEL, critical_t


@pytest.mark.parametrize(("n_methods", "df"), [(2, 1.0), (2, 3.3), (6, 2.0), (11, 8.1), (40, 17.3), (120, 300.0)])
def test_the_critical_value_is_that_of_the_studentized_range(n_methods: int, df: float) -> None:
    expected = float(studentized_range.ppf(1 - PAIR_LEVEL * 0.05, n_methods, df)) / math.sqrt(2)
    assert critical_t(n_methods, df, 0.05) == pytest.approx(expected, rel=1e-7)
