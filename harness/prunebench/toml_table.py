"""Typed reading of TOML tables; every complaint names the dotted key and its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from prunebench.errors import RegistryError, UsageError, did_you_mean

T = TypeVar("T")
_TYPE_NAMES = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    dict: "a table",
    list: "an array",
    float: "a number",
}


@dataclass(frozen=True)
class Table:
    """One table of a TOML file, with its dotted key and the text to find lines in."""

    values: Mapping[str, Any]
    key: str
    file: Path
    text: str

    def child(self, name: str) -> Table:
        """Return the sub-table `name`, empty when it is absent."""
        value = self.values.get(name, {})
        if not isinstance(value, dict):
            self.fail(name, f"expected a table, got {value!r}")
        return Table(value, self.dotted(name), self.file, self.text)

    def children(self, name: str) -> list[Table]:
        """Return the tables in the array `name`, empty when it is absent."""
        rows = self.get(name, list, [])
        for row in rows:
            if not isinstance(row, dict):
                self.fail(name, f"expected an array of tables, got {row!r}")
        return [Table(row, f"{self.dotted(name)}[{i}]", self.file, self.text) for i, row in enumerate(rows)]

    def get(self, name: str, kind: type[T], default: T | None = None) -> T:
        """Return the value of `name` as `kind`; raises RegistryError when absent without default or mistyped."""
        if name not in self.values:
            if default is None:
                self.fail("", f"{name!r} is missing", f"add {name} = ... ({_TYPE_NAMES[kind]})")
            return default
        value = self.values[name]
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.fail(name, f"expected {_TYPE_NAMES[kind]}, got {value!r}")
        return value

    def strings(self, name: str, default: Iterable[str] | None = None) -> tuple[str, ...]:
        """Return an array of strings."""
        values = self.get(name, list, None if default is None else list(default))
        for value in values:
            if not isinstance(value, str):
                self.fail(name, f"expected an array of strings, got {value!r} in it")
        return tuple(values)

    def numbers(self, name: str) -> tuple[float, ...]:
        """Return an array of numbers, empty when it is absent."""
        values = self.get(name, list, [])
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int | float):
                self.fail(name, f"expected an array of numbers, got {value!r} in it")
        return tuple(float(value) for value in values)

    def only(self, known: Iterable[str]) -> None:
        """Raise RegistryError for the first key that is not known."""
        for name in self.values:
            if name not in set(known):
                self.fail(name, "unknown key", did_you_mean(name, known))

    def dotted(self, name: str) -> str:
        """Return the dotted key of `name` in this table."""
        return ".".join(part for part in (self.key, name) if part)

    def fail(self, name: str, problem: str, hint: str = "") -> NoReturn:
        """Raise a RegistryError about `name` in this table."""
        key = self.dotted(name)
        line = line_of(self.text, key)
        raise RegistryError(f"{self.file.name}, line {line}: {key}: {problem}", hint, key=key, line=line)


def read_toml(file: Path) -> Table:
    """Read a TOML file; raises UsageError when it is missing, RegistryError with the line when it is not TOML."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", "name another with --registry FILE") from error
    try:
        return Table(tomllib.loads(text), "", file, text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        line = int(found[1]) if found else 0
        raise RegistryError(
            f"{file.name}, line {line}: not valid TOML: {error}", "fix the line, or restore the file", line=line
        ) from error


def line_of(text: str, dotted: str) -> int:
    """Return the 1-based line where a dotted key is written, as near as its tables are found, else 0."""
    parts = re.sub(r"\[\d+\]", "", dotted).split(".")
    lines = text.splitlines()
    for size in range(len(parts), 0, -1):
        header = re.compile(r"\s*\[+\s*" + r"\s*\.\s*".join(_name(part) for part in parts[:size]) + r"\s*\]")
        begin = next((number for number, line in enumerate(lines) if header.match(line)), None)
        if begin is None and size > 0:
            continue
        rest = parts[size:]
        return _within(lines, begin or 0, rest) if rest else (begin or 0) + 1
    if (found := _within(lines, -1, parts, fallback=0)) == 0:
        header = re.compile(r"\s*\[+\s*" + r"\s*\.\s*".join(map(_name, parts)) + r"\s*\.")
        found = next((number + 1 for number, line in enumerate(lines) if header.match(line)), 0)
    return found


def _within(lines: list[str], begin: int, rest: list[str], fallback: int | None = None) -> int:
    assign = re.compile(r"\s*" + _name(rest[0]) + r"\s*[.=]")
    for number in range(begin + 1, len(lines)):
        if lines[number].lstrip().startswith("["):
            break
        if assign.match(lines[number]):
            return number + 1
    # Inside an inline table or array the key stands somewhere behind another one on a line of this table.
    for number in range(begin + 1, len(lines)):
        if re.match(r"\s*\[[^\[]", lines[number]):
            break
        if re.search(r"(?<![\w-])" + _name(rest[-1]) + r"\s*=", lines[number]):
            return number + 1
    return begin + 1 if fallback is None else fallback


def _name(part: str) -> str:
    return rf'"?{re.escape(part)}"?'
