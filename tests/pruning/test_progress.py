"""Progress of work in steps: fractions of the whole, and the time that the step at hand has left."""

from __future__ import annotations

import contextlib
import signal
from typing import Any

import pytest

from prunebench.cli import bar
from prunebench.cli.bar import Bar
from prunebench.pruning import progress
from prunebench.pruning.progress import part


class Clock:
    """Time that passes when it is told to."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


class Told(list[Any]):
    """A bar that remembers what it is told."""

    def tell(self, fraction: float, text: str, seconds_left: float | None) -> None:
        self.append((round(fraction, 6), text, seconds_left))

    def expect(self, text: str, seconds: float) -> None:
        self.append((text, seconds))

    def __call__(self, fraction: float, text: str = "") -> None:
        raise AssertionError("a bar that can be told of the step is told of it")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (progress, bar):
        monkeypatch.setattr(module, "time", made)
    return made


def test_the_time_left_is_that_of_the_innermost_step_whatever_the_steps_before_it_took(clock: Clock) -> None:
    told = Told()
    outer = part(told, 0.0, 0.5)
    clock.now += 1000
    step = part(outer, 0.5, 1.0)
    step(0.0, "a")
    clock.now += 10
    step(0.01, "a")
    step(0.25, "a")
    clock.now += 10
    step(0.5, "a")
    assert told == [(0.25, "a", None), (0.2525, "a", None), (0.3125, "a", 30.0), (0.375, "a", 20.0)]
    told.clear()
    step(0.0, "b")  # a further step of the same piece
    clock.now += 3
    step(0.75, "b")
    assert told[-1] == (0.4375, "b", 1.0)
    step.expect("c", 90.0)
    assert told[-1] == ("c", 90.0)


def test_any_function_may_be_told_of_progress(clock: Clock) -> None:
    said: list[tuple[float, str]] = []
    step = part(part(lambda fraction, text: said.append((fraction, text)), 0.5, 1.0), 0.0, 0.5)
    step(1.0, "done")
    step.expect("scoring", 1200.4)
    assert said == [(0.75, "done"), (0.5, "scoring takes about 1,200 s")]


def test_lines_say_how_long_the_step_takes_and_what_is_expected_is_said_at_once(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Bar() as shown:
        step = part(shown, 0.0, 1.0)
        step(0.0, "scoring")
        step.expect("scoring", 1.0)  # too short to be worth a word
        step.expect("scoring", 180.0)
        clock.now += 30
        step(0.25, "scoring")
        step(0.26, "scoring")  # within ten seconds of the last line
    assert capsys.readouterr().err.splitlines() == ["scoring takes about 3 min", "25% scoring, about 90 s left"]
    with Bar(quiet=True) as shown:
        part(shown, 0.0, 1.0).expect("scoring", 180.0)
        shown.tell(0.5, "scoring", 4.0)
    assert capsys.readouterr().err == ""


def test_an_interruption_that_a_library_swallows_ends_the_work_at_its_next_step(capsys):
    before = signal.getsignal(signal.SIGINT)
    steps = []

    def work() -> None:
        with Bar() as shown:
            with contextlib.suppress(KeyboardInterrupt):  # as a bare `except:` somewhere below does
                signal.raise_signal(signal.SIGINT)
            steps.append("went on")
            shown(0.5, "half")
            steps.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == ["went on"]
    assert "run the same command again" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interruption_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as of a command that a shell started in the background
    try:
        with Bar() as shown:
            signal.raise_signal(signal.SIGINT)
            shown(0.5, "half")
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
