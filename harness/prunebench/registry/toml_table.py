"""Typed reading of TOML tables; every complaint names the dotted key and its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from prunebench.errors import RegistryError, UsageError, did_you_mean
from prunebench.registry.shapes import REQUIRED, Key, Shape


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

    def read(self, shape: Shape) -> dict[str, Any]:
        """Return the value of every key of the shape, its default where it is absent.

        Raises RegistryError for a key that the shape does not know, that is missing, or whose value it refuses.
        """
        self.only(shape.keys)
        found = {name: self.value(name, key) for name, key in shape.keys.items()}
        if shape.alternatives and not any(self.values.keys() >= set(names) for names in shape.alternatives):
            self.fail("", "expected " + ", or ".join(" and ".join(names) for names in shape.alternatives))
        for name, value, other in shape.when:
            if self.values.get(name) == value and other not in self.values:
                self.fail(name, f"{value!r} asks for {other!r}", f"add {other} = ...: {shape.keys[other].doc}")
        return found

    def value(self, name: str, key: Key) -> Any:
        """Return the value of one key, tables inside it read by their shapes."""
        if name not in self.values:
            if key.default is REQUIRED:
                self.fail("", f"{name!r} is missing", f"add {name} = ... ({key.title})")
            if key.shape is None or key.default is None:
                return key.default
        value = self.values.get(name, key.default)
        if problem := key.problem(value):
            self.fail(name, problem, key.doc)
        if key.shape is None:
            return float(value) if key.kind == "number" else value
        if key.kind == "table":
            return self.child(name).read(key.shape)
        rows = [Table(row, f"{self.dotted(name)}[{i}]", self.file, self.text) for i, row in enumerate(value)]
        return [row.read(key.shape) for row in rows]

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
    return parse_toml(file, text)


def parse_toml(file: Path, text: str) -> Table:
    """Return the text of a TOML file as a table; raises RegistryError with the line when it is not TOML."""
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
