"""Reads damaged files with a parser, and says what it may raise for them."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import mutations
from prunebench.errors import PrunebenchError

SECONDS = 10  # of the processor, that one file may take


@dataclass(frozen=True)
class Parser:
    """What reads a file of a name, with valid files of the kind.  seal: see `mutations.mutated`.  prepare: puts what
    the parser needs beside the file into the folder.  forgiving: what is damaged is as if it were not there."""

    name: str
    valid: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    seal: mutations.Seal | None = None
    prepare: Callable[[Path], object] = lambda folder: None
    forgiving: bool = False


def check(parser: Parser, number: int, folder: Path) -> bool:
    """Read the damaged file of a number, and tell whether it was refused; what is not documented is raised, with the
    file in a note.  folder: prepared for the parser."""
    random = Random(f"{parser.name}/{number}")
    content = mutations.mutated(random.choice(_valid(parser)), random, parser.seal)
    path = folder / parser.name.partition(": ")[2]
    path.write_bytes(content)
    try:
        parser.read(path)
    except PrunebenchError as error:
        if not error.message or ("\n" in error.message.strip() and "faults in" not in error.message):
            raise AssertionError(f"number {number}: no sentence: {error.message!r}") from error
        return True
    except Exception as error:
        error.add_note(f"{parser.name}, number {number}: {content[:300]!r}")
        raise
    return False


@cache
def _valid(parser: Parser) -> list[bytes]:
    return parser.valid()


@contextlib.contextmanager
def prepared(parser: Parser) -> Iterator[Path]:
    """Yield a folder for the files of a parser, which has read the valid ones; warnings are errors there, and so is a
    file that takes too long."""

    def late(*_: object) -> None:
        raise TimeoutError(f"a file took longer than {SECONDS} s")

    before = signal.signal(signal.SIGPROF, late)
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("error")
            parser.prepare(Path(folder))
            for content in _valid(parser):  # which also imports what it needs, before the time counts
                path = Path(folder, parser.name.partition(": ")[2])
                path.write_bytes(content)
                parser.read(path)
            yield Path(folder)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def refused(parser: Parser, numbers: range) -> int:
    """Read the damaged files of some numbers, and return how many were refused."""
    count = 0
    with prepared(parser) as folder:
        for number in numbers:
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            count += check(parser, number, folder)
    return count
