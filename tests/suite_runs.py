"""Suites that tests run, of a plugin whose method does what a test says, and what they leave behind."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from conftest import Sandbox
from prunebench.plugins import load_plugins
from prunebench.registry import DatasetEntry
from prunebench.tasks import Task
from registries import NUMPY_DIGITS, TRAINING

REGISTRY = (
    NUMPY_DIGITS
    + """
[suite.tiny]
dataset = "digits"
methods = ["random", "moderate"]
baseline = "random"
unpruned = "full"
backbones = ["untrained"]
pruning_rates = ["0.9"]
seeds = 2
"""
    + TRAINING
    + """
[suite.third-party]
dataset = "digits"
methods = ["random", "odd"]
baseline = "random"
pruning_rates = ["0.9", "0.8"]
seeds = 2
"""
    + TRAINING
)

ODD = """
from prunebench import ScorerSpec, hookimpl

@hookimpl
def prunebench_scorers():
    return [ScorerSpec(name="odd", summary="A test.", load="odd_one:score", stochastic=True)]

def score(ctx):
    import os, time, numpy as np
    BODY
    return ctx.rng.random(ctx.n)
"""


def odd(body: str) -> str:
    return ODD.replace("BODY", body)


def scoring(scorer: str, version: str) -> Task:
    """Return the task that scores digits."""
    from prunebench.identify import load_registered
    from prunebench.stages.data import fingerprint

    catalogue = load_plugins()
    entry = DatasetEntry(name="digits", spec="digits", params={}, fingerprint="", licence="")
    config = {
        "dataset": {"fingerprint": fingerprint(load_registered(entry, catalogue, ()))},
        "plugin": {"kind": "scorer", "name": scorer, "params": {}, "version": version},
        "seed": 1,
    }
    return Task("scores", config, {}, {"dataset": {"name": "digits", "spec": "digits", "params": {}}})


def serially(bench: Sandbox, suite: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a suite in this process."""
    return bench.call("run", suite, "--executor", "serial", *arguments)


def records(folder: Path, suite: str) -> list[dict]:
    files = sorted((folder / "results" / suite).rglob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def stamps(folder: Path, stage: str) -> dict[str, int]:
    return {path.parent.name: path.stat().st_ino for path in (folder / "cache" / stage).rglob("meta.json")}
