"""An executor that is a plugin, written on public names alone, computes what the local one computes."""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path

import pytest

import broken_executors
from registries import DIGITS, TRAINING

REGISTRY = (
    DIGITS
    + """
[suite.tiny]
dataset = "digits"
methods = ["random"]
baseline = "random"
pruning_rates = ["0.9"]
seeds = 1
"""
    + TRAINING
)
HOOK = """

from prunebench import ExecutorSpec, hookimpl


@hookimpl
def prunebench_executors():
    return [ExecutorSpec(name="one-by-one", summary="One process per task.", load="one_by_one:StartsWorkers")]
"""


def source() -> str:
    """Return a module with the sound executor and its declaration."""
    head = Path(broken_executors.__file__).read_text(encoding="utf-8").partition("\nclass ")[0]
    return head + inspect.getsource(broken_executors.StartsWorkers) + HOOK


def test_the_executor_uses_public_names_alone():
    imported = [node for node in ast.walk(ast.parse(source())) if isinstance(node, ast.ImportFrom)]
    assert {node.module for node in imported if "prunebench" in str(node.module)} == {"prunebench"}


def computed(sandbox, executor: str) -> dict:
    done = sandbox.run("run", "tiny", "--executor", executor, "--devices", "cpu", "--jobs", "1", "--quiet",
                       "--cache", f"cache-{executor}", "--results", f"results-{executor}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    [file] = (sandbox.folder / f"results-{executor}" / "tiny").rglob("*.jsonl")
    [record] = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return {name: record[name] for name in ("key", "status", "accuracy", "subset_digest", "method")}


@pytest.mark.thorough  # three runs of a suite
def test_a_third_party_executor_computes_what_the_local_one_computes(sandbox):
    sandbox.install("one-by-one", source())
    (sandbox.folder / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    found = {name: computed(sandbox, name) for name in ("local", "one-by-one")}
    assert found["local"]["status"] == "ok"
    assert found["local"] == found["one-by-one"]
