"""Tasks run once, inputs first; a failure takes its dependents along and nothing else."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.cli.progress import time_left
from prunebench.errors import StoreError
from prunebench.executors import Event
from prunebench.schedule import RunState, missing_tasks, run_tasks
from prunebench.store import Store
from prunebench.tasks import Task


class Scripted:
    """An executor that answers from a script, out of order, and remembers what it was asked."""

    def __init__(self, slots=2, statuses=None):
        self.slots, self.statuses, self.running, self.order = slots, statuses or {}, [], []

    def idle(self):
        return self.slots - len(self.running)

    def submit(self, task):
        assert self.idle() > 0
        self.running.append(task)
        self.order.append(task)

    def wait(self, timeout_seconds):
        task = self.running.pop()
        status = self.statuses.get(task.config["name"], "ok")
        return [
            Event(task.key, outcome={"key": task.key, "status": status, "reason": status, "hint": "", "seconds": 1.0})
        ]

    def close(self, *, kill=False):
        self.running.clear()


def chain(n: int) -> list[Task]:
    features = Task("features", {"name": "features"})
    scores = [Task("scores", {"name": f"scores{i}"}, {"features": features}) for i in range(n)]
    cells = [Task("cell", {"name": f"cell{i}{j}"}, {"scores": s}) for i, s in enumerate(scores) for j in range(2)]
    return [features, *scores, *cells]


def by_key(tasks):
    return {task.key: task for task in tasks}


@given(st.integers(1, 6), st.integers(1, 5))
def test_every_task_runs_once_and_after_its_inputs(n, slots):
    executor = Scripted(slots)
    state = run_tasks(by_key(chain(n)), executor)
    assert len(executor.order) == len({t.key for t in executor.order}) == 1 + 3 * n
    position = {task.key: number for number, task in enumerate(executor.order)}
    for task in executor.order:
        assert all(position[upstream.key] < position[task.key] for upstream in task.upstream.values())
    assert {outcome["status"] for outcome in state.outcomes.values()} == {"ok"}


def test_a_failed_stage_fails_its_dependents_with_its_reason_and_spares_the_others():
    tasks = chain(2)
    executor = Scripted(statuses={"scores0": "failed"})
    state = run_tasks(by_key(tasks), executor)
    status = {task.config["name"]: state.outcomes[task.key]["status"] for task in tasks}
    assert status == {
        "features": "ok", "scores0": "failed", "scores1": "ok",
        "cell00": "failed", "cell01": "failed", "cell10": "ok", "cell11": "ok",
    }  # fmt: skip
    assert "cell00" not in {task.config["name"] for task in executor.order}


def test_not_applicable_is_inherited_as_such():
    state = run_tasks(by_key(chain(1)), Scripted(statuses={"scores0": "not_applicable"}))
    assert sorted(o["status"] for o in state.outcomes.values()) == ["not_applicable"] * 3 + ["ok"]


def test_draining_starts_nothing_new_and_waits_for_what_runs():
    tasks, executor = chain(3), Scripted(1)
    state = run_tasks(by_key(tasks), executor, draining=lambda: len(executor.order) >= 2)
    assert len(state.outcomes) == len(executor.order) == 2


def test_a_run_that_is_abandoned_leaves_what_still_runs():
    tasks, executor = chain(3), Scripted(1)
    seen: list = []
    state = run_tasks(
        by_key(tasks), executor, draining=lambda: bool(seen), abandoned=lambda: bool(seen),
        observe=lambda state, event: seen.append(event),
    )  # fmt: skip
    assert len(state.outcomes) == len(executor.order) == 1


def test_what_got_an_outcome_is_told_in_that_order_once():
    tasks = chain(2)
    seen: list[str] = []
    state = run_tasks(
        by_key(tasks), Scripted(statuses={"scores0": "failed"}),
        observe=lambda state, event: seen.extend(itertools.islice(state.outcomes, len(seen), None)),
    )  # fmt: skip
    assert sorted(state.outcomes) == sorted(task.key for task in tasks)
    assert len(seen) == len(set(seen))
    assert [*state.outcomes] == seen


def test_what_has_a_record_is_done_whatever_the_store_holds(tmp_path):
    _, _, _, *cells = chain(2)
    done = {cell.key for cell in cells[:3]}
    missing = missing_tasks(cells, Store(tmp_path), done)
    assert [task.config["name"] for task in missing.values()] == ["features", "scores1", "cell11"]


def test_a_cache_that_cannot_be_written_stops_the_run():
    with pytest.raises(StoreError):
        run_tasks(by_key(chain(1)), Scripted(statuses={"features": "store"}))


def test_what_is_stored_needs_none_of_its_inputs(tmp_path):
    store, tasks = Store(tmp_path), chain(2)
    features, scores0, scores1, *cells = tasks
    store.publish("scores", scores0.key, {}, {})
    missing = missing_tasks(cells[:2], store)
    assert [task.config["name"] for task in missing.values()] == ["cell00", "cell01"]
    keys = list(missing_tasks(cells, store))
    assert keys.index(features.key) < keys.index(scores1.key) < keys.index(cells[2].key)
    assert scores0.key not in keys


def scored(scorers: int, cells: int) -> list[Task]:
    """Return one features task, a scores task of each of `scorers`, and many short cells."""
    features = Task("features", {"name": "features"})
    scores = [
        Task("scores", {"name": f"scores{i}", "plugin": {"name": f"scorer{i}"}}, {"features": features})
        for i in range(scorers)
    ]
    runs = [Task("cell", {"name": f"cell{i}{j}"}, {"scores": s}) for i, s in enumerate(scores) for j in range(cells)]
    return [features, *scores, *runs]


class Timed(Scripted):
    """Scoring takes a hundred seconds, everything else one."""

    def wait(self, timeout_seconds):
        (event,) = super().wait(timeout_seconds)
        slow = self.order[-1].stage == "scores"
        return [Event(event.key, outcome={**event.outcome, "seconds": 100.0 if slow else 1.0})]


def test_the_time_left_is_the_mean_of_each_kind_over_the_slots_and_unknown_until_most_kinds_were_met():
    tasks, executor, seen = scored(3, 20), Timed(1), []
    run_tasks(by_key(tasks), executor, observe=lambda state, event: seen.append(state.seconds_left(2)))
    first_cell = next(i for i, task in enumerate(executor.order) if task.stage == "cell")
    assert seen[:first_cell] == [None] * first_cell
    scores_after = sum(task.stage == "scores" for task in executor.order[first_cell:])
    assert seen[first_cell] == pytest.approx((59 + 100 * scores_after) / 2)
    assert seen[-1] == 0


def test_one_task_of_every_kind_runs_first_so_that_what_cannot_work_fails_early():
    executor = Scripted(1)
    run_tasks(by_key(scored(3, 5)), executor)
    assert [task.config["name"] for task in executor.order[:5]] == [
        "features",
        "scores0",
        "scores1",
        "scores2",
        "cell00",
    ]
    executor = Scripted(1)
    tasks = chain(3)  # scores of one kind: the others wait until a cell has shown that training works
    run_tasks(by_key(tasks), executor)
    assert [task.config["name"] for task in executor.order[:4]] == ["features", "scores0", "cell00", "scores1"]


def test_the_first_of_a_kind_which_loads_and_compiles_counts_only_while_it_is_alone():
    features, *cells = [Task("features", {"name": "features"}), *(Task("cell", {"name": f"cell{i}"}) for i in range(4))]
    state = RunState(by_key([features, *cells]), outcomes={features.key: {}, cells[0].key: {}})
    state.seconds = {features.kind: [5.0], cells[0].kind: [30.0]}
    assert state.seconds_left(1) == pytest.approx(3 * 30)
    state.outcomes[cells[1].key] = {}
    state.seconds[cells[0].kind].append(2.0)
    assert state.seconds_left(1) == pytest.approx(2 * 2)


def test_training_on_everything_is_another_kind_than_training_on_a_tenth():
    cells = [Task("cell", {"name": f"cell{i}", "keep": "1" if i < 2 else "0.1"}) for i in range(40)]
    state = RunState(by_key(cells), outcomes={cells[2].key: {}}, seconds={cells[2].kind: [10.0]})
    assert state.seconds_left(1) == pytest.approx(37 * 10), "two of 39 are of a kind that was not met"
    state.outcomes[cells[0].key] = {}
    state.seconds[cells[0].kind] = [200.0]
    assert state.seconds_left(1) == pytest.approx(37 * 10 + 200)


def test_a_time_that_cannot_be_told_is_not_told():
    assert time_left(None) == "time left not known yet"
    assert time_left(125) == "about 2 min left"
    assert time_left(7300) == "about 2 h left"
