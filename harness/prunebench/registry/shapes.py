"""What a table of a TOML file may hold, in one place: read and refused by it, and described by it as JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

Kind = Literal[
    "string", "integer", "number", "boolean", "date", "strings", "numbers", "table", "tables", "named", "either"
]
REQUIRED: Any = object()

_TITLES: Mapping[Kind, str] = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "date": "a date such as 2026-01-31",
    "strings": "an array of strings",
    "numbers": "an array of numbers",
    "table": "a table",
    "tables": "an array of tables",
    "named": "a table of strings",
    "either": "one of several forms",
}


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key of a table: its kind, what it means, and which values it takes.

    default: REQUIRED where the key must be given.  choices, pattern, minimum: of the value, or of each string of
    an array; `doc` is the hint when they do not hold.  shape: of a table, or of each table of an array; without
    one anything goes.  variants: of the kind "either", whose choice is left to the reader of the table.
    """

    kind: Kind = "string"
    doc: str
    default: Any = REQUIRED
    choices: tuple[str, ...] = ()
    pattern: str = ""
    minimum: int | None = None
    shape: Shape | None = None
    variants: tuple[Key, ...] = ()

    @property
    def title(self) -> str:
        return _TITLES[self.kind]

    def problem(self, value: Any) -> str:
        """Return why `value` is not of the kind or not allowed, or an empty string."""
        if not _is(self.kind, value):
            return f"expected {self.title}, got {value!r}"
        for item in value if isinstance(value, list) else [value]:
            if self.choices and item not in self.choices:
                return f"expected one of {', '.join(self.choices)}, got {item!r}"
            if self.pattern and not re.fullmatch(self.pattern, item):
                return f"{item!r} is not of the form that is wanted"
            if self.minimum is not None and item < self.minimum:
                return f"expected at least {self.minimum}, got {item}"
        return ""


@dataclass(frozen=True)
class Shape:
    """A table: what it is, its keys, and what they ask of each other.

    alternatives: sets of keys, of which one must be there in full.  when: (key, value, other key that is then
    required).
    """

    doc: str
    keys: Mapping[str, Key]
    alternatives: tuple[tuple[str, ...], ...] = ()
    when: tuple[tuple[str, str, str], ...] = ()


def _is(kind: Kind, value: Any) -> bool:
    if kind in ("strings", "numbers", "tables"):
        item: Kind = {"strings": "string", "numbers": "number", "tables": "table"}[kind]  # type: ignore[assignment]
        return isinstance(value, list) and all(_is(item, part) for part in value)
    if kind == "named":
        return isinstance(value, dict) and all(isinstance(part, str) and part for part in value.values())
    if kind == "date":
        return isinstance(value, date) and not isinstance(value, datetime)
    if kind == "either":
        return True
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, {"string": str, "integer": int, "number": int | float, "table": dict}.get(kind, ()))


def shape_schema(shape: Shape) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a table; dates are strings there, as in every JSON form of TOML."""
    required = [name for name, key in shape.keys.items() if key.default is REQUIRED]
    schema: dict[str, Any] = {
        "description": shape.doc,
        "type": "object",
        "properties": {name: key_schema(key) for name, key in shape.keys.items()},
        "additionalProperties": False,
    }
    if required:
        schema["required"] = required
    if shape.alternatives:
        schema["anyOf"] = [{"required": list(names)} for names in shape.alternatives]
    if shape.when:
        schema["allOf"] = [
            {
                "if": {"properties": {key: {"const": value}}, "required": [key]},
                "then": {"required": [other]},
            }
            for key, value, other in shape.when
        ]
    return schema


def key_schema(key: Key) -> dict[str, Any]:
    """Return the JSON Schema of the value of a key."""
    described = {"description": key.doc}
    if key.kind == "either":
        return {**described, "oneOf": [key_schema(variant) for variant in key.variants]}
    if key.kind in ("table", "tables"):
        table = {"type": "object"} if key.shape is None else shape_schema(key.shape)
        return {**table, **described} if key.kind == "table" else {**described, "type": "array", "items": table}
    if key.kind == "named":
        return {**described, "type": "object", "additionalProperties": {"type": "string", "minLength": 1}}
    simple: dict[str, Any] = {"type": key.kind.removesuffix("s")}
    if key.kind == "date":
        simple = {"type": "string", "format": "date"}
    if key.choices:
        simple["enum"] = list(key.choices)
    if key.pattern:
        simple["pattern"] = f"^({key.pattern})$"
    if key.minimum is not None:
        simple["minimum"] = key.minimum
    return {**described, "type": "array", "items": simple} if key.kind.endswith("s") else {**described, **simple}
