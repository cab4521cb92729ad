"""The records of one plan: those that are there, those that a run adds, and why some are failures."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prunebench.errors import ResultConflict
from prunebench.plan import MAX_TEXT, Goal, Plan
from prunebench.records import FINAL, Record, read_in_place, update_file
from prunebench.settings import Settings
from prunebench.store import Store
from prunebench.tasks import Task

Outcomes = Mapping[str, Mapping[str, Any]]


class Results:
    """The records of one plan in a results folder: which are there, and those that a run adds."""

    def __init__(self, plan: Plan, folder: Path, tolerance: Mapping[str, float] = {}, supersede: str = "") -> None:
        self._folder, self._tolerance, self._supersede = folder, tolerance, supersede
        self.goals: dict[str, list[Goal]] = {}
        for goal in plan.goals:
            self.goals.setdefault(goal.key, []).append(goal)
        places = {goal.place: goal.key for goal in plan.goals}
        files = {folder / file for file in {goal.file for goal in plan.goals}}
        there = [record for path in sorted(files) if path.exists() for record in read_in_place(path)]
        self.records = {record.place: record for record in there if places.get(record.place) == record.key}
        self.replaced = 0
        self.conflicts: list[ResultConflict] = []

    def done(self) -> set[str]:
        """Return the keys whose goals all have a record that is final."""
        final = {place for place, record in self.records.items() if record.status in FINAL}
        return {key for key, goals in self.goals.items() if all(goal.place in final for goal in goals)}

    def left(self) -> list[str]:
        """Return the keys of the goals that have no final record."""
        done = self.done()
        return [key for key in self.goals if key not in done]

    def add(self, keys: Iterable[str], store: Store, outcomes: Outcomes) -> list[Record]:
        """Merge the records of goals that have an artefact or an outcome into their files at once, and return them.
        Goals that were never tried have none.  A repeat that contradicts a result is told when the run ends."""
        files: dict[Path, list[Record]] = {}
        for goal in (goal for key in keys for goal in self.goals.get(key, ())):
            meta = store.meta(goal.task.stage, goal.key)
            if meta is not None and "record" not in meta:  # whoever can write to a cache can write this
                store.discard(goal.task.stage, goal.key)
                meta = None
            if meta is not None:
                record = goal.record(**meta["record"])
            elif goal.key in outcomes:
                record = goal.record(**blame(goal.task, outcomes))
            else:
                continue
            self.records[record.place] = record
            files.setdefault(self._folder / record.file, []).append(record)
        for path, new in sorted(files.items()):
            try:
                self.replaced += update_file(path, new, tolerance=self._tolerance, supersede=self._supersede)
            except ResultConflict as error:
                self.conflicts.append(error)
        return [record for new in files.values() for record in new]


def blame(task: Task, outcomes: Outcomes) -> dict[str, Any]:
    """Return why a goal has no result: the first input to blame in the order of the plan, not of time."""
    tried = [outcomes[one.key] for one in (*task.ancestors(), task) if one.key in outcomes]
    failed = [outcome for outcome in tried if outcome["status"] not in FINAL]
    lost = {"status": "failed", "reason": "its artefact was damaged or removed before its record was written"}
    outcome = (failed or [outcome for outcome in tried if outcome["status"] != "ok"] or [lost])[0]
    return {"status": outcome["status"], "status_reason": str(outcome["reason"])[:MAX_TEXT]}


def causes(goals: Iterable[Goal], outcomes: Outcomes, settings: Settings) -> list[dict[str, Any]]:
    """Return why cells and comparisons failed, the first in time first: how many of them, what was said, and the file
    of what the task printed."""
    order = {key: at for at, key in enumerate(outcomes)}
    counts: dict[str, dict[str, Any]] = {}
    for goal in sorted((goal for goal in goals if goal.key in outcomes), key=lambda goal: order[goal.key]):
        outcome = outcomes[goal.key]
        if outcome["status"] not in FINAL:
            log = settings.log_of(outcome.get("cause", goal.key))
            told = {"count": 0, "reason": outcome["reason"], "hint": outcome["hint"],
                    "log": log if log and Path(log).is_file() else ""}  # fmt: skip
            counts.setdefault(outcome["reason"], told)["count"] += 1
    return [*counts.values()]
