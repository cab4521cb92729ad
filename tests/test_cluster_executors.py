"""Ray on real clusters of several nodes on this machine, and SLURM by submitit against commands that run jobs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from functools import partial
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


ANSWERED, SLOTS = "check_every_task_is_answered_once", "check_slots_are_kept"


def conformant(name: str, *checks: str, **defaults) -> None:
    entry = with_defaults(CATALOGUE.executor(name), defaults)
    with Examiner(seconds=250) as examiner:
        results = list(examine(entry, checks, examiner=examiner))
    assert_conformant(results, min_run=len(results))


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
    # How long submitit looks for the file of a job that wrote none: files of this machine are there at once.
    monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 1)
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


@pytest.mark.thorough
def test_slurm_keeps_the_promises_of_executors(slurm):
    conformant("slurm")


@pytest.mark.thorough  # what submitit does is the same with SLURM
def test_submitit_without_slurm_keeps_the_promises_of_executors():
    conformant("slurm", ANSWERED, SLOTS, cluster="debug")  # an interruption waits there for the job


def test_what_is_submitted_together_is_one_array_with_what_was_asked_for(slurm, session):
    at_work = session("slurm:gpus=2,partition=long,memory_gib=8,minutes=30,nodelist=a1,a2", ["cuda"] * 3)
    for number in range(3):
        at_work.submit(number)
    assert at_work.executor.idle() == 0
    assert at_work.end() == {0: "failed", 1: "failed", 2: "failed"}  # there is no GPU here, and each job says so
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
    subprocess.run(["scancel", "101_0", "--signal", "USR2"], check=True)
    assert at_work.end() == {0: "ok", 1: "ok"}
    assert (slurm / "jobs" / "101_0" / "requeues").read_text(encoding="utf-8") == "again\n"
    assert len(at_work.begun(0)) == 2
    assert len(at_work.begun(1)) == 1


def test_a_job_that_the_cluster_ends_is_told_with_its_state(slurm, session):
    at_work = session("slurm", ["cpu"] * 2)
    at_work.submit(0, seconds=60.0)
    at_work.submit(1)
    at_work.wait_for(0)
    subprocess.run(["scancel", "101_0"], check=True)
    assert at_work.end() == {0: "failed", 1: "ok"}
    assert "in state CANCELLED" in at_work.outcomes[0]["reason"]
    assert at_work.outcomes[0]["hint"].startswith("see ")


def test_a_refusal_of_sbatch_is_told_in_one_sentence(slurm, session):
    at_work = session("slurm:partition=closed", ["cpu"])
    at_work.submit(0)
    with pytest.raises(PrunebenchError, match="invalid partition specified: closed"):
        at_work.executor.wait(0.1)


def patiently(start, **options):
    """Start a cluster or a node; Ray gives up where a busy machine takes half a minute for it."""
    for _ in range(3):
        try:
            return start(**options)
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
    raise TimeoutError("the machine is too busy to start Ray")


NODE = {"object_store_memory": 80 << 20, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster():
    """A cluster of nodes on this machine, each with processes and cores of its own; the first one runs no task."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        patch.setenv("RAY_agent_register_timeout_ms", "120000")  # a busy machine starts processes slowly
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ray
            from ray.cluster_utils import Cluster
        made = patiently(Cluster, initialize_head=True, head_node_args={"num_cpus": 0, **NODE})
        patch.setenv("RAY_ADDRESS", made.address)
        yield made
        ray.shutdown()
        made.shutdown()


@pytest.mark.thorough
def test_on_ray_a_node_that_dies_loses_only_what_it_ran_which_starts_again_elsewhere(cluster, session):
    nodes = [patiently(cluster.add_node, num_cpus=1, **NODE) for _ in range(2)]
    at_work = session("ray:retries=1", ["cpu"] * 3)
    for number in (0, 1):
        at_work.submit(number, seconds=8.0)
    for number in (0, 1):
        at_work.wait_for(number)
    assert at_work.executor.idle() == 0  # three slots were asked for, and the cluster has room for two
    cluster.remove_node(nodes[0], allow_graceful=False)
    nodes[0] = patiently(cluster.add_node, num_cpus=1, **NODE)
    at_work.submit(2)
    assert at_work.end() == {0: "ok", 1: "ok", 2: "ok"}
    assert sorted(len(at_work.begun(number)) for number in (0, 1)) == [1, 2]
    at_work.executor.close()
    for node in nodes:
        cluster.remove_node(node)


@pytest.mark.thorough
def test_ray_keeps_the_promises_of_executors(cluster):
    node = patiently(cluster.add_node, num_cpus=2, **NODE)
    conformant("ray")
    cluster.remove_node(node)


@pytest.mark.thorough
def test_tasks_share_the_gpus_of_a_ray_cluster_by_fractions(cluster, session):
    node = patiently(cluster.add_node, num_cpus=8, num_gpus=2, **NODE)
    at_work = session("ray:gpus=0.5", ["cuda"] * 6)
    until = time.monotonic() + 90
    while at_work.executor.idle() < 4:
        assert time.monotonic() < until
        at_work.look()
    for _ in range(10):
        at_work.look()
    assert at_work.executor.idle() == 4
    at_work.executor.close()
    cluster.remove_node(node)


def test_a_local_ray_cluster_is_started_for_the_run_and_ends_with_it(session, monkeypatch):
    import ray

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray.shutdown()
    monkeypatch.setenv("RAY_agent_register_timeout_ms", "120000")
    at_work = patiently(partial(session, "ray", ["cpu"]))
    assert ray.is_initialized()
    at_work.submit(0)
    assert at_work.end() == {0: "ok"}
    at_work.executor.close()
    assert not ray.is_initialized()


OTHERS = """
import sys
from ray.cluster_utils import Cluster
options = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
made = Cluster(initialize_head=True, head_node_args=options)
print(made.address, flush=True)
sys.stdin.read()
made.shutdown()
"""


@pytest.mark.thorough
def test_a_run_without_an_address_has_a_cluster_of_its_own_where_another_is_at_work(session, monkeypatch):
    import ray

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_agent_register_timeout_ms", "120000")
    ray.shutdown()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", OTHERS], text=True, **pipes) as other:
        theirs = other.stdout.readline().strip()
        at_work = patiently(partial(session, "ray", ["cpu"]))
        assert theirs
        assert ray.get_runtime_context().gcs_address != theirs
        at_work.submit(0)
        assert at_work.end() == {0: "ok"}
        at_work.executor.close()
        other.stdin.close()
        assert other.wait(60) == 0


def test_a_ray_cluster_that_is_not_there_is_named(session):
    import ray

    if ray.is_initialized():
        ray.shutdown()
    with pytest.raises(PrunebenchError, match="no cluster answers at 127"):
        session("ray:address=127.0.0.1:1", ["cpu"])
