"""How far the work is: fractions of the whole, and the time that the step at hand has left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

Progress = Callable[[float, str], None]


def seconds_left(spent_seconds: float, done: float, rest: float) -> float | None:
    """Return how long the rest of some work takes at the pace so far; None at its very beginning, when nobody can tell.

    done, rest: fractions of the same whole."""
    return spent_seconds * rest / done if done >= 0.02 else None


@dataclass
class Part:
    """A progress of its own for a piece of the work between two fractions of the whole.

    How long the whole takes cannot be told, since its steps have nothing in common; the time that the step at hand has
    left follows from its own beginning.  `outer` is told of it where it has a method `tell`, as the bar of the command
    line has."""

    outer: Progress
    start: float
    stop: float
    _began: float = field(default_factory=time.monotonic)
    _from: float = 1.0  # the fraction at which it began
    _last: float = 1.0

    def __call__(self, fraction: float, text: str = "") -> None:
        now = time.monotonic()
        if fraction < self._last or fraction <= self._from:  # the first call, or that of a further step
            self._began, self._from = now, fraction
        self._last = fraction
        self.tell(fraction, text, seconds_left(now - self._began, fraction - self._from, 1 - fraction))

    def tell(self, fraction: float, text: str, seconds_left: float | None) -> None:
        """Pass on how far the piece is, and how long its step at hand still takes, None where nobody knows."""
        whole = self.start + (self.stop - self.start) * fraction
        if tell := getattr(self.outer, "tell", None):
            tell(whole, text, seconds_left)
        else:
            self.outer(whole, text)

    def expect(self, text: str, seconds: float) -> None:
        """Say of a step that is about to begin how long it takes."""
        if expect := getattr(self.outer, "expect", None):
            expect(text, seconds)
        else:
            self.outer(self.start, f"{text} takes about {seconds:,.0f} s")


def part(progress: Progress, start: float, stop: float) -> Part:
    """Return a progress of its own for a piece of the work between two fractions."""
    return Part(progress, start, stop)
