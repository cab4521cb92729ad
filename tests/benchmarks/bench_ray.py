"""How much of its time a Ray cluster of eight slots works: a grid of tasks that sleep, `nox -s bench`.

The time counts from when all slots are there: the start of a cluster is paid once for a run of hours."""

from __future__ import annotations

import time
from pathlib import Path

from prunebench.executors import Settings
from prunebench.executors.choice import choose
from prunebench.plugins import load_plugins
from prunebench.schedule import run_tasks
from prunebench.testing.executors import exercise
from test_cluster_executors import NODE, cluster, patiently  # noqa: F401 (a fixture)

SLOTS, TASKS, SECONDS = 8, 64, 2.0


def test_eight_slots_of_ray_sleep_for_nine_tenths_of_the_time(cluster, tmp_path: Path) -> None:  # noqa: F811
    for _ in range(2):
        patiently(cluster.add_node, num_cpus=SLOTS // 2, **NODE)
    executor = choose("ray", load_plugins()).start(Settings(str(tmp_path)), ["cpu"] * SLOTS, tmp_path / "logs")
    try:
        warm = {task.key: task for task in (exercise(number, seconds=5.0) for number in range(SLOTS))}
        while executor.idle() < SLOTS:
            executor.wait(0.5)
        run_tasks(warm, executor)  # starts the workers
        tasks = {task.key: task for task in (exercise(100 + number, seconds=SECONDS) for number in range(TASKS))}
        started = time.perf_counter()
        state = run_tasks(tasks, executor)
        took = time.perf_counter() - started
    finally:
        executor.close(kill=True)
    assert {outcome["status"] for outcome in state.outcomes.values()} == {"ok"}
    efficiency = TASKS * SECONDS / SLOTS / took
    print(f"\n{TASKS} tasks of {SECONDS:g} s on {SLOTS} slots of Ray: {took:.1f} s, efficiency {efficiency:.1%}")
    assert efficiency > 0.5  # of a busy machine; an idle one reaches more than nine tenths
