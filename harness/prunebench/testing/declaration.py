"""Promises about what a plugin declares."""

from __future__ import annotations

import json
from typing import Any, get_args, get_type_hints

from prunebench.errors import UsageError
from prunebench.plugins import Entry, load_plugins
from prunebench.testing.results import CheckFailed, DoesNotApply


def check_declaration_is_complete(entry: Entry[Any]) -> None:
    """The summary is one sentence, the version is known, and choices such as `cost` are among the known ones."""
    spec = entry.spec
    if "\n" in spec.summary or not spec.summary.endswith(".") or len(spec.summary) > 160:
        raise CheckFailed(f"summary {spec.summary[:60]!r}: expected one sentence of at most 160 characters and a stop")
    if entry.version == "unknown":
        raise CheckFailed(f"no version: no source is found for {spec.load!r}")
    for name, hint in get_type_hints(type(spec)).items():
        allowed = get_args(hint)
        if name in ("output", "cost", "gpu", "favours") and getattr(spec, name) not in allowed:
            raise CheckFailed(f"{name} = {getattr(spec, name)!r}, expected one of {', '.join(map(repr, allowed))}")


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


def check_default_selector_exists_and_takes_its_parameters(entry: Entry[Any]) -> None:
    """The selector that the method names is installed, and knows `selector_params`."""
    try:
        load_plugins().selector(entry.spec.selector).spec.resolve_params(entry.spec.selector_params)
    except UsageError as error:
        raise CheckFailed(f"selector {entry.spec.selector!r}: {error.message} ({error.hint})") from error


def check_number_of_classes_is_as_declared(entry: Entry[Any]) -> None:
    """The data set has as many classes as its declaration says, where it says so."""
    from prunebench.testing.trial import run

    if not entry.spec.n_classes:
        raise DoesNotApply("n_classes is not declared")
    if (found := run(entry).n_classes) != entry.spec.n_classes:
        raise CheckFailed(f"{found} classes, declared are {entry.spec.n_classes}")
