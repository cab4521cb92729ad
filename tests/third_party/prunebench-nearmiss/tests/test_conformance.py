"""The promises that every scorer makes; see `prunebench check --list scorer`."""

from prunebench.testing import parametrize_with_checks

import prunebench_nearmiss


@parametrize_with_checks(prunebench_nearmiss.prunebench_scorers())
def test_it_keeps_its_promises(entry, check):
    check(entry)
