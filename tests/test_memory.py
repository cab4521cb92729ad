"""No method forms a table of N x N: peak memory on 50,000 samples, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from prunebench.plugins import load_plugins

SCRIPT = Path(__file__).parent / "peak_memory.py"
PLUGINS = sorted(path.name for path in (SCRIPT.parent.parent / "plugins").glob("prunebench_*"))
N = 50_000
SCORERS = load_plugins().entries["scorers"]

# Less work where it takes long; memory grows with none of these.
QUICK: dict[str, dict[str, Any]] = {
    "echo": {"encoder_epochs": 1},
    "elfs": {"heads": 2, "epochs": 1, "hidden": 32, "bottleneck": 16},
    "hierarchical-kmeans": {"max_iter": 3, "resamples": 1},
    "ripsnet": {"repeats": 1, "train_clouds": 200, "max_epochs": 2, "gate_samples": 64},
    "ripsnet-exact": {"repeats": 1},
    "semdedup": {"max_iter": 3},
    "stable-topocore": {"repeats": 2},
    "topocore": {"steps": 1},
    "topocore-persistence": {"steps": 1},
    "zcore": {"draws": 2000},
}


SQUARE = """
import numpy as np
from prunebench import ScorerSpec, hookimpl

@hookimpl
def prunebench_scorers():
    return [ScorerSpec(name=name, summary="A test.", load=f"square_one:{name}") for name in ("whole", "parts")]

def whole(ctx):
    return np.zeros((ctx.n, ctx.n), dtype=np.float32).sum(axis=1, dtype=np.float64)

def parts(ctx):
    return sum(part.sum() for part in [np.ones((ctx.n, ctx.n // 8), dtype=np.uint8) for _ in range(5)]) * np.ones(ctx.n)
"""


def peaks(names: list[str], environment: dict[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Return what the script found, by method."""
    arguments = [text for name in names for text in (name, json.dumps(QUICK.get(name, {})))]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=250, env=environment
    )
    assert done.returncode == 0, done.stderr
    return {found["name"]: found for found in map(json.loads, done.stdout.splitlines())}


def scorers_of(package: str) -> list[str]:
    return sorted(name for name, entry in SCORERS.items() if entry.spec.load.startswith(f"{package}."))


LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from the account of the Linux kernel")


@LINUX_ONLY
def test_a_table_of_all_pairs_is_seen_whole_or_in_parts(sandbox: Any) -> None:
    sandbox.install("square-one", SQUARE)
    found = peaks(["whole", "parts"], sandbox.environment)
    assert "Unable to allocate" in found["whole"]["error"]
    assert not found["parts"]["error"]
    assert found["parts"]["growth_bytes"] > N * N / 2


@LINUX_ONLY
@pytest.mark.thorough
@pytest.mark.parametrize("package", [package for package in PLUGINS if scorers_of(package)])
def test_fifty_thousand_samples_take_less_than_half_a_square_of_bytes(package: str) -> None:
    names = scorers_of(package)
    found = peaks(names)
    assert sorted(found) == names
    for name in names:
        assert not found[name]["error"], f"{name}: {found[name]['error']}"
        growth_bytes = found[name]["growth_bytes"]
        assert growth_bytes < N * N / 2, f"{name} grew by {growth_bytes / 1e6:.0f} MB"
