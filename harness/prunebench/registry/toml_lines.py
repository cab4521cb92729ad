"""Where the keys of a TOML file stand, so that what is wrong with one can be told with its line."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from prunebench.errors import Fault, RegistryError, UsageError

Key = tuple[str | int, ...]  # names of tables and keys, and positions in arrays
Tokens = deque[tuple[str, int]]
MAX_BYTES = 1_000_000
MAX_FAULTS = 100  # that are told
_TOKEN = re.compile(
    r"\"\"\"(?:\\.|[^\\])*?\"{3,5}|'''.*?'{3,5}|\"(?:\\.|[^\"\\])*\"|'[^']*'"  # text
    r"|\n|[\[\]{}=,.]|\#[^\n]*|[^\S\n]+|[^\s\[\]{}=,.#\"']+",  # punctuation, comments, blanks, and bare words
    re.DOTALL,
)


@dataclass(frozen=True)
class Source:
    """The text of a TOML file, which knows the line, from 1, of every table, key and element of an array."""

    file: Path
    text: str

    def parse(self) -> dict[str, Any]:
        """Return the tables of the file; raises RegistryError with the line when it is not TOML."""
        try:
            return tomllib.loads(self.text)
        except (ValueError, RecursionError) as error:
            found = re.search(r"line (\d+)", str(error))
            line = int(found[1]) if found else self.text.count("\n") + 1
            fault = Fault(line, f"not valid TOML: {error}", "fix the line, or restore the file", self.file.name)
            raise registry_error([fault]) from error

    @cached_property
    def lines(self) -> Mapping[Key, int]:
        tokens, found, table = deque(_tokens(self.text)), dict[Key, int](), Key()
        while tokens:
            if tokens[0][0] == "\n":
                tokens.popleft()
            elif tokens[0][0] == "[":
                table = _header(tokens, found)
            else:
                _assignment(tokens, table, found)
        return found

    def fault(self, key: Key, reason: str, hint: str = "") -> Fault:
        """Return a fault of a key, at its line or at that of the nearest table around it."""
        near = next((key[:size] for size in range(len(key), 0, -1) if key[:size] in self.lines), ())
        return Fault(self.lines.get(near, 1), reason, hint, self.file.name, dotted(key), RegistryError)


def read_source(file: Path) -> Source:
    """Read a TOML file; raises UsageError when it cannot be read, RegistryError when it is no text or too large."""
    try:
        content = file.read_bytes()
        if len(content) <= MAX_BYTES:
            return Source(file, content.decode("utf-8").replace("\r\n", "\n"))
        fault = Fault(1, f"has {len(content):,} bytes, the limit is {MAX_BYTES:,}", "split it", file.name)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", "name another with --registry FILE") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        fault = Fault(line, f"is not UTF-8: {error.reason}", "save it as UTF-8", file.name)
    raise registry_error([fault])


def registry_error(faults: Iterable[Fault]) -> RegistryError:
    """Return one error with all faults, by line; its key and line are those of the first."""
    found = sorted(faults, key=lambda fault: fault.line)
    first = found[0]
    message, hint = str(first), first.hint
    if len(found) > 1:
        rows = [f"{fault} ({fault.hint})" if fault.hint else str(fault) for fault in found]
        message = "\n  ".join([f"{len(found)} faults in {first.file}", *rows])
        hint = "correct each of these lines; `prunebench registry schema` describes every key"
    return RegistryError(message, hint, key=first.key, line=first.line, faults=tuple(found))


def dotted(key: Key) -> str:
    """Return a key as TOML writes it, with the position in an array of tables: suite.tiny.training[0].arch."""
    if key and isinstance(key[-1], int):
        key = key[:-1]  # of a list of names: the message quotes the one that is meant
    names = (part if isinstance(part, int) or re.fullmatch(r"[\w-]+", part) else f'"{part}"' for part in key)
    return "".join(f"[{name}]" if isinstance(name, int) else f".{name}" for name in names).removeprefix(".")


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    line = 1
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == "\n" or not (token.isspace() or token.startswith("#")):
            yield token, line
        line += token.count("\n")


def _header(tokens: Tokens, found: dict[Key, int]) -> Key:
    _, line = tokens.popleft()
    is_array, key = tokens[0][0] == "[", Key()
    for name in _names(tokens, "]"):
        count = _length(found, key)  # of an array of tables: what follows is in the last one
        key = (*key, count - 1, name) if count else (*key, name)
        found.setdefault(key, line)
    if is_array:
        tokens.popleft()
        key = (*key, _length(found, key))
    found[key] = line
    return key


def _length(found: dict[Key, int], key: Key) -> int:
    return next(place for place in itertools.count() if (*key, place) not in found)


def _assignment(tokens: Tokens, table: Key, found: dict[Key, int]) -> None:
    line = tokens[0][1]
    for name in _names(tokens, "="):
        table = (*table, name)
        found.setdefault(table, line)
    _value(tokens, table, found)


def _names(tokens: Tokens, end: str) -> Iterator[str]:
    while (token := tokens.popleft()[0]) != end:
        if token not in "[.":
            yield token.strip("\"'")


def _value(tokens: Tokens, key: Key, found: dict[Key, int]) -> None:
    opened, _ = tokens.popleft()
    if opened not in ("[", "{"):
        while tokens and tokens[0][0] not in ("\n", ",", "]", "}"):
            tokens.popleft()  # numbers and dates are several tokens
        return
    while True:
        while tokens[0][0] in ("\n", ","):
            tokens.popleft()
        if tokens[0][0] in ("]", "}"):
            tokens.popleft()
            return
        if opened == "{":
            _assignment(tokens, key, found)
        else:
            place = _length(found, key)
            found[*key, place] = tokens[0][1]
            _value(tokens, (*key, place), found)
