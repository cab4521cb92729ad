"""Where and when tasks run, on pretended devices and by a pretended clock: what needs no GPU runs beside what does, and
nothing is started from which no cell can end in time."""

from __future__ import annotations

import math
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.errors import UsageError
from prunebench.executors import Event
from prunebench.plan import make_plan
from prunebench.planner import Contents
from prunebench.plugins import load_plugins
from prunebench.registry import load_registry
from prunebench.schedule import RunState, for_processor, run_tasks, with_processor
from prunebench.stopping import seconds_until
from prunebench.tasks import Task
from registries import DIGITS

SECONDS = {"features": 2.0, "projection": 84.0, "scores": 10.0, "subset": 0.1, "cell": 54.0}


class World:
    """A clock that jumps to the next end of a task, and a log of who ran what, and when."""

    def __init__(self, seconds=SECONDS):
        self.now, self.seconds = 0.0, seconds
        self.running: list[tuple[float, str, Task]] = []  # end, device and task
        self.log: list[tuple[str, str, float, float]] = []  # device, stage, start and end

    def device(self, name: str, slots: int) -> Pretended:
        return Pretended(self, name, slots)

    def on(self, device: str) -> list[tuple[str, float, float]]:
        return [entry[1:] for entry in self.log if entry[0] == device]


class Pretended:
    """An executor of a world."""

    def __init__(self, world: World, name: str, slots: int):
        self.world, self.name, self.slots = world, name, slots

    def mine(self):
        return [one for one in self.world.running if one[1] == self.name]

    def idle(self):
        return self.slots - len(self.mine())

    def submit(self, task):
        assert self.idle() > 0
        world, seconds = self.world, self.world.seconds[task.stage]
        world.running.append((world.now + seconds, self.name, task))
        world.log.append((self.name, task.stage, world.now, world.now + seconds))

    def wait(self, timeout_seconds):
        world = self.world
        world.now = max(world.now, min((end for end, *_ in world.running), default=0.0))
        ended = [one for one in self.mine() if one[0] <= world.now]
        world.running = [one for one in world.running if one not in ended]
        told = {"status": "ok", "reason": "", "hint": ""}
        return [Event(t.key, outcome={**told, "key": t.key, "seconds": world.seconds[t.stage]}) for *_, t in ended]

    def close(self, *, kill=False):
        self.world.running.clear()


def suite(methods: int, seeds: int) -> dict[str, Task]:
    """Return the tasks of methods that project the features of one network, with a training for each seed."""
    features, found = Task("features", {"name": "f"}), list[Task]()
    for m in range(methods):
        for s in range(seeds):
            projection = Task("projection", {"seed": s}, {"features": features})
            scores = Task("scores", {"name": f"{m} {s}"}, {"projection": projection})
            subset = Task("subset", {"name": f"{m} {s}"}, {"scores": scores})
            found += [features, projection, scores, subset, Task("cell", {"name": f"{m} {s}"}, {"subset": subset})]
    return {task.key: task for task in found}


def on_processor(tasks: dict[str, Task]) -> set[str]:
    return {key for key, task in tasks.items() if task.stage in ("projection", "scores", "subset")}


def run(tasks, world, *, gpus=1, cpus=2, **more):
    state = RunState(tasks, beside=on_processor(tasks), beside_slots=cpus)
    return run_tasks(tasks, world.device("gpu", gpus), world.device("cpu", cpus), state=state, **more)


def test_stages_that_need_no_gpu_run_beside_those_that_do():
    tasks, world = suite(2, 4), World()
    state = run(tasks, world)
    assert len(state.outcomes) == len(tasks)
    assert {stage for stage, *_ in world.on("gpu")} == {"features", "cell"}
    assert {stage for stage, *_ in world.on("cpu")} == {"projection", "scores", "subset"}
    trainings = [(start, end) for stage, start, end in world.on("gpu") if stage == "cell"]
    projections = [(start, end) for stage, start, end in world.on("cpu") if stage == "projection"]
    assert any(a < d and c < b for a, b in trainings for c, d in projections), "nothing overlaps"
    alone = sum(SECONDS[task.stage] for task in tasks.values())
    first_cell = min(start for start, _ in trainings)
    assert max(end for _, end in trainings) <= first_cell + 8 * 54 + 84 < alone, "the GPU waited for the processor"


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_no_device_runs_more_than_its_slots_and_every_task_runs_once_after_its_inputs(methods, seeds, gpus, cpus):
    tasks, world = suite(methods, seeds), World()
    state = run(tasks, world, gpus=gpus, cpus=cpus)
    assert {outcome["status"] for outcome in state.outcomes.values()} == {"ok"}
    assert len(world.log) == len(tasks) == len(state.outcomes)
    for device, slots in (("gpu", gpus), ("cpu", cpus)):
        for _, start, _ in world.on(device):
            assert sum(a <= start < b for _, a, b in world.on(device)) <= slots


def test_the_time_left_is_that_of_the_slots_that_have_most_to_do():
    tasks = suite(1, 4)
    state = RunState(tasks, beside=on_processor(tasks), beside_slots=2)
    state.seconds = {task.kind: [SECONDS[task.stage]] for task in tasks.values()}
    assert state.seconds_left(1) == pytest.approx(2 + 4 * 54)
    assert state.seconds_left(4) == pytest.approx((4 * 84 + 4 * 10 + 4 * 0.1) / 2)


def test_nothing_is_started_from_which_no_cell_can_end_in_time():
    tasks, world = suite(1, 6), World()
    end = 400.0
    state = run(tasks, world, cpus=1, seconds_left=lambda: end - world.now)
    assert max(stop for *_, stop in world.log) <= end
    cells = [key for key in state.outcomes if tasks[key].stage == "cell"]
    assert 0 < len(cells) < 6
    # A projection of 84 s with what follows it takes 148.1 s: the last one starts before 400 - 148.1.
    assert max(start for stage, start, _ in world.on("cpu") if stage == "projection") <= end - 148.1
    left = set(tasks) - set(state.outcomes)
    assert left, "the rest is for the next slice"
    rest, after = {key: tasks[key] for key in tasks if key in left}, World()
    assert len(run(rest, after).outcomes) == len(rest)


def test_times_of_this_run_count_before_those_of_earlier_ones_and_what_is_not_known_is_started():
    cells = [Task("cell", {"name": str(number)}) for number in range(5)]
    tasks = {cell.key: cell for cell in cells}

    def ended(known: float | None, seconds: float, end: float) -> int:
        world = World({"cell": seconds})
        state = RunState(tasks, known_seconds={} if known is None else dict.fromkeys(tasks, known))
        run_tasks(tasks, world.device("gpu", 1), state=state, seconds_left=lambda: end - world.now)
        return len(state.outcomes)

    assert ended(known=None, seconds=10, end=25) == 2
    assert ended(known=None, seconds=100, end=25) == 1, "the first of its kind: nobody knows"
    assert ended(known=100, seconds=10, end=25) == 0
    assert ended(known=1, seconds=10, end=25) == 2, "corrected by the first"
    assert ended(known=None, seconds=10, end=0) == 0
    assert ended(known=100, seconds=10, end=math.inf) == 5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("14m", 840), ("14 min", 840), ("2h", 7200), ("1h30m", 5400), ("0.5h", 1800), ("18:30", 1800),
     ("17:59", 86340), ("18:00", 86400), ("9:05", 54300)],
)  # fmt: skip
def test_a_time_is_a_duration_or_the_next_such_time_of_the_clock(text, seconds):
    assert seconds_until(text, datetime(2026, 11, 26, 18, 0)) == seconds


@pytest.mark.parametrize("text", ["", "14", "0m", "-5m", "25:00", "18:60", "m", "soon", "1d", "5m2h", "nan s"])
def test_what_is_no_time_is_answered(text):
    with pytest.raises(UsageError, match="is not a time"):
        seconds_until(text, datetime(2026, 11, 26, 18, 0))


def test_slots_on_the_processor_stand_beside_those_of_gpus_alone(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(16)), raising=False)
    assert with_processor(("0", "0"), None, 1) == ("0", "0", *["cpu"] * 8)
    assert with_processor(("0", "0"), None, 4) == ("0", "0", *["cpu"] * 3)
    assert with_processor(("GPU-5",), 2, 1) == ("GPU-5", "cpu", "cpu")
    assert with_processor(("0",), 0, 1) == ("0",)
    assert with_processor(("cpu",) * 4, 3, 1) == ("cpu",) * 4
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0}, raising=False)
    assert with_processor(("0",), None, 1) == ("0", "cpu")


def test_a_plugin_says_whether_it_is_quicker_on_a_gpu(tmp_path):
    tables = """
[suite.s]
dataset = "digits"
methods = ["random", "moderate", "topocore", "ripsnet"]
backbones = ["untrained"]
projectors = ["umap"]
pruning_rates = ["0.9"]
seeds = 1
training = [{ arch = "untrained", recipe = "probe" }]
"""
    (tmp_path / "registry.toml").write_text(DIGITS + tables, encoding="utf-8")
    catalogue = load_plugins()
    plan = make_plan(load_registry(tmp_path / "registry.toml"), catalogue, "s", contents=Contents({"digits": "1" * 32}))
    tasks = {task.key: task for task in plan.tasks()}
    apart = {(task.stage, task.config.get("plugin", {}).get("name", "")) for task in tasks.values()
             if task.key in for_processor(tasks, catalogue)}  # fmt: skip
    scorers = {name for stage, name in apart if stage == "scores"}
    assert {stage for stage, _ in apart} == {"projection", "scores", "subset"}
    assert scorers == {"random", "moderate", "topocore"}, "RipsNet trains a network"
