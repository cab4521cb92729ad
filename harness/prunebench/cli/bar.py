"""Progress of one piece of work on standard error: a live bar on a terminal, plain lines elsewhere."""

import sys
import time
from typing import Any, Self

from prunebench.cli.progress import PLAIN_EVERY_SECONDS, live_bar, time_left
from prunebench.cli.text import say

FIRST_AFTER_SECONDS = 2.0  # what is done before needs no progress


class Bar:
    """Shows a fraction, a text, and about how much time is left; use as a context manager and call it."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet, self._started, self._last = quiet, time.monotonic(), 0.0
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, fraction: float, text: str = "") -> None:
        now = time.monotonic()
        spent = now - self._started
        if self._quiet or spent < FIRST_AFTER_SECONDS:
            return
        left = time_left(spent * (1 - fraction) / fraction if fraction > 0.02 else None)
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = live_bar("{task.percentage:>3.0f}%")
                self._bar.start()
            self._bar.update(self._bar.task_ids[0], description=text, total=1.0, completed=fraction, left=left)
        elif now - self._last > PLAIN_EVERY_SECONDS:
            self._last = now
            say(f"{fraction:.0%} {text}, {left}")
