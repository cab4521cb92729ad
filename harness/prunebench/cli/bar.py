"""Progress of one piece of work on standard error: a live bar on a terminal, plain lines elsewhere."""

import signal
import sys
import threading
import time
from typing import Any, Self

from prunebench.cli.progress import PLAIN_EVERY_SECONDS, about, live_bar, time_left
from prunebench.cli.text import say
from prunebench.pruning.progress import seconds_left

FIRST_AFTER_SECONDS = 2.0  # what is done before needs no progress


class Bar:
    """Shows a fraction, a text, and about how much time is left; use as a context manager and call it.

    Called, it takes the work for even; `tell` is for work whose steps say themselves how much time they have left.
    Ctrl-C that a library takes for an error of its own is raised again at the next call."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet, self._started, self._last = quiet, time.monotonic(), 0.0
        self._bar: Any = None
        self._is_interrupted = self._is_listening = False

    def __enter__(self) -> Self:
        in_main = threading.current_thread() is threading.main_thread()  # only there signals can be handled
        self._is_listening = in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._is_listening:
            signal.signal(signal.SIGINT, self._interrupt)
        return self

    def _interrupt(self, number: int, frame: Any) -> None:
        self._is_interrupted = True
        raise KeyboardInterrupt

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._is_listening:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._bar is not None:
            self._bar.stop()
        if kind is KeyboardInterrupt:
            say("what is done is kept: run the same command again to go on")

    def __call__(self, fraction: float, text: str = "") -> None:
        self.tell(fraction, text, seconds_left(time.monotonic() - self._started, fraction, 1 - fraction))

    def tell(self, fraction: float, text: str, seconds_left: float | None) -> None:
        """Show how far the whole is, and how long the step at hand still takes, None where nobody knows."""
        if self._is_interrupted:
            raise KeyboardInterrupt
        now = time.monotonic()
        if self._quiet or now - self._started < FIRST_AFTER_SECONDS:
            return
        left = time_left(seconds_left)
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = live_bar("{task.percentage:>3.0f}%")
                self._bar.start()
            self._bar.update(self._bar.task_ids[0], description=text, total=1.0, completed=fraction, left=left)
        elif now - self._last > PLAIN_EVERY_SECONDS:
            self._last = now
            say(f"{fraction:.0%} {text}, {left}")

    def expect(self, text: str, seconds: float) -> None:
        """Say of a step that is about to begin how long it takes, in a line that stays."""
        if self._quiet or seconds < FIRST_AFTER_SECONDS:
            return
        line = f"{text} takes {about(seconds)}"
        say(line) if self._bar is None else self._bar.console.print(line, markup=False, highlight=False)
