"""Where the keys of a TOML file stand, so that what is wrong with one can be told with its line."""

import re
import tomllib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from prunebench.errors import DataError, Fault, RegistryError, UsageError
from prunebench.guard import bounded_toml, plain_file
from prunebench.registry.fields import Key

MAX_BYTES, MAX_FAULTS = 1_000_000, 100  # of a file that is read, and that are told
_LINE = f"line-{uuid.uuid4().hex}"  # a key that is in no file
_TEXT = r""" "(?:\\.|[^"\\\n])*" | '[^'\n]*' """
_NAME = rf"(?:{_TEXT}|[\w-]+)"
_HEADER = re.compile(r"^[ \t]*\[[^\n]*", re.MULTILINE)
_TOKEN = re.compile(
    rf"""(?P<key>{_NAME} (?:[ \t]*\.[ \t]*{_NAME})* [ \t]*=)
    | (?P<value>\"\"\"(?:\\.|[^\\])*?\"{{3,5}} | '''.*?'{{3,5}} | {_TEXT}
        | [^\s\[\]{{}},=\#"']+ (?:[ ]\d[^\s\[\]{{}},=\#"']*)?)  # a date and its time may have a blank between them
    | \[ | {{(?:\s*}})? | \#[^\n]* | [^\S\n]+ | .""",
    re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True)
class Source:
    """The text of a TOML file, which knows the line, from 1, of every table, key and element of an array."""

    file: Path
    text: str

    def parse(self) -> dict[str, Any]:
        """Return the tables of the file; raises RegistryError with the line when it is not TOML."""
        try:
            return tomllib.loads(bounded_toml(self.text))
        except (ValueError, RecursionError) as error:
            found = re.search(r"line (\d+)", str(error))
            line = int(found[1]) if found else self.text.count("\n") + 1
            fault = Fault(line, f"not valid TOML: {error}", "fix the line, or restore the file", self.file.name)
            raise registry_error([fault]) from error

    @cached_property
    def lines(self) -> Mapping[Key, int]:
        found: dict[Key, int] = {}
        _collect(Source(self.file, _with_lines(self.text)).parse(), (), found)
        return found

    def fault(self, key: Key, reason: str, hint: str = "") -> Fault:
        """Return a fault of a key, at its line or at that of the nearest table around it."""
        near = next((key[:size] for size in range(len(key), 0, -1) if key[:size] in self.lines), None)
        return Fault(self.lines[near] if near else 1, reason, hint, self.file.name, dotted(key), RegistryError)


def read_source(file: Path) -> Source:
    """Read a TOML file; raises UsageError when it cannot be read, RegistryError when it is no text or too large."""
    try:
        with plain_file(file) as opened:
            content = opened.read(MAX_BYTES + 1)
        if len(content) <= MAX_BYTES:
            return Source(file, content.decode("utf-8").replace("\r\n", "\n"))
        fault = Fault(1, f"has more bytes than the limit of {MAX_BYTES:,}", "split it", file.name)
    except DataError as error:
        raise UsageError(error.message, "name another with --registry FILE") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        fault = Fault(line, f"is not UTF-8: {error.reason}", "save it as UTF-8", file.name)
    raise registry_error([fault])


def registry_error(faults: Iterable[Fault]) -> RegistryError:
    """Return one error with all faults, by line; its key and line are those of the first."""
    found = sorted(faults, key=lambda fault: fault.line)
    message, hint = str(found[0]), found[0].hint
    if len(found) > 1:
        rows = [f"{fault} ({fault.hint})" if fault.hint else str(fault) for fault in found]
        message = "\n  ".join([f"{len(found)} faults in {found[0].file}", *rows])
        hint = "correct each of these lines; `prunebench registry schema` describes every key"
    return RegistryError(message, hint, tuple(found))


def dotted(key: Key) -> str:
    """Return a key as TOML writes it, with the position in an array of tables: suite.tiny.training[0].arch."""
    if key and isinstance(key[-1], int):
        key = key[:-1]  # of a list of names: the message quotes the one that is meant
    names = (part if isinstance(part, int) or re.fullmatch(r"[\w-]+", part) else f'"{part}"' for part in key)
    return "".join(f"[{name}]" if isinstance(name, int) else f".{name}" for name in names).removeprefix(".")


def _with_lines(text: str) -> str:
    """Return TOML with the line of each value in its place, and that of each table and array as its first element."""
    written, position, line, depth = list[str](), 0, 1, 0
    while found := (not depth and _HEADER.match(text, position)) or _TOKEN.match(text, position):
        token, position = found[0], found.end()
        if found.re is _HEADER:
            written.append(f"{token}\n{_LINE} = {line}")
        elif found["value"]:
            written.append(str(line))
        elif token[0] == "{":
            written.append(f"{{{_LINE} = {line}" + (", " if token == "{" else "}"))
        else:
            written.append(f"[{line}, " if token == "[" else token)
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token, 0)
        line += token.count("\n")
    return "".join(written)


def _collect(marked: Any, key: Key, found: dict[Key, int]) -> int:
    """Add the lines of all that is inside, and return its own line: where it opens, else that of what is inside."""
    line, items = marked if isinstance(marked, int) else 0, list[tuple[str | int, Any]]()
    if isinstance(marked, dict):
        line, items = marked.pop(_LINE, 0), list(marked.items())
    elif isinstance(marked, list):
        line = marked.pop(0) if isinstance(marked[0], int) else 0  # an array of tables has none
        items = list(enumerate(marked))
    inside = [_collect(item, (*key, name), found) for name, item in items]
    found[key] = line or min(inside, default=1)
    return found[key]
