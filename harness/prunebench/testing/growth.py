"""How time and memory grow: with the number of samples, and with the number of runs."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import time
import tracemalloc
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from prunebench.plugins import Entry
from prunebench.testing.problems import ordinary
from prunebench.testing.results import CheckFailed
from prunebench.testing.trial import Trial, run

SIZES = (256, 1024, 4096)
SECONDS_AT_MOST = 10.0  # a size that is predicted to take longer, if time grows with n squared, is left out
# Generous: caches, set-up and threads bend small measurements. A wrong declaration is off by a whole power.
_EXPONENTS = {"n": 1.6, "n log n": 1.7, "n^2": 2.6}
_TELLING_SECONDS, _TELLING_BYTES = 0.2, 48 * 2**20


def check_cost_is_as_declared(entry: Entry[Any]) -> Mapping[str, Any]:
    """Time and memory grow with n as `cost` says, where the sizes are large enough to tell."""
    measured: list[tuple[int, float, int | None]] = []
    for size in SIZES:
        if measured and measured[-1][1] * (size / measured[-1][0]) ** 2 > SECONDS_AT_MOST:
            break
        measured.append((size, *_cost(entry, size)))
    facts = _facts(measured)
    limit = _EXPONENTS[entry.spec.cost]
    seconds, exponent = measured[-1][1], facts["time_exponent"]
    if exponent is not None and seconds >= _TELLING_SECONDS and exponent > limit:
        raise CheckFailed(
            f"time grows with n to the power {exponent:.1f} ({_listed(measured, 1, ' s')}), "
            f"declared is cost = {entry.spec.cost!r}"
        )
    memory, exponent = measured[-1][2], facts["memory_exponent"]
    if exponent is not None and memory is not None and memory >= _TELLING_BYTES and exponent > limit:
        raise CheckFailed(
            f"memory grows with n to the power {exponent:.1f} ({memory / 2**20:.0f} MiB for {measured[-1][0]} "
            f"samples), declared is cost = {entry.spec.cost!r}"
        )
    return facts


def _cost(entry: Entry[Any], size: int) -> tuple[float, int | None]:
    trial = Trial(problem=ordinary(size))
    run(entry, trial)  # the first run of a size may compile, or fill a cache
    before = _reset_peak()
    # Processor time: other work on the machine does not count.
    started = time.process_time()
    run(entry, trial)
    seconds = time.process_time() - started
    peak = _status("VmHWM")
    return seconds, None if before is None or peak is None else max(0, peak - before)


def _facts(measured: list[tuple[int, float, int | None]]) -> dict[str, Any]:
    times = [(n, seconds) for n, seconds, _ in measured]
    bytes_used = [(n, used) for n, _, used in measured if used is not None]
    return {
        "sizes": [n for n, _, _ in measured],
        "seconds": [round(seconds, 4) for _, seconds in times],
        "peak_bytes": [used for _, used in bytes_used],
        "time_exponent": _exponent(times, 0.001),
        "memory_exponent": _exponent(bytes_used, 2**18),
    }


def _exponent(points: list[tuple[int, float]] | list[tuple[int, int]], floor: float) -> float | None:
    """Return the slope of log cost over log n between the last two sizes; None below the floor."""
    if len(points) < 2 or points[-2][1] < floor or points[-1][1] < floor:
        return None
    (n, low), (m, high) = points[-2:]
    return round(math.log(high / low) / math.log(m / n), 2)


def _listed(measured: list[tuple[int, float, int | None]], column: int, unit: str) -> str:
    return ", ".join(f"n = {row[0]}: {row[column]:.2f}{unit}" for row in measured)


def check_memory_does_not_leak(entry: Entry[Any]) -> Mapping[str, Any]:
    """Memory does not grow with every run: a worker does hundreds of them."""
    started = time.perf_counter()
    run(entry)
    run(entry)
    seconds = (time.perf_counter() - started) / 2
    repeats = 4 if seconds < 2 else 2
    tracemalloc.start()
    try:
        levels = [_levels(entry) for _ in range(repeats + 1)]
    finally:
        tracemalloc.stop()
    traced = [b[0] - a[0] for a, b in pairwise(levels)]
    resident = [b[1] - a[1] for a, b in pairwise(levels)]
    # It has to grow in every run; the bounds are above what caches of interpreters and allocators do.
    if min(traced) > 16 * 2**10 or min(resident) > 2**20:
        grown = max(min(traced), min(resident))
        raise CheckFailed(f"each of {repeats} runs leaves {grown / 2**20:.2f} MiB more behind than the one before")
    return {"traced_bytes_a_run": sorted(traced)[len(traced) // 2]}


def _levels(entry: Entry[Any]) -> tuple[int, int]:
    run(entry)
    gc.collect()
    return tracemalloc.get_traced_memory()[0], _status("VmRSS") or 0


def _reset_peak() -> int | None:
    """Reset the peak of the resident memory and return the present level in bytes; None where Linux is not."""
    with contextlib.suppress(OSError, AttributeError):
        # What earlier runs freed is given back first, or the peak would hide in it.
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return _status("VmRSS")
    return None


def _status(field: str) -> int | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return None
