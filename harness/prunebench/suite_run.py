"""The harness from Python: `prunebench.run_suite(...)` runs a suite, `prunebench.load_results(...)` reads records."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import msgspec

from prunebench.contexts import silent
from prunebench.errors import DataError, NotHere, UsageError
from prunebench.executors import Event
from prunebench.executors.choice import choose
from prunebench.identify import identified_plan
from prunebench.kept_board import suite_board
from prunebench.plan import Filters
from prunebench.plugins import load_plugins
from prunebench.pruning.choose import budgets_of
from prunebench.records import AgreementRecord, CellRecord, Record, read_results
from prunebench.remote import working_copy
from prunebench.remote_records import remote_records
from prunebench.request import make_request, will_not_run, with_slots
from prunebench.run import Run, RunReport
from prunebench.schedule import RunState
from prunebench.stopping import seconds_until

if TYPE_CHECKING:
    import pandas as pd

Folder = str | os.PathLike[str]
Globs = str | Sequence[str]


@dataclass(frozen=True)
class SuiteRun:
    """What a run of a suite gave.

    report: how many cells were there before and were computed, what failed and why.  records: those of all cells and
    comparisons that were asked for, old ones too.  board: its page, None where no cell is finished yet."""

    report: RunReport
    records: tuple[Record, ...]
    board: Path | None = None

    @property
    def frame(self) -> pd.DataFrame:
        """The records as a DataFrame, one row each."""
        return frame_of(self.records)


def run_suite(
    suite: str, *, scorer: Globs = (), projector: Globs = (), backbone: Globs = (), arch: Globs = (),
    keep: str | float | Sequence[str | float] = (), seeds: int | None = None, added: Globs = (),
    results: Folder = "results", cache: Folder | None = None, data: Folder | Sequence[Folder] = (),
    registry: Folder | None = None, devices: str = "auto", jobs: int | None = None,
    slots_per_device: int | Literal["auto"] = 1, cpu_slots: int | None = None, threads: int = 1,
    timeout_seconds: float | None = None, memory: str | None = None, until: str = "", executor: str = "local",
    max_failures: int | None = None,
    supersede: str = "", progress: Callable[[float, str], None] = silent,
) -> SuiteRun:  # fmt: skip
    """Run what is missing of a suite and write its board, as `prunebench run` does: the same cells, records and keys.

    scorer, projector, backbone, arch, keep: globs, or several, on what the suite names; keep may be numbers.  seeds:
    only the first ones.  added: methods beside those of the suite.  results, cache, data, registry: folders of records,
    of what is computed, to look for data in (one or several), and registry.toml.  devices, jobs, slots_per_device,
    cpu_slots, threads, timeout_seconds, memory, until, executor: as the command's options.  progress: is told the
    fraction that is done, and a text.  What failed, or what Ctrl-C or the time stopped, is in the report, and is tried
    again by the next call.  Raises UsageError for names that are unknown, DataError for data that are missing,
    ResultConflict where a repeat differs."""
    globs = {"scorer": scorer, "projector": projector, "backbone": backbone, "arch": arch, "added": added}
    filters = Filters(**{axis: _several(given) for axis, given in globs.items()}, keep=budgets_of(keep), seeds=seeds)
    roots = [working_copy(one) for one in ([data] if isinstance(data, str | os.PathLike) else data)]
    end = time.monotonic() + seconds_until(until, datetime.now()) if until else math.inf
    catalogue = load_plugins()
    asked = make_request(
        suite, filters, catalogue, registry_file=Path(registry) if registry else None, results=working_copy(results),
        cache=working_copy(cache) if cache else None, data_roots=roots, threads=threads,
        timeout_seconds=timeout_seconds,
    )  # fmt: skip
    per_device = None if slots_per_device == "auto" else slots_per_device
    chosen = choose(executor, asked.plugins)
    asked, slots = with_slots(asked, devices, jobs, per_device, cpu_slots, chosen)
    plan = identified_plan(asked, (NotHere,), shares=True)
    run = Run(
        asked, plan, slots, chosen, supersede, max_failures, until=end, notice=_notice,
        observe=lambda state, event: _tell(progress, state, event), memory_bytes=chosen.memory_bytes(memory),
    )  # fmt: skip
    report = run.execute()
    report.problems += [f"plugin {one.origin} was left out: {one.error}" for one in catalogue.failures]
    report.problems += will_not_run(plan.faults)
    page = None
    if report.n_records:
        suite_board(asked)
        page = asked.results / suite / "board" / "index.html"
    return SuiteRun(report, tuple(run.results.records.values()), page)


def _several(given: Globs) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _notice(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _tell(progress: Callable[[float, str], None], state: RunState, event: Event | None) -> None:
    running = ", ".join(sorted({state.tasks[key].stage for key in state.running}))
    progress(len(state.outcomes) / max(1, len(state.tasks)), (event.text if event else "") or running)


@overload
def load_results(results: Folder, suite: str = "*", *, as_frame: Literal[False] = False) -> list[Record]: ...
@overload
def load_results(results: Folder, suite: str = "*", *, as_frame: Literal[True]) -> pd.DataFrame: ...
def load_results(results: Folder, suite: str = "*", *, as_frame: bool = False) -> list[Record] | pd.DataFrame:
    """Return the records of results/<suite>/<dataset>/*.jsonl, in order.

    suite: a glob.  as_frame: as a DataFrame with one row per record and a column per field, `kind` being "cell" or
    "agreement", and `keep` a number.  Raises DataError for a folder that is not there, and for a line that is no
    record; UsageError for a path in place of a suite."""
    if (shared := remote_records(folder := working_copy(results))) is not None:
        shared.pull()
    if not folder.is_dir():
        raise DataError(f"no folder of results is at {folder}", "name the one that was given to --results")
    if Path(suite).is_absolute() or ".." in Path(suite).parts:
        raise UsageError(f"suite {suite!r} is no name, but a path", "name a suite, or write a glob of names")
    records = read_results(folder, suite)
    return frame_of(records) if as_frame else records


def frame_of(records: Sequence[Record]) -> pd.DataFrame:
    """Return records as a DataFrame, one row each, in their order; fields that a kind of record lacks are missing."""
    import pandas as pd

    fields = [one.name for kind in (CellRecord, AgreementRecord) for one in msgspec.structs.fields(kind)]
    table = pd.DataFrame(map(msgspec.to_builtins, records), columns=["kind", *dict.fromkeys(fields)])
    table["keep"] = table["keep"].astype("float64")
    return table
