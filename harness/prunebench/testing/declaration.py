"""Promises about what a plugin declares, and how it is loaded."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

from prunebench.errors import UsageError
from prunebench.executors.process import ChildProcess
from prunebench.plugins import GROUP, Entry, load_plugins
from prunebench.testing.cases import fingerprint, ordinary_run
from prunebench.testing.promises import ALL, COMPUTING, promise
from prunebench.testing.results import CheckFailed, DoesNotApply
from prunebench.wire import to_json

HEAVY = ("torch", "numpy", "scipy", "sklearn", "pandas", "numba", "matplotlib", "tensorflow", "jax")


@promise(ALL, stage=0)
def check_declaration_is_complete(entry: Entry[Any]) -> None:
    """The summary is one sentence, the version is known, and choices such as `cost` are among the known ones."""
    spec = entry.spec
    if "\n" in spec.summary or not spec.summary.endswith(".") or len(spec.summary) > 160:
        raise CheckFailed(f"summary {spec.summary[:60]!r}: expected one sentence of at most 160 characters and a stop")
    if entry.version == "unknown":
        raise CheckFailed(f"no version: no source is found for {spec.load!r}")
    for name, hint in get_type_hints(type(spec)).items():
        allowed = get_args(hint)
        if name in ("output", "cost", "favours", "scope") and getattr(spec, name) not in allowed:
            raise CheckFailed(f"{name} = {getattr(spec, name)!r}, expected one of {', '.join(map(repr, allowed))}")


@promise(ALL, stage=0)
def check_parameters_are_documented_and_their_defaults_allowed(entry: Entry[Any]) -> None:
    """Every parameter has a sentence, and a default that JSON can hold and its own limits allow."""
    for name, param in entry.spec.params.items():
        if not param.doc:
            raise CheckFailed(f"parameter {name!r} has no doc")
        if problem := param.problem(param.default):
            raise CheckFailed(f"parameter {name!r}: its default {param.default!r} is not allowed: {problem}")
        try:
            json.dumps([param.default, *param.choices], allow_nan=False)
        except (TypeError, ValueError) as error:
            raise CheckFailed(f"parameter {name!r} cannot be written as JSON: {error}") from error


@promise(ALL, stage=0)
def check_declaration_is_read_without_numerical_libraries(entry: Entry[Any]) -> None:
    """Importing the entry point's module imports neither torch nor numpy: `prunebench list` stays quick."""
    points = importlib.metadata.entry_points(group=GROUP, name=entry.origin.entry_point)
    modules = [point.value.partition(":")[0] for point in points]
    if not modules:
        raise DoesNotApply("it was not discovered through an entry point")
    imported = f"import sys, json, importlib; importlib.import_module({modules[0]!r})"
    answer = _asked(["-c", f"{imported}; print(json.dumps({{'heavy': sorted(set({HEAVY!r}) & set(sys.modules))}}))"])
    if answer["heavy"]:
        raise CheckFailed(f"importing {modules[0]} imports {', '.join(answer['heavy'])}: keep that in `load`")


@promise(ALL, stage=1)
def check_implementation_can_be_imported(entry: Entry[Any]) -> None:
    """`load`, and `labeller` where there is one, name a module that can be imported and what its kind needs in it."""
    named = {entry.spec.load: entry.load}
    if labeller := getattr(entry.spec, "labeller", ""):
        named[labeller] = entry.load_labeller
    for target, load in named.items():
        found = load()
        if entry.spec.kind == "backbone":
            if not callable(getattr(found, "build", None)) or not callable(getattr(found, "embed", None)):
                raise CheckFailed(f"{target} is {type(found).__name__}, expected an object with `build` and `embed`")
        elif not callable(found):
            raise CheckFailed(f"{target} is {type(found).__name__}, expected a function")


@promise("scorer", stage=0)
def check_default_selector_exists_and_takes_its_parameters(entry: Entry[Any]) -> None:
    """The selector that the method names is installed, and knows `selector_params`."""
    try:
        load_plugins().selector(entry.spec.selector).spec.resolve_params(entry.spec.selector_params)
    except UsageError as error:
        raise CheckFailed(f"selector {entry.spec.selector!r}: {error.message} ({error.hint})") from error


@promise(COMPUTING)
def check_another_process_gives_the_same_result(entry: Entry[Any]) -> None:
    """A fresh interpreter with another hash seed gives the same bytes: no set order, no state of the process."""
    request = {"entry": to_json(entry), "check": fingerprint_of_a_run.__name__}
    answer = _asked(["-m", "prunebench.testing.child"], request, {"PYTHONHASHSEED": "1"})
    if answer["status"] != "passed":
        raise CheckFailed(f"a fresh interpreter fails: {answer['reason']}")
    if answer["facts"] != fingerprint_of_a_run(entry):
        raise CheckFailed("a fresh interpreter gives another result: does the order of a set or dict decide?")


def fingerprint_of_a_run(entry: Entry[Any]) -> Mapping[str, Any]:
    """Return the digest of the result of an ordinary run: what is asked of another process."""
    return {"fingerprint": fingerprint(ordinary_run(entry))}


def _asked(arguments: list[str], request: Mapping[str, Any] | None = None, more: Mapping[str, str] = {}) -> Any:
    """Return the last message of a fresh interpreter, which gets a request or none."""
    child = ChildProcess([sys.executable, "-P", *arguments], environment={**os.environ, **more})
    try:
        answer = child.receive()
        if request is not None and answer is not None:  # the first message said that it is ready
            child.send(request)
            answer = child.receive()
        if answer is None:
            raise CheckFailed(f"a fresh interpreter {child.death}")
        return answer
    finally:
        child.close()
