"""registry.toml is found, checked as a whole, and made into its structs."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from prunebench.contexts import Arch
from prunebench.errors import Fault, SchemaTooNew, did_you_mean
from prunebench.records import complement
from prunebench.registry.model import (
    NAME,
    PRUNING_RATES,
    SCHEMA,
    DatasetEntry,
    File,
    Network,
    NetworkTable,
    Registry,
    Suite,
    SuiteTable,
    Weights,
)
from prunebench.registry.rules import RULES
from prunebench.registry.toml_lines import MAX_FAULTS, Key, Source, read_source, registry_error

_WORDS = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false", "array": "an array",
          "object": "a table", "date": "a date such as 2026-01-31", "null": "nothing"}  # fmt: skip
_NOT_IN_FILE = ("name", "source")  # of the structs: what the reader adds to a table
_RESERVED = {("suite", "board"), ("method", "agreement")}  # names of files and folders beside the records


def find_registry(given: Path | None = None) -> Path:
    """Return the file named, else ./registry.toml, else the one that ships with prunebench."""
    if given is not None:
        return given
    if (here := Path("registry.toml")).is_file():
        return here
    packaged = Path(str(resources.files("prunebench"))) / "registry.toml"
    return packaged if packaged.is_file() else packaged.parents[2] / "registry.toml"


def load_registry(given: Path | None = None) -> Registry:
    """Read and check the registry; RegistryError names the key and the line of everything that is wrong with it."""
    return make_registry(read_source(find_registry(given)))


def make_registry(source: Source) -> Registry:
    """Return the registry of a file that was read, checked in the same way."""
    raw = source.parse()
    if isinstance(schema := raw.get("schema"), int) and schema > SCHEMA:
        name = source.file.name
        raise SchemaTooNew(f"{name} has schema {schema}, this prunebench reads {SCHEMA}", "update prunebench")
    if faults := list(itertools.islice(faults_of(source, raw), MAX_FAULTS)):
        raise registry_error(faults)
    return _registry(source, raw)


def faults_of(source: Source, raw: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield everything that is wrong with a file: types, unknown and missing keys, names that have no table."""
    check = _Check(source, {kind: list(tables) for kind, tables in raw.items() if isinstance(tables, dict)})
    yield from check.table(raw, File, ())
    for kind, names in check.names.items():
        for name in names:
            if kind in File.__struct_fields__ and (not re.fullmatch(NAME, name) or (kind, name) in _RESERVED):
                hint = "name it with letters, digits, '.', '_', '+' and '-': files are named after it"
                yield source.fault((kind, name), f"{name!r} cannot be the name of a {kind}", hint)
    for name in set(check.names.get("arch", ())) & set(check.names.get("backbone", ())):
        yield source.fault(("arch", name), "is also the name of a backbone", "give the two different names")


class _Check:
    """Holds the values of a file against the types of the structs; `names` are those of its tables, by kind."""

    def __init__(self, source: Source, names: Mapping[str, list[str]]) -> None:
        self.source, self.names = source, names

    def table(self, values: Mapping[str, Any], struct: type[msgspec.Struct], key: Key) -> Iterator[Fault]:
        """Yield the faults of a table that a struct describes."""
        fields = _fields(struct)
        for name in (name for name in values if name not in fields):
            yield self.source.fault((*key, name), "unknown key", _nearest(name, fields))
        given: dict[str, Any] = {}
        for name, field in fields.items():
            if name in values:
                given[name] = values[name]
                for fault in self.value(values[name], field.type, (*key, name)):
                    given[name] = None
                    yield fault
            elif field.required:
                yield self.source.fault(key, f"{name!r} is missing", f"add {name} = ... ({_description(field.type)})")
        for below, reason, hint in RULES[struct](given) if struct in RULES else ():
            yield self.source.fault((*key, *below), reason, hint)

    def value(self, value: Any, kind: Any, key: Key) -> Iterator[Fault]:
        """Yield the faults of a value, each element of a table or an array for itself."""
        faults: list[Fault] = []
        for plain, metas in _variants(kind):
            arguments = get_args(plain)
            if isinstance(value, dict) and isinstance(plain, type) and issubclass(plain, msgspec.Struct):
                yield from self.table(value, plain, key)
                return
            if isinstance(value, dict) and get_origin(plain) is Mapping:
                for name, item in value.items() if arguments[1] is not Any else ():
                    yield from self.value(item, arguments[1], (*key, name))
                return
            if isinstance(value, list) and get_origin(plain) is tuple:
                faults += [f for place, item in enumerate(value) for f in self.value(item, arguments[0], (*key, place))]
            tables = [table for meta in metas for table in (meta.extra or {}).get("names", ())]
            known = [name for table in tables for name in self.names.get(table, ())]
            if tables and isinstance(value, str) and value not in known:
                hint = _nearest(value, known) if known else f"add a table [{tables[0]}.{value}]"
                faults.append(self.source.fault(key, f"no {' or '.join(tables)} is named {value!r}", hint))
        if not faults:
            try:
                msgspec.convert(value, kind)
            except msgspec.ValidationError as error:
                faults = [self.source.fault(key, *_refusal(str(error), value, kind))]
        yield from faults


@cache
def _fields(struct: type[msgspec.Struct]) -> Mapping[str, Any]:
    return {field.encode_name: field for field in msgspec.structs.fields(struct) if field.name not in _NOT_IN_FILE}


def _nearest(name: str, known: Iterable[str]) -> str:
    # Comparing long names takes long, and a file may come from anybody.
    return did_you_mean(name[:100], [other for other in itertools.islice(known, 1000) if len(other) <= 100])


def _variants(kind: Any) -> Iterator[tuple[Any, tuple[msgspec.Meta, ...]]]:
    """Yield the plain types of a union, each with what is annotated."""
    if get_origin(kind) is Annotated:
        for plain, metas in _variants(kind.__origin__):
            yield plain, (*metas, *kind.__metadata__)
    elif get_origin(kind) in (Union, UnionType):
        for member in get_args(kind):
            yield from _variants(member)
    else:
        yield kind, ()


def _description(kind: Any) -> str:
    found = [meta.description for _, metas in _variants(kind) for meta in reversed(metas) if meta.description]
    return found[0] if found else ""


def _refusal(error: str, value: Any, kind: Any) -> tuple[str, str]:
    """Return what was expected and what came, and a hint, from what msgspec says."""
    choices = [choice for plain, _ in _variants(kind) if get_origin(plain) is Literal for choice in get_args(plain)]
    got = f"got {value!r}" if len(repr(value)) < 80 else f"got {repr(value)[:80]}..."
    if choices and isinstance(value, str):
        return f"expected one of {', '.join(choices)}, {got}", did_you_mean(value, choices)
    expected = re.sub(r", got .*| - at .*| matching regex .*", "", error)
    expected = re.sub("`(.*?)`", lambda found: " or ".join(_WORDS[name] for name in found[1].split(" | ")), expected)
    form = " of another form" if "matching regex" in error else ""
    return f"e{expected[1:]}{form}, {got}", _description(kind)


def schema_text() -> str:
    """Return the JSON Schema of registry.toml, as docs/registry.schema.json holds it."""
    schema = msgspec.json.schema(File)
    defs = schema["$defs"]
    for table in defs.values():
        table["properties"] = {key: value for key, value in table["properties"].items() if key not in _NOT_IN_FILE}
        table["required"] = [key for key in table["required"] if key not in _NOT_IN_FILE]
    defs["NetworkTable"]["oneOf"] = [{"required": ["timm"]}, {"required": ["provider", "model"]}]
    defs["Weights"]["oneOf"] = [{"required": ["file"]}, {"required": ["train"]}]
    defs["SuiteTable"]["not"] = {"required": ["keep", "pruning_rates"]}
    defs["Listing"] |= {
        "if": {"properties": {"tier": {"const": "quarantine"}}, "required": ["tier"]},
        "then": {"properties": {"reason": {"minLength": 1}}, "required": ["reason"]},
    }
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "registry.toml of prunebench"}
    return json.dumps({**head, **schema}, indent=2, ensure_ascii=False) + "\n"


def _registry(source: Source, raw: Mapping[str, Any]) -> Registry:
    """Return the registry of a file without faults."""
    named = {
        kind: {name: {"name": name, **table} for name, table in raw.get(kind, {}).items()}
        for kind in ("dataset", "recipe", "method", "plugin")
    }
    file = msgspec.convert({**raw, **named}, File)
    return Registry(
        file=source.file,
        protocol=file.protocol,
        datasets={name: _dataset(entry) for name, entry in file.dataset.items()},
        networks={name: _network(name, table) for name, table in {**file.backbone, **file.arch}.items()},
        recipes=file.recipe,
        methods=file.method,
        suites={name: _suite(name, table) for name, table in file.suite.items()},
        plugins=file.plugin,
        text=source.text,
    )


def _dataset(entry: DatasetEntry) -> DatasetEntry:
    params = {"path": entry.folder, **entry.params} if entry.folder else entry.params
    return msgspec.structs.replace(
        entry, spec=entry.spec or ("image-folder" if entry.folder else entry.name), params=params
    )


def _network(name: str, table: NetworkTable) -> Network:
    shared: dict[str, Any] = {
        key: getattr(table, key) for key in ("image_size", "mean", "std", "interpolation", "kwargs")
    }
    arch = Arch(name=name, provider="timm" if table.timm else table.provider, model=table.timm or table.model, **shared)
    weights = Weights(table.weights) if isinstance(table.weights, str) else table.weights
    if weights.recipe:
        weights = msgspec.structs.replace(weights, source="trained")
    return Network(arch, weights, table.control)


def _suite(name: str, table: SuiteTable) -> Suite:
    common = {key: getattr(table, key) for key in SuiteTable.__struct_fields__ if key in Suite.__struct_fields__}
    unpruned = table.unpruned or ("full" if "full" in table.methods else "")
    methods = tuple(method for method in table.methods if method != unpruned)
    rates = table.pruning_rates if table.keep is None else tuple(complement(_decimal(keep)) for keep in table.keep)
    if rates is None:
        rates = PRUNING_RATES if table.training else ()
    common |= {
        "name": name,
        "methods": methods,
        "baseline": table.baseline or ("random" if "random" in methods else ""),
        "unpruned": unpruned,
        "training": tuple((pair.arch, pair.recipe) for pair in table.training),
        "pruning_rates": tuple(complement(complement(_decimal(rate))) for rate in rates),
        "proxy": table.proxy and (table.proxy.arch, table.proxy.recipe),
    }
    for axis in ("methods", "projectors", "backbones"):
        chosen = getattr(table.agreement, axis)
        common[f"agreement_{axis}"] = common[axis] if chosen is None else chosen
    return Suite(**common)


def _decimal(fraction: str | float) -> str:
    return format(Decimal(str(fraction)), "f")
