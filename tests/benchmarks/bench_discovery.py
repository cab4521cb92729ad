"""How long `prunebench list` takes with two hundred third-party plugins installed: `nox -s bench`."""

from __future__ import annotations

import statistics
import time

from conftest import Sandbox

SOURCE = """
from prunebench import ScorerSpec, hookimpl

@hookimpl
def prunebench_scorers():
    return [ScorerSpec(name="method-NUMBER", summary="A method.", load="nowhere:score")]
"""


def seconds(sandbox: Sandbox) -> float:
    started = time.perf_counter()
    assert sandbox.run("list", "--json").returncode == 0
    return time.perf_counter() - started


def test_two_hundred_plugins_cost_little_once_they_have_been_tried(sandbox: Sandbox) -> None:
    alone = statistics.median(seconds(sandbox) for _ in range(5))
    for number in range(200):
        sandbox.install(f"plugin-{number:03}", SOURCE.replace("NUMBER", f"{number:03}"))
    cold = seconds(sandbox)
    warm = statistics.median(seconds(sandbox) for _ in range(5))
    print(f"\nprunebench list: {alone:.2f} s; with 200 plugins {cold:.2f} s at first, then {warm:.2f} s")
    assert warm < 4 * alone
