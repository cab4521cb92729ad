"""`prunebench plan`: what a run would compute, what is done, what will not work, and how long it takes."""

from __future__ import annotations

import hashlib
import json
import os

import pytest
from msgspec.structs import replace
from safetensors.torch import save_file

from prunebench.forecast import OUTPUTS
from prunebench.records import CellRecord, write_records
from registries import DIGITS, TRAINING

SUITE = """
[suite.tiny]
dataset = "digits"
methods = ["random", "moderate"]
backbones = ["untrained"]
pruning_rates = ["0.9"]
seeds = 1
"""


@pytest.fixture
def plan(sandbox):
    """Write a registry, with changes, and return what `prunebench plan tiny` prints."""

    def planned(*changes: tuple[str, str], more: tuple[str, ...] = ()) -> str:
        text = DIGITS + SUITE + TRAINING
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (sandbox.folder / "registry.toml").write_text(text, encoding="utf-8")
        done = sandbox.call("plan", "tiny", *more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return planned


@pytest.fixture
def tiny_record(sandbox, plan):
    """Return a record of the cell of random in the suite, as a run would have written it, and where it belongs."""
    rows = json.loads(plan(more=("--json",)))
    (row,) = [row for row in rows if row["method"] == "random"]
    made = {key: value for key, value in row.items() if key not in ("state", "kind")}
    record = CellRecord(**made, status="ok", accuracy=0.5, n_train=1438, seconds_score=0.25, seconds_train=3600.0)
    return record, sandbox.folder / "results" / record.file


def states(text: str) -> dict[str, str]:
    return {row["method"]: row["state"] for row in json.loads(text)}


def test_a_plan_computes_nothing_and_tells_what_is_to_do(plan, sandbox):
    lines = [line.split() for line in plan().splitlines()]
    assert ["cell", "2", "2"] in lines
    assert ["random", "1", "0"] in lines
    assert not (sandbox.folder / "cache").exists()


def test_a_record_in_the_results_is_done_whatever_the_cache_holds(plan, tiny_record):
    record, path = tiny_record
    write_records(path, [record])
    assert states(plan(more=("--json",))) == {"random": "done", "moderate": "planned"}
    assert ["random", "1", "1"] in [line.split() for line in plan().splitlines()]
    elsewhere = path.parents[2].rename(path.parents[3] / "elsewhere")
    assert states(plan(more=("--json",))) == {"random": "planned", "moderate": "planned"}
    assert states(plan(more=("--json", "--results", str(elsewhere)))) == {"random": "done", "moderate": "planned"}


def test_a_record_of_other_data_or_of_a_failure_is_not_done(plan, tiny_record):
    record, path = tiny_record
    for changes in ({"key": "0" * 32}, {"status": "failed", "accuracy": None}):
        write_records(path, [replace(record, **changes)])
        assert states(plan(more=("--json",)))["random"] == "planned"


def test_the_time_is_that_of_records_of_the_same_training(plan, tiny_record):
    assert "no time was measured yet of" in plan()
    record, path = tiny_record
    write_records(path.parents[2] / "another-suite" / "digits" / "x.jsonl", [record])
    text = plan()
    assert "expected: about 2 h of one worker" in text  # both cells train in the same way
    assert "no time was measured yet of: features (1), scores (1)" in text


def test_methods_that_the_suite_cannot_run_are_named_together_and_the_others_are_planned(plan):
    text = plan(('"moderate"]', '"el2n", "prototype", "no-such-method"]'))
    assert "will not run: method 'el2n' reads training dynamics, and suite 'tiny' has no proxy run: add proxy" in text
    assert "will not run: method 'prototype' needs projectors" in text
    assert "will not run: no scorer is named 'no-such-method'" in text
    assert ["random", "1", "0"] in [line.split() for line in text.splitlines()]


def test_a_model_that_does_not_exist_is_answered_with_the_nearest(plan):
    text = " ".join(plan(('"test_resnet"', '"test_resnett"')).split())
    assert "network untrained cannot be had:" in text
    assert "knows no model 'test_resnett': did you mean test_resnet" in text


PROVIDER = """
from pathlib import Path

from prunebench import BackboneSpec, hookimpl

@hookimpl
def prunebench_backbones():
    return [BackboneSpec(name="other", summary="A test.", load="networks:NETWORKS")]

class Networks:
    def build(self, arch, n_classes, channels, image_size):
        raise AssertionError

    def outputs(self, arch, source, weights):
        with Path("asked.txt").open("a") as file:
            file.write(f"{arch.model};")
        return 7

NETWORKS = Networks()
"""
HUB = ('timm = "test_resnet"\nimage_size = 16\nweights = "random"', 'timm = "resnet18.a1_in1k"\nweights = "hub"')


def test_methods_that_read_class_predictions_do_not_apply_to_weights_for_other_classes(plan):
    text = plan(('"moderate"]', '"moderate", "entropy", "grand"]'), HUB)
    for method in ("entropy", "grand"):
        assert f"{method} will not apply: it reads class predictions, and untrained predicts 1000 classes" in " ".join(
            text.split()
        )
    assert "moderate will not apply" not in text


@pytest.mark.parametrize("n_classes", [7, 10])
def test_the_head_of_a_weights_file_is_looked_at(n_classes, plan, sandbox):
    import timm

    path = sandbox.folder / "w.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=n_classes).state_dict(), path)
    weights = f'weights = {{ file = "w.safetensors", sha256 = "{hashlib.sha256(path.read_bytes()).hexdigest()}" }}'
    text = plan(('weights = "random"', weights), ('"moderate"]', '"entropy"]'))
    assert ("untrained predicts 7 classes" in " ".join(text.split())) == (n_classes == 7)


def test_what_a_provider_said_of_a_network_is_kept_for_the_next_plan(plan, sandbox):
    (sandbox.folder / "cache").mkdir()
    sandbox.install("networks", PROVIDER)
    other = ('timm = "test_resnet"', 'provider = "other"\nmodel = "one"')
    asked = sandbox.folder / "asked.txt"
    told = [plan(other, ('"moderate"]', '"entropy"]')) for _ in range(2)]
    assert "untrained predicts 7 classes" in " ".join(told[0].split())
    assert told[1] == told[0]
    assert asked.read_text(encoding="utf-8") == "one;"
    kept = sandbox.folder / "cache" / OUTPUTS
    kept.write_text('{"spoilt', encoding="utf-8")
    assert plan(other, ('"moderate"]', '"entropy"]')) == told[0]
    plan(('timm = "test_resnet"', 'provider = "other"\nmodel = "two"'))
    assert asked.read_text(encoding="utf-8") == "one;one;two;"
    os.truncate(kept, 10 << 30)  # takes no place on the disk, and would take all memory
    assert plan(other, ('"moderate"]', '"entropy"]')) == told[0]
    kept.unlink()
    os.mkfifo(kept)  # reading it would wait for a writer
    assert plan(other, ('"moderate"]', '"entropy"]')) == told[0]


def test_a_method_that_needs_more_samples_does_not_apply(plan, sandbox):
    sandbox.install(
        "greedy",
        "from prunebench import ScorerSpec, hookimpl\n\n@hookimpl\ndef prunebench_scorers():\n"
        "    return [ScorerSpec(name='greedy', summary='Many.', load='greedy:score', min_samples=5000)]\n",
    )
    text = plan(('"moderate"]', '"greedy"]'))
    assert "greedy will not apply: greedy needs at least 5000 samples, and the data set has 1438" in text


def test_data_that_are_not_here_are_named_and_planned_by_what_the_registry_expects(plan):
    expected = '[dataset.digits]\nspec = "cifar10"\nfingerprint = "' + "ab" * 16 + '"'
    text = " ".join(plan(("[dataset.digits]", expected), more=("--data", "nowhere")).split())
    assert "a run would stop at its data: not found: cifar-10-batches-py" in text
    assert " cell 2 2 " in text


def test_data_of_unknown_content_are_asked_for(plan, sandbox):
    with pytest.raises(AssertionError, match="not found: photos"):
        plan(("[dataset.digits]", '[dataset.digits]\nfolder = "photos"'))


def test_files_of_other_methods_that_cannot_be_read_do_not_keep_a_plan_from_being_made(sandbox, plan):
    folder = sandbox.folder / "results" / "tiny" / "digits"
    folder.mkdir(parents=True)
    (folder / "loop.jsonl").symlink_to("loop.jsonl")
    (folder / "bytes.jsonl").write_bytes(b"\xff\xfe\n")
    (folder / "folder.jsonl").mkdir()
    os.mkfifo(folder / "pipe.jsonl")
    assert "random" in plan()
