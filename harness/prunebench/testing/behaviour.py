"""Promises of every kind of plugin about how it behaves: each check ends in silence or in CheckFailed."""

from __future__ import annotations

import contextlib
import gc
import os
import tempfile
import time
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from prunebench.errors import CellTimeout
from prunebench.plugins import Entry
from prunebench.testing.cases import Case, arrays_of, call, context, fingerprint, ordinary_run, run
from prunebench.testing.problems import duplicated, ordinary
from prunebench.testing.promises import COMPUTING, promise
from prunebench.testing.results import CheckFailed, DoesNotApply
from prunebench.testing.side_effects import process_state, reset_process_state, watched

Facts = Mapping[str, Any] | None


@promise(COMPUTING, stage=3)
def check_run_ends_normally(entry: Entry[Any]) -> None:
    """An ordinary run returns something: it does not raise, hang, exit or kill its process."""
    run(entry, Case(writable=True, everything=True))


@promise("scorer projector selector backbone learner", stage=4, is_optional=True)
def check_evidence_is_left_unchanged(entry: Entry[Any]) -> None:
    """No array of the context is written to, and none is returned: what others read stays as it was."""
    with context(entry, Case(everything=True)) as ctx:
        before = {name: array.tobytes() for name, array in arrays_of(ctx).items()}
        if not before:
            raise DoesNotApply("there are no arrays to change")
        try:
            returned = call(entry, ctx)
        except ValueError as error:
            if "read-only" in str(error):
                raise CheckFailed(f"it writes into its evidence, which is read-only: {error}") from error
            raise
        changed = [name for name, array in arrays_of(ctx).items() if array.tobytes() != before[name]]
        if changed:
            raise CheckFailed(f"it changed {', '.join(changed)}")
        values = getattr(returned, "values", returned)
        for name, array in arrays_of(ctx).items() if isinstance(values, np.ndarray) else ():
            if np.shares_memory(values, array):
                raise CheckFailed(f"its result is a view of {name}: return a copy, or whoever changes one changes both")


@promise("scorer projector selector backbone learner", stage=7)
def check_same_seed_gives_the_same_result(entry: Entry[Any]) -> None:
    """The same seed gives the same bytes."""
    if fingerprint(ordinary_run(entry)) != fingerprint(run(entry)):
        raise CheckFailed("two runs with seed 0 differ: draw from ctx.rng or ctx.torch_generator() alone")


@promise("scorer projector selector")
def check_stochastic_is_declared_truthfully(entry: Entry[Any]) -> Facts:
    """The seed matters where `stochastic` says so, and nowhere else; it may break ties of equal samples anywhere."""
    for problem, has_ties in ((ordinary(), False), (duplicated(ordinary()), True)):
        results: set[str] = set()
        with contextlib.suppress(Exception):  # what cannot be run at all is the question of other checks
            results = {fingerprint(run(entry, Case(problem=problem, seed=seed))) for seed in range(3)}
        if len(results) > 1 and not entry.spec.stochastic and not has_ties:
            raise CheckFailed("three seeds give different results: declare stochastic=True")
        if len(results) > 1:
            return {"seed_matters_for": "ties alone" if has_ties else "all samples"}
    if entry.spec.stochastic:
        raise CheckFailed("three seeds give one result: it ignores its seed, or stochastic=True is wrong")
    return None


@promise(COMPUTING)
def check_state_of_the_process_is_left_unchanged(entry: Entry[Any]) -> None:
    """Global random generators, working directory, environment and modes of torch are as they were."""
    ordinary_run(entry)  # what imports and first calls do to them is done
    folder = Path.cwd()
    with tempfile.TemporaryDirectory() as other:
        os.chdir(other)
        reset_process_state()
        before = process_state()
        try:
            run(entry, Case(seed=1))
            after = process_state()
        finally:
            os.chdir(folder)
    changed = [name for name in after if name in before and after[name] != before[name]]
    if changed:
        raise CheckFailed(f"it changes {', '.join(changed)} for the work that comes after it; draw from ctx.rng")


@promise(COMPUTING)
def check_nothing_outside_the_work_folder_is_touched(entry: Entry[Any]) -> None:
    """No network, no fork (unsafe beside the threads of numerical libraries), no file outside ctx.workdir."""
    ordinary_run(entry)  # compiled code may be cached once
    with context(entry, Case()) as ctx:
        home = Path(os.path.abspath(ctx.workdir))  # noqa: PTH100
        present = _listing()
        with watched() as journal:
            call(entry, ctx)
        written = [path for path in journal.written if not _may_be_written(path, home)]
        written += sorted(_listing() - present)
    if written:
        raise CheckFailed(f"it writes to {written[0]}: ctx.workdir is the only writable folder")
    if journal.other:
        raise CheckFailed(f"it uses the network or forks: {journal.other[0]}")


def _listing() -> set[Path]:
    # The kit runs plugins in an empty working directory: native code that writes there is seen.
    return set(Path.cwd().iterdir()) if tempfile.gettempdir() in str(Path.cwd()) else set()


def _may_be_written(path: Path, home: Path) -> bool:
    cache = os.environ.get("NUMBA_CACHE_DIR")
    allowed = [home, Path("/dev"), *([Path(cache)] if cache else [])]
    return "__pycache__" in path.parts or any(path.is_relative_to(folder) for folder in allowed)


@promise(COMPUTING)
def check_memory_does_not_leak(entry: Entry[Any]) -> Facts:
    """Memory does not grow with every run: a worker does hundreds of them."""
    ordinary_run(entry)
    started = time.perf_counter()
    run(entry)
    repeats = 4 if time.perf_counter() - started < 1 else 2
    tracemalloc.start()
    try:
        levels = [_memory(entry) for _ in range(repeats + 1)]
    finally:
        tracemalloc.stop()
    traced = [b[0] - a[0] for a, b in pairwise(levels)]
    resident = [b[1] - a[1] for a, b in pairwise(levels)]
    # It has to grow in every run; the bounds are above what caches of interpreters and allocators do.
    if min(traced) > 16 * 2**10 or min(resident) > 2**20:
        grown = max(min(traced), min(resident))
        raise CheckFailed(f"each of {repeats} runs leaves {grown / 2**20:.2f} MiB more behind than the one before")
    return {"traced_bytes_per_run": sorted(traced)[len(traced) // 2]}


def _memory(entry: Entry[Any]) -> tuple[int, int]:
    """Return the bytes that Python objects, and the whole process, take after one more run."""
    run(entry)
    gc.collect()
    resident = 0
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        resident = pages * os.sysconf("SC_PAGE_SIZE")
    return tracemalloc.get_traced_memory()[0], resident


@promise("scorer projector learner")
def check_deadline_is_honoured(entry: Entry[Any]) -> Facts:
    """Where a run takes a second or more, ctx.check_deadline() is called often enough to end it early."""
    case, base = Case(), 0.0
    for size in (120, 1000):
        case = Case(problem=ordinary(size))
        started = time.perf_counter()
        run(entry, case)
        base = time.perf_counter() - started
        if base >= 1.0:
            break
    else:
        raise DoesNotApply(f"a run with 1,000 samples takes {base:.2f} seconds, too short to be cut off")
    started = time.perf_counter()
    with contextlib.suppress(CellTimeout):
        run(entry, replace(case, seconds=0.1 * base))
    seconds = time.perf_counter() - started
    if seconds > 0.75 * base:
        raise CheckFailed(
            f"with a deadline after {0.1 * base:.1f} s it ran for {seconds:.1f} s of the usual {base:.1f} s: "
            "call ctx.check_deadline() between steps"
        )
    return {"usual_seconds": round(base, 2), "seconds": round(seconds, 2)}
