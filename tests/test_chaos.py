"""Runs that are disturbed in every way leave one accepted record for each cell, the one of an undisturbed run."""

from __future__ import annotations

import pytest

from chaos import Chaos


@pytest.mark.parametrize(
    ("cells", "kills", "workers"), [(10, 10, 2), pytest.param(60, 40, 3, marks=pytest.mark.thorough)]
)
def test_what_is_left_after_kills_and_damage_is_what_an_undisturbed_run_gives(tmp_path, cells, kills, workers):
    chaos = Chaos(tmp_path / "work", cells, kills, workers, seconds=0.1, pause_seconds=0.25)
    chaos.disturb()
    assert chaos.counts["kill_worker"] + chaos.counts["kill_run"] >= kills
    chaos.settle()
    chaos.check()
