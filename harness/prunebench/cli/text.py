"""Text for a terminal: lines are broken between words, also on a narrow one."""

import contextlib
import io
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

import click

from prunebench.guard import shown

WIDEST = 110  # longer lines are tiring to read
PIPE = 100  # what a table takes where nobody says how wide it may be


def columns(stream: TextIO | None = None) -> int:
    """Return how many columns there are to write in: of the terminal, or as COLUMNS says, or 100 in a pipe."""
    known = (stream or sys.stdout).isatty() or os.environ.get("COLUMNS", "").isdecimal()
    return min(shutil.get_terminal_size().columns, WIDEST) if known else PIPE


def wrapped(text: str, width: int, head: str = "", indent: str | None = None) -> str:
    """Return `text` in lines of at most `width`, unless a word is longer: `head` before the first, spaces after it.
    indent: what later lines start with; default as many spaces as the head has.  A command of uv stays on one line."""
    if "uv run " in text:  # to be copied
        return head + text
    later = " " * len(head) if indent is None else indent
    lines = textwrap.TextWrapper(width, head, later, break_long_words=False, break_on_hyphens=False).wrap(text)
    return "\n".join(lines) or head.rstrip()


def fitted(text: str, width: int) -> str:
    """Return a text whose lines are broken where they are too long, and left as they are where they fit."""
    return "\n".join(line if len(line) <= width else wrapped(line, width) for line in text.splitlines())


def definitions(rows: Iterable[tuple[str, str]], width: int, indent: int = 2) -> list[str]:
    """Return a line or more for each name with its text: beside the name, or below it where that is too narrow for all
    of them or for a word of its own."""
    rows, margin, lines = list(rows), " " * indent, []
    first = indent + 2 + min(max((len(name) for name, _ in rows), default=0), 32)
    first = first if first <= width // 2 else indent + 4
    for name, text in rows:
        at = first if max(map(len, text.split()), default=0) <= width - first else min(first, indent + 4)
        if len(name) + indent + 2 <= at:
            lines.append(wrapped(text, width, f"{margin}{name}".ljust(at)))
        else:
            lines.append(wrapped(name, width, margin, margin + "  "))
            lines += [wrapped(text, width, " " * at)] if text else []
    return lines


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return aligned lines; the first column is text and the others are numbers."""
    cells = [[str(value) for value in row] for row in (head, *rows)]
    first, *others = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join([row[0].ljust(first), *map(str.rjust, row[1:], others)]) for row in cells]


@contextlib.contextmanager
def guarded(stream: TextIO) -> Iterator[None]:
    """While inside, write what the encoding of a stream lacks as \\u2212, and what would act on a terminal as \\x1b."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    before = stream.write
    if stream.isatty() and stream is sys.stdout:
        stream.write = lambda text: before(shown(text))  # type: ignore[method-assign]
    try:
        yield
    finally:
        if stream.write is not before:
            stream.write = before  # type: ignore[method-assign]


def say(text: str) -> None:
    """Print to standard error: broken between words on a terminal, as it is in a pipe."""
    text = shown(text)
    click.echo(fitted(text, columns(sys.stderr)) if sys.stderr.isatty() else text, err=True)


class Formatter(click.HelpFormatter):
    """Pages of help whose column of names is narrow where lines are short."""

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        super().write_dl(list(rows), min(col_max, self.width // 3), col_spacing)


class Context(click.Context):
    """click's context with our pages of help."""

    formatter_class = Formatter
