"""The only entry that computes: `python -m prunebench.worker CELL.json`, or `--serve` for a warm worker.

A served worker reads one JSON request a line from standard input and answers with JSON lines on the descriptor
that was its standard output; whatever plugins print goes to standard error. It ends when its input does."""

import faulthandler
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, TextIO

import msgspec

from prunebench.errors import CellFailed, NotApplicable, PrunebenchError, StoreError
from prunebench.plugins import load_plugins
from prunebench.settings import Settings
from prunebench.stages import STAGES
from prunebench.stages.bench import Bench, make_bench
from prunebench.store import Artefact
from prunebench.tasks import Task


def perform(bench: Bench, task: Task) -> dict[str, Any]:
    """Compute one task and return its outcome: status, reason, hint, and how long it took in seconds.  An exception of
    any kind becomes an outcome; its traceback goes to standard error, the log of the run."""
    started = time.perf_counter()
    forget_peak()
    outcome = {"key": task.key, "status": "ok", "reason": "", "hint": "", "exit_code": 0}
    try:
        ensure(bench, task)
    except Exception as error:
        if not isinstance(error, NotApplicable | StoreError):
            traceback.print_exc()
        hint = "this is a defect of prunebench itself; the traceback is in the log of the run"
        defect = CellFailed(f"stage {task.stage}: {type(error).__name__}: {error}", hint)
        told = error if isinstance(error, PrunebenchError) else defect
        outcome |= {"status": told.status, "reason": told.message, "hint": told.hint, "exit_code": told.exit_code}
    seconds = round(time.perf_counter() - started, 3)
    return {**outcome, "seconds": seconds, "device": bench.device, "peak_bytes": peak_bytes()}


def forget_peak() -> None:
    """Begin to measure the peak of main memory anew, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_bytes(b"5")


def peak_bytes() -> int:
    """Return the most main memory that this process has taken since the last `forget_peak`, mapped files included; 0
    where the system does not say."""
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_bytes().splitlines()
        return int(next(line for line in lines if line.startswith(b"VmHWM:")).split()[1]) << 10
    return 0


def ensure(bench: Bench, task: Task, inputs: Mapping[str, Artefact] | None = None) -> Artefact:
    """Return the artefact of a task, computing it and its inputs where they are not in the store.  inputs: those that
    are at hand already, in place of the task's own."""
    if (artefact := bench.store.read(task.stage, task.key)) is not None:
        return artefact
    stage = STAGES[task.stage]
    if inputs is None:
        inputs = {role: ensure(bench, upstream) for role, upstream in task.upstream.items()}
    if stage.expand:
        further: Mapping[str, Task] = resolve_name(stage.expand)(task, inputs)
        inputs = {**inputs, **{role: ensure(bench, found, inputs) for role, found in further.items()}}
    with bench.store.lock(task.key):
        artefact = bench.store.read(task.stage, task.key)  # somebody else may have computed it meanwhile
        if artefact is None:
            started = time.perf_counter()
            forget_peak()
            arrays, facts = resolve_name(stage.function)(bench, task, inputs)
            bench.check_code(task.config)
            measured = {"seconds": round(time.perf_counter() - started, 3), "peak_bytes": peak_bytes()}
            bench.store.publish(task.stage, task.key, arrays, {**measured, **facts})
            bench.store.discard_parts(task.key)
            artefact = bench.store.read(task.stage, task.key)  # within the lock: nobody removes it in between
    if artefact is None:
        text = f"the artefact of stage {task.stage} vanished after it was written"
        raise CellFailed(text, "is something else cleaning the cache folder?")
    return artefact


def serve(settings: Settings, requests: TextIO, answers: TextIO) -> None:
    """Answer requests until the input ends; an orphan stops at once, in the middle of its work."""
    reported = 0.0

    def say(message: Mapping[str, Any]) -> None:
        print(json.dumps(message), file=answers, flush=True)

    def report(fraction: float, text: str = "") -> None:
        nonlocal reported
        if time.monotonic() - reported >= 0.5:
            reported = time.monotonic()
            say({"event": "progress", "fraction": float(fraction), "text": str(text)})

    faulthandler.enable()  # the stack of a crash in native code goes to the log
    bench = replace(make_bench(settings, load_plugins()), progress=report)
    say({"event": "ready", "device": bench.device})
    for request in _requests(requests):
        task = msgspec.convert(request, Task)
        print(f"--- {time.strftime('%H:%M:%S')} {task.stage} {task.key}", file=sys.stderr, flush=True)  # noqa: T201
        with logged(settings.log_of(task.key)):
            outcome = perform(bench, task)
        say({"event": "done", **outcome})


@contextmanager
def logged(path: str) -> Iterator[None]:
    """Write to a file what this process prints inside the block, also by native code; an empty path, or a file that
    cannot be written, changes nothing.  A file in which nothing was written is removed."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError:
        yield
        return
    usual = {stream: os.dup(stream) for stream in (1, 2)}
    for stream in usual:
        os.dup2(log, stream)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, saved in usual.items():
            os.dup2(saved, stream)
            os.close(saved)
        with suppress(OSError):
            if not os.fstat(log).st_size:
                Path(path).unlink()
        os.close(log)


def _requests(stream: TextIO) -> Iterator[Any]:
    # Read in a thread, so that the end of the input (the parent has died) is seen while work is going on.
    # Everything is published atomically, so stopping dead leaves nothing half-written.
    lines: queue.Queue[str] = queue.Queue()

    def listen() -> None:
        for line in stream:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        yield json.loads(lines.get())


def main(arguments: list[str]) -> int:
    """Serve, or compute one cell file ({"settings": ..., "task": ...}) and print its outcome as JSON."""
    # Plugins and libraries may print: keep the answers apart from that.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what a task prints before it dies is in its log
    match arguments:
        case ["--serve", settings]:
            serve(msgspec.convert(json.loads(settings), Settings), sys.stdin, answers)  # paths may be no UTF-8
            return 0
        case [file]:
            request = json.loads(Path(file).read_text(encoding="utf-8"))
            given, task = msgspec.convert(request["settings"], Settings), msgspec.convert(request["task"], Task)
            with logged(given.log_of(task.key)):
                outcome = perform(make_bench(given, load_plugins()), task)
            print(json.dumps(outcome), file=answers, flush=True)
            return 0 if outcome["status"] in ("ok", "not_applicable") else 1
    print("usage: python -m prunebench.worker CELL.json", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
