"""When a run stops before its end: at a time that was given, or when somebody presses Ctrl-C."""

import math
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from prunebench.errors import UsageError

_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile(rf"(?:{_NUMBER}\s*h)?\s*(?:{_NUMBER}\s*m(?:in)?)?\s*(?:{_NUMBER}\s*s)?")
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_A_DAY = 86_400.0  # in seconds


def seconds_until(text: str, now: datetime) -> float:
    """Return the seconds from `now` that "90s", "14m", "2h" or "1h30m" take, or to the next "18:30" of the clock.
    Raises UsageError for anything else."""
    if clock := _CLOCK.fullmatch(text.strip()):
        then = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        return (then + timedelta(days=then <= now) - now).total_seconds()
    found = _DURATION.fullmatch(text.strip())
    parts = zip(found.groups(), (3600, 60, 1), strict=True) if found else ()
    if (seconds := sum(float(number or 0) * unit for number, unit in parts)) <= 0:
        hint = "write how long, such as 90s, 14m, 2h or 1h30m, or a time of the clock, such as 18:30"
        raise UsageError(f"--until {text!r} is not a time", hint)
    return seconds


@dataclass
class Interruption:
    """Ctrl-C once: start nothing new, and wait a while for what runs.  Twice: stop now.  until: the time at which this
    happens by itself, as `time.monotonic` tells it."""

    grace_seconds: float
    until: float = math.inf
    since: float | None = None

    def request(self) -> None:
        """Start nothing new from now on."""
        self.since = self.since or time.monotonic()

    def requested(self) -> bool:
        return self.since is not None

    def seconds_left(self) -> float:
        """Return the time until nothing new may run."""
        return self.until - time.monotonic()

    def over(self) -> bool:
        """Tell whether what still runs has had its time."""
        stopped = self.until if self.since is None else min(self.since, self.until)
        return time.monotonic() - stopped > self.grace_seconds

    @contextmanager
    def on_signals(self, notice: Callable[[str], None]) -> Iterator[None]:
        """Take SIGINT and SIGTERM for a request inside the block; only the main thread is told of signals."""

        def handle(number: int, frame: Any) -> None:
            if self.requested():
                raise KeyboardInterrupt
            self.request()
            notice(f"stopping: waiting {self.grace_seconds:g} s for what runs; press Ctrl-C again to stop at once")
            if hasattr(signal, "setitimer"):  # an executor may run a task in this process, and see no end of the grace
                restoring.callback(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, handle))
                restoring.callback(signal.setitimer, signal.ITIMER_REAL, 0)
                signal.setitimer(signal.ITIMER_REAL, min(self.grace_seconds, _A_DAY) + 2)  # it takes no infinity

        with ExitStack() as restoring:
            in_main = threading.current_thread() is threading.main_thread()
            for number in (signal.SIGINT, signal.SIGTERM) if in_main else ():
                restoring.callback(signal.signal, number, signal.signal(number, handle))
            yield
