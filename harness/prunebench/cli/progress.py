"""Progress on standard error: a live bar on a terminal, plain lines elsewhere."""

import sys
import time
from contextlib import ExitStack
from typing import Any

from prunebench.cli.text import columns, say
from prunebench.executors import Event
from prunebench.schedule import RunState

PLAIN_EVERY_SECONDS = 10.0
LIVE_EVERY_SECONDS = 0.1
WIDE = 80  # columns, from which on a live line has room for a bar and for all stages that run


def time_left(seconds: float | None) -> str:
    """Return an estimated time left in words; None is one that cannot be told yet."""
    return "time left not known yet" if seconds is None else f"{about(seconds)} left"


def about(seconds: float) -> str:
    """Return an estimate in words, in one unit: no estimate knows the seconds of an hour."""
    size, unit = next(((s, unit) for s, unit in ((3600, "h"), (60, "min")) if seconds >= 2 * s), (1, "s"))
    return f"about {max(seconds, 1) / size:.0f} {unit}"


def duration(seconds: float) -> str:
    """Return a duration in words, such as "3 min 20 s"."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Progress(ExitStack):
    """Watches a run; use as a context manager and pass it as the observer."""

    def __init__(self, slots: int, quiet: bool = False) -> None:
        super().__init__()
        self._slots, self._quiet, self._last = slots, quiet, 0.0
        self._texts: dict[str, str] = {}  # what tasks that run say of themselves
        is_live = sys.stderr.isatty() and not quiet
        self._bar = self.enter_context(live_bar("{task.completed}/{task.total}")) if is_live else None

    def notice(self, text: str) -> None:
        """Show a message that stays."""
        say(text) if self._bar is None else self._bar.console.print(text, markup=False, highlight=False)

    def __call__(self, state: RunState, event: Event | None) -> None:
        if event is not None and event.outcome is not None:
            self._texts.pop(event.key, None)
            if event.outcome["status"] not in ("ok", "not_applicable"):
                self.notice(f"{event.outcome['status']}: {event.outcome['reason']}")
        elif event is not None and event.text:
            self._texts[event.key] = event.text
        done, total, now = len(state.outcomes), len(state.tasks), time.monotonic()
        if self._bar is not None and now - self._last > LIVE_EVERY_SECONDS:  # all tasks are looked at for the time left
            self._last = now
            stages = sorted({state.tasks[key].stage for key in state.running})
            shown = " + ".join(stages if columns(sys.stderr) >= WIDE else stages[:1]) or "waiting"
            left = "" if (seconds := state.seconds_left(self._slots)) is None else time_left(seconds)
            self._bar.update(self._bar.task_ids[0], description=shown, total=total, completed=done, left=left)
        elif self._bar is None and not self._quiet and now - self._last > PLAIN_EVERY_SECONDS:
            self._last = now
            texts = {key: f" ({text})" for key, text in self._texts.items()}
            running = ", ".join(state.tasks[key].stage + texts.get(key, "") for key in state.running) or "nothing"
            say(f"{done}/{total} tasks, {time_left(state.seconds_left(self._slots))}, running: {running}")


def live_bar(done: str) -> Any:
    """Return a live line of rich with one task; done: how it says what is done, a format of `task`."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    bar = [BarColumn(bar_width=20)] if columns(sys.stderr) >= WIDE else []
    texts = (TextColumn("{task.description}"), *bar, TextColumn(done), TextColumn("{task.fields[left]}"))
    live = Progress(*texts, console=Console(stderr=True), transient=True)
    live.add_task("starting", total=None, left="")
    return live
