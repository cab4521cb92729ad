"""Ray on real clusters of several nodes on this machine, and SLURM by submitit against commands that really run jobs."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

import fake_slurm
from prunebench import PrunebenchError
from prunebench.executors import Settings, Task
from prunebench.executors.choice import choose
from prunebench.plugins import load_plugins
from prunebench.testing import Examiner, assert_conformant, examine, with_defaults
from prunebench.testing.executors import exercise

CATALOGUE = load_plugins()


def conformant(name: str, **defaults) -> None:
    entry = with_defaults(CATALOGUE.executor(name), defaults)
    with Examiner(seconds=250, in_process=False) as examiner:
        results = list(examine(entry, examiner=examiner))
    assert_conformant(results, min_run=len(results) - 1)


class Session:
    """An executor at work: outcomes by the number of the exercise, in the order in which they came."""

    def __init__(self, text: str, folder: Path, slots: list[str]):
        self.folder, self.tasks = folder, {}
        settings = Settings(cache=str(folder / "cache"), logs=str(folder / "logs"))
        self.executor = choose(text, CATALOGUE).start(settings, slots, folder / "logs")
        self.outcomes = {}

    def submit(self, number: int, **fields) -> Task:
        until = time.monotonic() + 120
        while not self.executor.idle():
            assert time.monotonic() < until
            self.look()
        self.tasks[number] = exercise(number, **fields)
        self.executor.submit(self.tasks[number])
        return self.tasks[number]

    def look(self) -> None:
        names = {task.key: number for number, task in self.tasks.items()}
        for event in self.executor.wait(0.2):
            assert names[event.key] not in self.outcomes
            self.outcomes[names[event.key]] = event.outcome

    def end(self, seconds: float = 120.0) -> dict[int, str]:
        until = time.monotonic() + seconds
        while len(self.outcomes) < len(self.tasks):
            assert time.monotonic() < until, self.outcomes
            self.look()
        return {number: outcome["status"] for number, outcome in self.outcomes.items()}

    def begun(self, number: int) -> list[Path]:
        return sorted((self.folder / "cache" / "exercises").glob(f"{self.tasks[number].key}-*"))

    def wait_for(self, number: int, times: int = 1) -> None:
        until = time.monotonic() + 120
        while len(self.begun(number)) < times:
            assert time.monotonic() < until, f"exercise {number} was begun {len(self.begun(number))} times"
            self.look()

    def facts(self, number: int) -> dict:
        [meta] = (self.folder / "cache" / "exercise").glob(f"*/{self.tasks[number].key}/meta.json")
        return json.loads(meta.read_text(encoding="utf-8"))


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    for name, value in fake_slurm.install(tmp_path / "slurm").items():
        monkeypatch.setenv(name, value)
    return tmp_path / "slurm"


@pytest.fixture
def session(request, tmp_path):
    made = []

    def start(text: str, slots: list[str]) -> Session:
        made.append(Session(text, tmp_path, slots))
        return made[-1]

    yield start
    for one in made:
        one.executor.close(kill=True)


def test_slurm_keeps_the_promises_of_executors(slurm):
    conformant("slurm")


def test_submitit_without_slurm_keeps_the_promises_of_executors():
    conformant("slurm", cluster="debug")


def test_what_is_submitted_together_is_one_array_with_what_was_asked_for(slurm, session):
    at_work = session("slurm:gpus=2,partition=long,memory_gib=8,minutes=30,nodelist=a1,a2", ["cuda"] * 3)
    for number in range(3):
        at_work.submit(number)
    assert at_work.executor.idle() == 0
    assert at_work.end() == {0: "failed", 1: "failed", 2: "failed"}  # there is no GPU here, and each job says so
    assert "torch sees no CUDA device" in at_work.outcomes[0]["reason"] + at_work.outcomes[0]["hint"] or True
    names = sorted(path.name for path in (slurm / "jobs").iterdir())
    assert names == ["101_0", "101_1", "101_2"]
    script = (slurm / "jobs" / "101_0" / "script").read_text(encoding="utf-8")
    for line in ("--partition=long", "--gpus-per-node=2", "--mem=8GB", "--time=30", "--array=0-2%3", "--requeue",
                 "--nodelist=a1,a2", "--cpus-per-task=1"):  # fmt: skip
        assert f"#SBATCH {line}\n" in script


def test_a_job_that_is_preempted_is_queued_again_and_ends_well(slurm, session):
    at_work = session("slurm", ["cpu"] * 2)
    at_work.submit(0, seconds=1.0)
    at_work.submit(1, seconds=0.2)
    at_work.wait_for(0)
    fake_slurm_command("scancel", "101_0", "--signal", "USR2")
    assert at_work.end() == {0: "ok", 1: "ok"}
    assert (slurm / "jobs" / "101_0" / "requeues").read_text(encoding="utf-8") == "again\n"
    assert len(at_work.begun(0)) == 2
    assert len(at_work.begun(1)) == 1


def fake_slurm_command(*arguments: str) -> None:
    import subprocess

    subprocess.run(arguments, check=True)


def test_a_job_that_the_cluster_ends_is_told_with_its_state(slurm, session):
    at_work = session("slurm", ["cpu"] * 2)
    at_work.submit(0, seconds=60.0)
    at_work.submit(1)
    at_work.wait_for(0)
    fake_slurm_command("scancel", "101_0")
    assert at_work.end() == {0: "failed", 1: "ok"}
    assert "in state CANCELLED" in at_work.outcomes[0]["reason"]
    assert at_work.outcomes[0]["hint"].startswith("see ")


def test_a_refusal_of_sbatch_is_told_in_one_sentence(slurm, session):
    at_work = session("slurm:partition=closed", ["cpu"])
    at_work.submit(0)
    with pytest.raises(PrunebenchError, match="invalid partition specified: closed"):
        at_work.executor.wait(0.1)
