"""registry.toml is found, checked as a whole, and made into its structs."""

import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec.structs import asdict, replace

from prunebench.contexts import Arch
from prunebench.errors import SchemaTooNew, did_you_mean
from prunebench.records import complement
from prunebench.registry import model, networks
from prunebench.registry.fields import Broken, Key, Table, with_noise
from prunebench.registry.toml_lines import MAX_FAULTS, Source, read_source, registry_error

_WORDS = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false", "array": "an array",
          "object": "a table", "date": "a date such as 2026-01-31", "null": "nothing",
          "Expected": "expected"}  # fmt: skip
_NOT_IN_FILE = ("name", "source")  # of the structs: what the reader adds to a table
Names = Mapping[str, list[str]]
Faults = Iterator[Broken]
ByRate = TypeVar("ByRate", model.Method, model.Recipe)


def find_registry(given: Path | None = None) -> Path:
    """Return the file named, else ./registry.toml, else the one that ships with prunebench."""
    here = Path("registry.toml")
    return given or (here if os.path.lexists(here) else _shipped())  # a folder or a broken link is refused by name


def _shipped() -> Path:
    packaged = Path(str(resources.files("prunebench"))) / "registry.toml"
    return packaged if packaged.exists() else packaged.parents[2] / "registry.toml"


def load_registry(given: Path | None = None) -> model.Registry:
    """Read and check the registry; RegistryError names the key and the line of everything that is wrong with it."""
    return make_registry(read_source(find_registry(given)))


def registry_for_own_data() -> model.Registry:
    """Return the registry of the working folder; what its [own-data] does not say is as in the one that ships."""
    here, shipped = load_registry(), make_registry(read_source(_shipped()))
    said = {name: value for name, value in asdict(here.own_data).items() if value}
    usual = shipped.own_data.backbone
    networks = {usual: shipped.networks[usual], **here.networks}
    return replace(here, own_data=replace(shipped.own_data, **said), networks=networks)


def make_registry(source: Source) -> model.Registry:
    """Return the registry of a file that was read, checked in the same way."""
    raw, name = source.parse(), source.file.name
    if isinstance(schema := raw.get("schema"), int) and schema > model.SCHEMA:
        raise SchemaTooNew(f"{name} has schema {schema}, this prunebench reads {model.SCHEMA}", "update prunebench")
    names = {kind: list(tables) for kind, tables in raw.items() if isinstance(tables, dict) and kind != "own-data"}
    same = sorted({*names.get("arch", ())} & {*names.get("backbone", ())})
    twice = [(("arch", name), "is also the name of a backbone", "give the two different names") for name in same]
    broken = itertools.chain(twice, _of_table(raw, model.File, (), names))
    if faults := [source.fault(*found) for found in itertools.islice(broken, MAX_FAULTS)]:
        raise registry_error(faults)
    named = {kind: {name: {"name": name, **table} for name, table in raw[kind].items()} for kind in names}
    file = msgspec.convert({**raw, **named}, model.File)
    filled = {
        "datasets": {name: _dataset(entry) for name, entry in file.datasets.items()},
        "methods": {name: _by_rate(method) for name, method in file.methods.items()},
        "recipes": {name: _by_rate(recipe) for name, recipe in file.recipes.items()},
        "networks": {name: _network(table) for name, table in {**file.backbones, **file.archs}.items()},
        "suites": {name: _suite(suite, raw["suite"][name]) for name, suite in file.suites.items()},
    }
    return model.Registry(**asdict(file) | filled, file=source.file, text=source.text)


def _of_table(values: Mapping[str, Any], struct: type[Table], key: Key, names: Names) -> Faults:
    """Yield the faults of a table that a struct describes; `names` are those of the file's tables, by kind."""
    fields, given = _fields(struct), dict[str, Any]()
    for name in (name for name in values if name not in fields):
        yield (*key, name), "unknown key", _nearest(name, fields)
    for name, field in fields.items():
        if name in values:
            given[name] = values[name]
            for fault in _of_value(values[name], field.type, (*key, name), names):
                given[name] = None
                yield fault
        elif field.required:
            yield key, f"{name!r} is missing", f"add {name} = ... ({_description(field.type)})"
    written = [keys for keys in struct.ONE_OF if given.keys() & {*keys}]
    choices = ", or ".join(" and ".join(keys) for keys in struct.ONE_OF)
    if len(written) > 1:
        twice = min(given.keys() & {*written[1]})
        yield (*key, twice), f"expected {choices}, got keys from both", "remove one of the two"
    elif struct.ONE_OF and not (written and given.keys() >= {*written[0]}):
        yield key, f"expected {choices}", f"add {struct.ONE_OF[0][0]} = ..."
    yield from (((*key, *below), reason, hint) for below, reason, hint in struct.broken(given))


def _of_value(value: Any, kind: Any, key: Key, names: Names) -> Faults:
    """Yield the faults of a value, each element of a table or an array for itself."""
    faults: list[Broken] = []
    for plain, metas in _variants(kind):
        origin, of = get_origin(plain), get_args(plain)
        if isinstance(value, dict) and isinstance(plain, type) and issubclass(plain, Table):
            yield from _of_table(value, plain, key, names)
            return
        if isinstance(value, dict) and origin is Mapping:
            for name, item in value.items():
                yield from _of_value(name, of[0], (*key, name), names)
                yield from _of_value(item, of[1], (*key, name), names)
            return
        if isinstance(value, list) and origin is tuple:
            faults += [f for place, item in enumerate(value) for f in _of_value(item, of[0], (*key, place), names)]
        tables = [table for meta in metas for table in (meta.extra or {}).get("names", ())]
        known = [name for table in tables for name in names.get(table, ())]
        if tables and isinstance(value, str) and value not in known:
            hint = _nearest(value, known) if known else f"add a table [{tables[0]}.{value}]"
            faults.append((key, f"no {' or '.join(tables)} is named {value!r}", hint))
    if not faults:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            faults = [(key, *_refusal(str(error), value, kind))]
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
        yield from ((plain, (*metas, *kind.__metadata__)) for plain, metas in _variants(kind.__origin__))
    elif get_origin(kind) in (Union, UnionType):
        yield from itertools.chain.from_iterable(map(_variants, get_args(kind)))
    else:
        yield kind, ()


def _description(kind: Any) -> str:
    return next((meta.description for _, metas in _variants(kind) for meta in reversed(metas) if meta.description), "")


def _refusal(error: str, value: Any, kind: Any) -> tuple[str, str]:
    """Return what was expected and what came, and a hint, from what msgspec says."""
    choices = [choice for plain, _ in _variants(kind) if get_origin(plain) is Literal for choice in get_args(plain)]
    got = f"got {value!r}" if len(repr(value)) < 80 else f"got {repr(value)[:80]}..."
    if choices and isinstance(value, str):
        return f"expected one of {', '.join(choices)}, {got}", did_you_mean(value, choices)
    expected, *_ = re.split(", got | - at | matching regex ", error)
    expected = re.sub(r"\w+", lambda word: _WORDS.get(word[0], word[0]), expected).replace(" | ", " or ")
    form = " of another form" if "matching regex" in error else ""
    return f"{expected.replace('`', '')}{form}, {got}", _description(kind)


def schema_text() -> str:
    """Return the JSON Schema of registry.toml, as docs/registry.schema.json holds it."""
    schema = msgspec.json.schema(model.File)
    for name, table in schema["$defs"].items():
        table["properties"] = {key: value for key, value in table["properties"].items() if key not in _NOT_IN_FILE}
        table["required"] = [key for key in table["required"] if key not in _NOT_IN_FILE]
        if groups := {**vars(networks), **vars(model)}[name].ONE_OF:
            table["oneOf"] = [{"required": keys} for keys in groups]
    schema["$defs"]["Suite"]["not"] = {"required": ["keep", "pruning_rates"]}
    quarantine = {"properties": {"tier": {"const": "quarantine"}}, "required": ["tier"]}
    reason = {"properties": {"reason": {"minLength": 1}}, "required": ["reason"]}
    schema["$defs"]["Listing"] |= {"if": quarantine, "then": reason}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "registry.toml of prunebench"}
    return json.dumps({**head, **schema}, indent=2, ensure_ascii=False) + "\n"


def _network(table: networks.NetworkTable) -> networks.Network:
    keys = ("name", "image_size", "mean", "std", "interpolation", "dtype", "kwargs")
    shared = {key: getattr(table, key) for key in keys}
    arch = Arch(provider="timm" if table.timm else table.provider, model=table.timm or table.model, **shared)
    weights = networks.Weights(table.weights) if isinstance(table.weights, str) else table.weights
    weights = replace(weights, source="trained") if weights.recipe else weights
    return networks.Network(arch, weights, table.control, table.head)


def _by_rate(table: ByRate) -> ByRate:
    """Return a table whose rates are without trailing zeros, as the budgets of a suite are."""
    return replace(table, at={complement(complement(rate)): own for rate, own in table.at.items()})


def _dataset(entry: model.DatasetEntry) -> model.DatasetEntry:
    params = {"path": entry.folder, **entry.params} if entry.folder else entry.params
    return replace(entry, spec=entry.spec or ("image-folder" if entry.folder else entry.name), params=params)


def _suite(suite: model.Suite, written: Mapping[str, Any]) -> model.Suite:
    unpruned = suite.unpruned or ("full" if "full" in suite.methods else "")
    methods = tuple(method for method in suite.methods if method != unpruned)
    needs_budgets = bool(suite.training) or "overlap" in suite.agreement.measures
    default = model.PRUNING_RATES if needs_budgets and "pruning_rates" not in written else ()
    keep = suite.keep or [complement(str(rate)) for rate in suite.pruning_rates or default]
    axes = {"methods": methods, "projectors": suite.projectors, "backbones": suite.backbones}
    compared = model.Agreement(**axes | {axis: getattr(suite.agreement, axis) for axis in written.get("agreement", {})})

    def under_noise(backbones: tuple[str, ...]) -> tuple[str, ...]:
        return (*backbones, *(with_noise(name, level) for level in suite.noise for name in backbones))

    return replace(
        suite, methods=methods, unpruned=unpruned, baseline=suite.baseline or ("random" if "random" in methods else ""),
        keep=(), pruning_rates=tuple(complement(str(fraction)) for fraction in keep),
        backbones=under_noise(suite.backbones),
        agreement=replace(compared, backbones=under_noise(compared.backbones)),
    )  # fmt: skip
