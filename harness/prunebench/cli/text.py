"""Text for a terminal: lines are broken between words, also on a narrow one."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TextIO

import click

WIDEST = 110  # longer lines are tiring to read
PIPE = 100  # what a table takes where nobody says how wide it may be


def columns(stream: TextIO | None = None) -> int:
    """Return how many columns there are to write in: of the terminal, or as COLUMNS says, or 100 in a pipe."""
    known = (stream or sys.stdout).isatty() or os.environ.get("COLUMNS", "").isdecimal()
    return min(shutil.get_terminal_size().columns, WIDEST) if known else PIPE


def wrapped(text: str, width: int, head: str = "", indent: str | None = None) -> str:
    """Return `text` in lines of at most `width`, unless a word is longer: `head` before the first, spaces after it.

    indent: what later lines start with; default as many spaces as the head has.
    """
    later = " " * len(head) if indent is None else indent
    lines = textwrap.wrap(
        text, width, initial_indent=head, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines) or head.rstrip()


def definitions(rows: Iterable[tuple[str, str]], width: int, indent: int = 2) -> list[str]:
    """Return a line or more for each name with its text: beside the name, or below it where that is too narrow."""
    rows, margin = list(rows), " " * indent
    first = indent + 2 + min(max((len(name) for name, _ in rows), default=0), 32)
    beside, lines = first <= width // 2, []
    for name, text in rows:
        if beside and len(name) + indent + 2 <= first:
            lines.append(wrapped(text, width, f"{margin}{name}".ljust(first)))
        else:
            later = " " * (first if beside else indent + 4)
            lines += [wrapped(name, width, margin, margin + "  "), *([wrapped(text, width, later)] if text else [])]
    return lines


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return aligned lines; the first column is text and the others are numbers."""
    cells = [[str(value) for value in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(v.rjust(w) for v, w in zip(row[1:], widths[1:], strict=True))])
        for row in cells
    ]


def say(text: str) -> None:
    """Print to standard error: broken between words on a terminal, as it is in a pipe."""
    if sys.stderr.isatty():
        width = columns(sys.stderr)
        text = "\n".join(line if len(line) <= width else wrapped(line, width) for line in text.splitlines())
    click.echo(text, err=True)


def report(message: str, hint: str) -> None:
    """Print an error: what is wrong, and the next thing to do."""
    say(f"error: {message}")
    if hint:
        say(f"hint: {hint}")


class Formatter(click.HelpFormatter):
    """click's pages of help, whose words it would break where lines are short."""

    def __init__(self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None) -> None:
        super().__init__(indent_increment, width or columns(), max_width)

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the line that shows how a command is called."""
        self.write(wrapped(args, self.width, f"{'Usage: ' if prefix is None else prefix}{prog} ", " " * 6) + "\n")

    def write_text(self, text: str) -> None:
        """Write paragraphs."""
        margin = " " * self.current_indent
        self.write("\n\n".join(wrapped(part, self.width, margin) for part in text.split("\n\n")) + "\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 32, col_spacing: int = 2) -> None:
        """Write options or commands, each with what it does."""
        self.write("\n".join(definitions(rows, self.width, self.current_indent)) + "\n")


class Context(click.Context):
    """click's context with our pages of help."""

    formatter_class = Formatter


def dressed(command: click.Command) -> click.Command:
    """Return a command whose pages of help, and those of its own commands, are written by our formatter."""
    command.context_class = Context
    if isinstance(command, click.Group):
        command.no_args_is_help = False  # a usage error like any other
    for other in getattr(command, "commands", {}).values():
        dressed(other)
    return command
