"""Files that are damaged in any way are read, or refused by an error that is documented: nothing else is raised."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fuzzed_data import DATA
from fuzzed_results import RESULTS
from fuzzing import Parser, refused

AT_ONCE = 20  # files for each number that is drawn: to draw takes longer than to read a file
DEAR = {"board: m.jsonl": 20, "a pruning: manifest.json": 3, "a pruning: ledger.csv": 3}  # times what others take


@pytest.mark.parametrize("count", [200, pytest.param(2000, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("parser", [*RESULTS, *DATA], ids=lambda parser: parser.name)
def test_damaged_files_are_read_or_refused_in_a_sentence(parser: Parser, count: int) -> None:
    counts = []

    @settings(
        max_examples=max(1, count // AT_ONCE // DEAR.get(parser.name, 1)), deadline=None, database=None,
        derandomize=True, phases=(Phase.generate,), suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.integers(0, 2**32))
    def check(first: int) -> None:
        counts.append(refused(parser, range(AT_ONCE * first, AT_ONCE * (first + 1))))

    check()
    assert parser.forgiving or sum(counts) > 0
