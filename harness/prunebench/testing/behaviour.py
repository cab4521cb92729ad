"""Promises of every kind of plugin about what it declares, and how it behaves when it is run, and run again."""

import contextlib
import gc
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from prunebench.errors import CellTimeout, NotApplicable, PluginContractError
from prunebench.executors.process import ChildProcess
from prunebench.plugins import Entry
from prunebench.testing.cases import Case, arrays_of, call, context, fingerprint, ordinary_run, run
from prunebench.testing.problems import Problem, duplicated, ordinary
from prunebench.testing.results import ALL, COMPUTING, CheckFailed, ensure, promise
from prunebench.wire import to_json

# Of each audit event that writes: where the paths stand that it writes to, each with where the descriptor of the
# open folder stands that a relative path starts from.
_WRITES: dict[str, dict[int, int | None]] = {
    "os.mkdir": {0: 2}, "os.rename": {0: 2, 1: 3}, "os.remove": {0: 1}, "os.rmdir": {0: 1}, "os.link": {1: 3},
    "os.symlink": {1: 2}, "os.truncate": {0: None}, "os.chmod": {0: 2}, "shutil.copyfile": {1: None},
    "shutil.move": {0: None, 1: None}, "shutil.rmtree": {0: 1}, "sqlite3.connect": {0: None},
}  # fmt: skip
_NETWORK_OR_FORK = {"socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname",
                    "os.fork", "os.forkpty"}  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_INTERNET = (2, 10, 23, 30)  # AF_INET, and AF_INET6 on Linux, Windows and macOS
Event = tuple[str, Path | None]  # what was done, with the path that was written to, or None for network and forks


@promise(ALL, stage=0)
def check_declaration_is_complete(entry: Entry[Any]) -> None:
    """The version is known, choices such as `cost` are known ones, and parameters have a doc and a valid default."""
    spec = entry.spec
    ensure(entry.version != "unknown", f"no version: no source is found for {spec.load!r}")
    for name, hint in get_type_hints(type(spec)).items():
        if get_origin(hint) is Literal:
            given, allowed = getattr(spec, name), get_args(hint)
            ensure(given in allowed, f"{name} = {given!r}, expected one of {', '.join(map(repr, allowed))}")
    for name, param in spec.params.items():
        problem = param.problem(param.default) or ("" if param.doc else "it has no doc")
        ensure(not problem, f"parameter {name!r} with default {param.default!r}: {problem}")


@promise(COMPUTING, stage=3)
def check_run_ends_normally(entry: Entry[Any]) -> None:
    """It can be imported, and an ordinary run returns something: it does not raise, hang, exit or kill its process."""
    try:
        run(entry)
    except PluginContractError:  # reading undeclared evidence is the subject of another check
        run(entry, Case(everything=True))


@promise("scorer projector selector backbone learner", stage=5)
def check_evidence_is_left_unchanged(entry: Entry[Any]) -> None:
    """No array of the context is written to, and none is returned: what others read stays as it was."""
    with context(entry, Case()) as ctx:
        before = [array.tobytes() for _, array in arrays_of(ctx)]
        returned = call(entry, ctx)
        values = getattr(returned, "values", returned)
        for (name, array), content in zip(arrays_of(ctx), before, strict=True):
            ensure(array.tobytes() == content, f"it changed {name}")
            is_view = isinstance(values, np.ndarray) and np.shares_memory(values, array)
            ensure(not is_view, f"its result is a view of {name}: return a copy, or whoever changes one changes both")


@promise(COMPUTING, stage=7)
def check_same_seed_gives_the_same_result(entry: Entry[Any]) -> None:
    """The same seed gives the same bytes, without the global random generators, which stay as they were."""
    first = fingerprint(ordinary_run(entry))
    before = _global_generators(98_765)  # a number that nobody chooses, so that whoever seeds them is seen
    is_same = fingerprint(run(entry)) == first
    ensure(is_same, "two runs with seed 0 differ: draw from ctx.rng or ctx.torch_generator(), and sort files")
    changed = [name for name, state in _global_generators().items() if state != before.get(name, state)]
    ensure(not changed, f"it changes the generator of {', '.join(changed)}: draw from ctx.rng")


def _global_generators(seed: int | None = None) -> dict[str, str]:
    """Return the states of the global random generators, seeded before with `seed`."""
    torch = sys.modules.get("torch")
    seeding = [random.seed, np.random.seed, *([torch.manual_seed] if torch else [])]
    for set_seed in seeding if seed is not None else []:
        set_seed(seed)
    found = {"random": str(random.getstate()), "numpy.random": repr(np.random.get_state())}  # noqa: NPY002
    return {**found, "torch": str(torch.get_rng_state().tolist())} if torch is not None else found


@promise(COMPUTING)
def check_another_process_gives_the_same_result(entry: Entry[Any]) -> None:
    """A fresh interpreter with another hash seed gives the same bytes: no set order, no state of the process."""
    command = [sys.executable, "-P", "-m", "prunebench.testing.child"]
    with contextlib.closing(ChildProcess(command, environment={**os.environ, "PYTHONHASHSEED": "1"})) as child:
        child.receive()  # it is ready
        child.send({"entry": to_json(entry), "check": "", "seconds": 600})
        answer = child.receive() or {"status": "failed", "reason": f"it {child.death}"}
    ensure(answer["status"] == "passed", f"a fresh interpreter fails: {answer['reason']}")
    is_same = answer["reason"] == fingerprint(ordinary_run(entry))
    ensure(is_same, "a fresh interpreter gives another result: does the order of a set or dict decide?")


@promise("scorer projector selector")
def check_stochastic_is_declared_truthfully(entry: Entry[Any]) -> None:
    """The seed matters where `stochastic` says so, if only for equal samples, whose ties it may break anywhere."""

    def varies(problem: Problem) -> bool:
        return len({fingerprint(run(entry, Case(problem=problem, seed=seed))) for seed in range(3)}) > 1

    if varies(ordinary()):
        ensure(entry.spec.stochastic, "three seeds give different results: declare stochastic=True")
    elif entry.spec.stochastic:
        ensure(varies(duplicated()), "three seeds give one result: it ignores its seed, or stochastic=True is wrong")


@promise(COMPUTING)
def check_memory_does_not_leak(entry: Entry[Any]) -> str:
    """The memory of the process does not grow with every run: a worker does hundreds of them."""
    if not (status := Path("/proc/self/statm")).exists():
        raise NotApplicable("this system does not say how much memory a process takes")
    levels = []
    for _ in range(6):
        run(entry)
        gc.collect()
        levels.append(int(status.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20)
    # It has to grow in every run but the first; the bound is above what allocators do.
    grown = min(b - a for a, b in pairwise(levels[1:]))
    ensure(grown <= 0.5, f"each of 5 runs leaves {grown:.2f} MiB more behind than the one before")
    return f"{grown:.2f} MiB per run"


@promise("scorer projector learner")
def check_deadline_is_honoured(entry: Entry[Any]) -> str:
    """Where a run takes a second or more, ctx.check_deadline() is called often enough to end it early."""
    for case in (Case(), Case(problem=ordinary(1000))):
        if (usual := _seconds(entry, case)) >= 1.0:
            break
    else:
        raise NotApplicable(f"a run with 1,000 samples takes {usual:.2f} seconds, too short to be cut off")
    seconds = _seconds(entry, replace(case, seconds=0.1 * usual))
    text = f"with a deadline after {0.1 * usual:.1f} s it ran for {seconds:.1f} s of the usual {usual:.1f} s"
    ensure(seconds <= 0.75 * usual, f"{text}: call ctx.check_deadline() between steps")
    return f"{seconds:.1f} s of {usual:.1f} s"


def _seconds(entry: Entry[Any], case: Case) -> float:
    started = time.perf_counter()
    with contextlib.suppress(CellTimeout):
        run(entry, case)
    return time.perf_counter() - started


@promise(COMPUTING)
def check_nothing_outside_the_work_folder_is_touched(entry: Entry[Any]) -> None:
    """No network, no fork (unsafe beside the threads of numerical libraries), no file outside ctx.workdir."""
    ordinary_run(entry)  # compiled code may be cached once
    with context(entry, Case()) as ctx:
        folders = [ctx.workdir, "/dev", os.environ.get("NUMBA_CACHE_DIR") or "/dev"]
        if entry.spec.kind == "dataset":  # it has no work folder: what it unpacks goes to the temporary one
            folders.append(tempfile.gettempdir())
        events: list[Event] = []
        _journals().append(events)
        try:
            call(entry, ctx)
        finally:
            _journals().clear()
    for event, path in events:
        if path is None:
            raise CheckFailed(f"it uses the network or forks: {event}")
        is_allowed = "__pycache__" in path.parts or any(path.is_relative_to(folder) for folder in folders)
        ensure(is_allowed, f"it writes to {path}: ctx.workdir is the only writable folder")


@lru_cache(maxsize=1)  # an audit hook stays for the life of the process, so one is enough
def _journals() -> list[list[Event]]:
    """Return the lists to which everything is added that is done outside from now on; native code is not seen."""
    journals: list[list[Event]] = []

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        for journal in journals:
            journal.extend(_outside(event, arguments))

    sys.addaudithook(note)
    return journals


def _outside(event: str, arguments: tuple[Any, ...]) -> Iterator[Event]:
    """Yield what an audit event of the interpreter writes to, or uses of the network and forks."""
    is_writing = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING
    for at, folder_at in ({0: None} if is_writing else _WRITES.get(event, {})).items():
        path, folder = arguments[at], None if folder_at is None else arguments[folder_at]
        if isinstance(path, str | bytes | os.PathLike):
            start = f"/proc/self/fd/{folder}" if isinstance(folder, int) and folder >= 0 else "."
            beside = Path(start).resolve() / os.fsdecode(path)
            yield event, Path(os.path.abspath(beside))  # noqa: PTH100 (the link's own place)
    is_local = bool(arguments) and isinstance(arguments[-1], str | bytes)  # the path of a local socket
    is_internet = event == "socket.__new__" and arguments[1] in _INTERNET
    if is_internet or (event in _NETWORK_OR_FORK and not is_local):
        yield f"{event}{arguments[1:]}", None
