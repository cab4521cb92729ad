"""Promises of every kind of plugin about how it behaves: each check ends in silence or in CheckFailed."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from prunebench.errors import CellTimeout
from prunebench.plugins import Entry
from prunebench.testing.problems import duplicated, ordinary
from prunebench.testing.results import CheckFailed, DoesNotApply
from prunebench.testing.trial import Trial, arrays_of, call, context, fingerprint, run
from prunebench.testing.watch import (
    captured_output,
    child_processes,
    end_processes,
    lasting_threads,
    random_state,
    scramble,
    settings,
    watched,
)

Facts = Mapping[str, Any] | None


def check_implementation_can_be_imported(entry: Entry[Any]) -> None:
    """`load`, and `labeller` where there is one, name a module that can be imported and a callable in it."""
    named = {entry.spec.load: entry.load}
    if labeller := getattr(entry.spec, "labeller", ""):
        named[labeller] = entry.load_labeller
    for target, load in named.items():
        if not callable(found := load()):
            raise CheckFailed(f"{target} is {type(found).__name__}, expected a function of one context")


def check_run_ends_normally(entry: Entry[Any]) -> Facts:
    """An ordinary run returns something: it does not raise, hang, exit or kill its process."""
    run(entry, Trial(writable=True, everything=True))
    started = time.perf_counter()
    run(entry, Trial(writable=True, everything=True))
    return {"run_seconds": round(time.perf_counter() - started, 4)}


def check_evidence_is_left_unchanged(entry: Entry[Any]) -> None:
    """No array of the context is written to; what others read stays as it was."""
    with context(entry, Trial(everything=True)) as ctx:
        before = {name: array.tobytes() for name, array in arrays_of(ctx).items()}
        if not before:
            raise DoesNotApply("there are no arrays to change")
        try:
            call(entry, ctx)
        except ValueError as error:
            if "read-only" in str(error):
                raise CheckFailed(f"it writes to an array that it was given: {error}") from error
            raise
        changed = [name for name, array in arrays_of(ctx).items() if array.tobytes() != before[name]]
    if changed:
        raise CheckFailed(f"it changed {', '.join(changed)}: work on a copy")


def check_result_is_not_a_view_of_the_evidence(entry: Entry[Any]) -> None:
    """The result has memory of its own."""
    with context(entry, Trial()) as ctx:
        result = call(entry, ctx)
        values = np.asarray(getattr(result, "values", result))
        shared = [name for name, array in arrays_of(ctx).items() if np.shares_memory(values, array)]
    if shared:
        raise CheckFailed(f"the result is a view of {', '.join(shared)}: return a copy")


def check_same_seed_gives_the_same_result(entry: Entry[Any]) -> None:
    """Two runs with one seed give the same bytes."""
    if fingerprint(run(entry)) != fingerprint(run(entry)):
        raise CheckFailed("two runs with seed 0 differ: draw from ctx.rng or ctx.torch_generator() alone")


def check_another_process_gives_the_same_result(entry: Entry[Any]) -> None:
    """A fresh interpreter with another hash seed gives the same bytes: no set order, no state of the process."""
    from prunebench.testing.elsewhere import digest_elsewhere, digest_of

    here, there = digest_of(run(entry)), digest_elsewhere(entry, {"PYTHONHASHSEED": "1"})
    if here != there:
        raise CheckFailed("a fresh interpreter gives another result: does the order of a set or dict decide?")


def check_stochastic_is_declared_truthfully(entry: Entry[Any]) -> Facts:
    """The seed matters where `stochastic` says so, and nowhere else; it may break ties of equal samples anywhere."""
    for problem, has_ties in ((ordinary(), False), (duplicated(ordinary()), True)):
        results: set[Any] = set()
        with contextlib.suppress(Exception):  # what cannot be run at all is the question of other checks
            results = {fingerprint(run(entry, Trial(problem=problem, seed=seed))) for seed in range(3)}
        if len(results) > 1 and not entry.spec.stochastic and not has_ties:
            raise CheckFailed("three seeds give different results: declare stochastic=True")
        if len(results) > 1:
            return {"seed_matters_for": "ties alone" if has_ties else "all samples"}
    if entry.spec.stochastic:
        raise CheckFailed("three seeds give one result: it ignores its seed, or stochastic=True is wrong")
    return None


def check_global_random_state_is_untouched(entry: Entry[Any]) -> None:
    """The global generators of random, numpy and torch are as they were."""
    run(entry)  # what imports and first calls do to them is done
    scramble()
    before = random_state()
    run(entry, Trial(seed=1))
    after = random_state()
    changed = [name for name in after if name in before and after[name] != before[name]]
    if changed:
        raise CheckFailed(f"it touches the global generator of {', '.join(changed)}: use ctx.rng")


def check_settings_of_the_process_are_untouched(entry: Entry[Any]) -> None:
    """Working directory, environment, error handling of numpy and modes of torch are as they were."""
    run(entry)
    folder = Path.cwd()
    with tempfile.TemporaryDirectory() as other:
        os.chdir(other)
        scramble()
        before = settings()
        try:
            run(entry)
            after = settings()
        finally:
            os.chdir(folder)
    changed = [name for name in after if name in before and after[name] != before[name]]
    if changed:
        raise CheckFailed(f"it changes {', '.join(changed)} for the work that comes after it")


def check_nothing_is_printed(entry: Entry[Any]) -> None:
    """Standard output is for data: nothing is written to it, by Python or by native code."""
    with captured_output() as output:
        run(entry)
        printed = output()
    if printed:
        raise CheckFailed(f"it printed {printed.strip()[:80]!r}: use ctx.progress, or the logging module")


def check_nothing_is_written_outside_the_work_folder(entry: Entry[Any]) -> None:
    """Files are made, changed and removed below ctx.workdir alone."""
    run(entry)  # compiled code may be cached once
    with context(entry, Trial()) as ctx:
        home = Path(os.path.abspath(ctx.workdir))  # noqa: PTH100
        present = _listing()
        with watched() as journal:
            call(entry, ctx)
        written = [path for path in journal.written if not _may_be_written(path, home)]
        written += sorted(_listing() - present)
    if written:
        raise CheckFailed(f"it writes to {written[0]}: ctx.workdir is the only writable folder")


def _listing() -> set[Path]:
    # The kit runs plugins in an empty working directory: native code that writes there is seen.
    return set(Path.cwd().iterdir()) if tempfile.gettempdir() in str(Path.cwd()) else set()


def _may_be_written(path: Path, home: Path) -> bool:
    cache = os.environ.get("NUMBA_CACHE_DIR")
    allowed = [home, Path("/dev"), *([Path(cache)] if cache else [])]
    return "__pycache__" in path.parts or any(path.is_relative_to(folder) for folder in allowed)


def check_no_socket_is_opened(entry: Entry[Any]) -> None:
    """A run does not use the network."""
    with watched() as journal:
        run(entry)
    if journal.sockets:
        raise CheckFailed(f"it uses the network: {journal.sockets[0]}")


def check_nothing_is_left_running(entry: Entry[Any]) -> None:
    """No fork (unsafe beside the threads of numerical libraries), and no process or thread outlives the run."""
    processes, threads = set(child_processes()), lasting_threads()
    with watched() as journal:
        run(entry)
    left = {pid: command for pid, command in child_processes().items() if pid not in processes}
    end_processes(list(left))
    if journal.forks:
        raise CheckFailed(f"it forked its process {journal.forks} time(s): use threads, or subprocess")
    if left:
        raise CheckFailed(f"it leaves a process running: {next(iter(left.values()))[:80]}")
    if more := lasting_threads() - threads:
        raise CheckFailed(f"it leaves a thread running: {sorted(more)[0]}")


def check_deadline_is_honoured(entry: Entry[Any]) -> Facts:
    """Where a run takes a second or more, ctx.check_deadline() is called often enough to end it early."""
    trial, base = Trial(), 0.0
    for size in (120, 1000):
        trial = Trial(problem=ordinary(size))
        started = time.perf_counter()
        run(entry, trial)
        base = time.perf_counter() - started
        if base >= 1.0:
            break
    else:
        raise DoesNotApply(f"a run with 1,000 samples takes {base:.2f} seconds, too short to be cut off")
    started = time.perf_counter()
    with contextlib.suppress(CellTimeout):
        run(entry, replace(trial, seconds=0.1 * base))
    seconds = time.perf_counter() - started
    if seconds > 0.75 * base:
        raise CheckFailed(
            f"with a deadline after {0.1 * base:.1f} s it ran for {seconds:.1f} s of the usual {base:.1f} s: "
            "call ctx.check_deadline() between steps"
        )
    return {"usual_seconds": round(base, 2), "seconds": round(seconds, 2)}
