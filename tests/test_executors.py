"""An executor that is a plugin, written on public names alone, computes what the local one computes."""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from pathlib import Path

import pytest

import broken_executors
from prunebench.errors import UsageError
from prunebench.executors.choice import Choice, choose
from prunebench.plugins import load_plugins
from prunebench.testing import assert_conformant, examine
from registries import NUMPY_DIGITS, TRAINING

CATALOGUE = load_plugins()
REGISTRY = (
    NUMPY_DIGITS
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
    sandbox.register(REGISTRY)
    found = {name: computed(sandbox, name) for name in ("local", "one-by-one")}
    assert found["local"]["status"] == "ok"
    assert found["local"] == found["one-by-one"]


def test_the_executor_of_the_page_on_clusters_is_whole_and_keeps_its_promises(tmp_path, monkeypatch):
    page = (Path(__file__).resolve().parent.parent / "docs" / "clusters.md").read_text(encoding="utf-8")
    [code] = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "my_package.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import my_package

    [spec] = my_package.prunebench_executors()
    results = list(examine(spec))
    assert_conformant(results, min_run=len(results))
    del sys.modules["my_package"]


def chosen(text: str) -> Choice:
    return choose(text, CATALOGUE)


def test_an_executor_is_chosen_with_its_options():
    assert (chosen("local").entry.spec.name, chosen("local").jobs) == ("local", None)
    assert chosen("local:slots=4").jobs == 4
    ray = chosen("ray:address=ray://head:10001,gpus=0.5,slots=8")
    assert (ray.params["address"], ray.params["gpus"], ray.jobs) == ("ray://head:10001", 0.5, 8)
    slurm = chosen("slurm:nodelist=a1,a2,partition=long,gpus=2")
    assert (slurm.params["nodelist"], slurm.params["partition"], slurm.params["gpus"]) == ("a1,a2", "long", 2)
    assert chosen("slurm:partition=123").params["partition"] == "123"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lokal", "no executor is named 'lokal'"),
        ("local:4", "'4' is no option with a value"),
        ("local:slots=0", "slots = '0' is no number from 1 to"),
        ("ray:slots=99999999999999999999", "is no number from 1 to 1,000,000"),
        ("local:slots=-1", "slots = '-1' is no number from 1 to"),
        ("local:address=auto", "has no parameter 'address'"),
        ("ray:gpus=many", "gpus = 'many'"),
        ("ray:gpus=-1", "expected at least 0"),
        ("slurm:gpus=0.5", "gpus = 0.5"),
        ("slurm:cluster=elsewhere", "expected one of 'slurm', 'debug'"),
    ],
)
def test_what_is_wrong_with_an_executor_is_told(text, words):
    with pytest.raises(UsageError) as caught:
        chosen(text)
    assert words in caught.value.message


def test_executors_that_find_devices_by_themselves_get_slots_by_what_a_task_takes():
    assert chosen("ray:slots=3").worker_slots("auto", None, None) == ("cpu",) * 3
    assert chosen("ray:slots=3").worker_slots("auto", 2, None) == ("cpu",) * 2
    assert chosen("ray:gpus=0.5,slots=2").worker_slots("auto", None, None) == ("cuda", "cuda", "cpu", "cpu")
    assert chosen("ray:gpus=1,slots=2").worker_slots("auto", None, 0) == ("cuda", "cuda")
    assert chosen("ray:gpus=1,slots=2").worker_slots("cpu", None, 0) == ("cpu", "cpu")
    assert len(chosen("slurm").worker_slots("auto", None, None)) == 256
    assert chosen("local:slots=3").worker_slots("auto", None, None) == ()
    with pytest.raises(UsageError, match="finds devices by itself"):
        chosen("slurm").worker_slots("0,1", None, None)
