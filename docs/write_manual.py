"""Writes the pages for authors of plugins from the code: hooks, errors, public names: `nox -s docs`."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import msgspec

import prunebench
import prunebench.pictures
import prunebench.toolbox
from prunebench import errors, hookspecs
from prunebench.specs import API, OLDEST_API
from write_reference import update_pages

PAGES = ("hooks.md", "errors.md", "api.md")
_WRITTEN = "Written from the code by `nox -s docs`; do not edit."
_HOOKS = """\
A plugin implements some of these {n} functions, each marked with `hookimpl`, in the module that its entry point of the
group `prunebench` names. Hooks declare and never compute: the module imports nothing heavy, prints nothing, starts
nothing, and names its implementations by `load`. Plugins of other distributions are first imported by a process of its
own; one that ends, stops or forks that process, or prints to its standard output, is left out and named.
"""
_NUMBER = """\
## The number of the plugin API

This harness speaks plugin API {spoken}. A spec says with `api` which number it is written for; one that does not say is
taken for 1. An older number works unchanged while it is in the range; a newer one is left out, with the command that
updates prunebench. A hook that the harness does not know is reported, and the rest of the plugin works.

## A plugin

```python
from prunebench import ScorerSpec, hookimpl


@hookimpl
def prunebench_scorers():
    return [
        ScorerSpec(
            name="norm",
            summary="Norm of the features.",
            load="my_package.norm:score",
            needs=frozenset({{"features"}}),
            api={api},
        )
    ]
```

What a spec holds, and what a function receives and returns: [API](api.md).
"""
_ERRORS = """\
Every error says what went wrong, where, and the next thing to do. The command line prints that and ends with the exit
code of the error; `--traceback` prints the rest. An interruption ends with 130. An indented error is a kind of the one
above it.
"""
_CODES = """\
## Exit codes of a run

| exit code | how `prunebench run` ended |
|---|---|
| 0 | everything is there (what does not apply is no failure), or `--until` has stopped it, and it says what is left |
| 1 | cells have failed, for reasons whose codes differ, or whose code is 1 |
| 2 to 5 | nothing ran because of an error of that code, or all failures have it: 3 where plugins broke promises |
| 130 | an interruption: what is done is kept |

The message names the first cause and its log; `prunebench status` shows all of them.
"""
_API = """\
The public names: what a notebook uses, and all that a plugin may import. Arrays are NumPy's, and read-only where a
function receives them; accuracies are fractions, times are seconds, sizes are bytes. Errors are on
[a page of their own](errors.md).
"""
_WIDTH = 120
_OBJECTS = {
    "hookimpl": "Marks a function as the implementation of the hook that has its name; see [hooks](hooks.md).",
    "__version__": "The version of prunebench, as text.",
}


def manual_pages() -> dict[str, str]:
    """Return file name to text of the three pages."""
    return {
        name: "\n".join(lines).rstrip() + "\n" for name, lines in zip(PAGES, (_hooks(), _errors(), _api()), strict=True)
    }


def _hooks() -> Iterator[str]:
    names = [name for name in vars(hookspecs) if name.startswith("prunebench_")]
    yield from ("# Hooks", "", _WRITTEN, "", _HOOKS.format(n=len(names)))
    yield from ("| hook | what it does | takes | gives |", "|---|---|---|---|")
    for name in names:
        hook = getattr(hookspecs, name)
        taken = ", ".join(f"`{one}`" for one in _parameters(hook)) or "nothing"
        given = str(inspect.signature(hook).return_annotation)
        yield f"| `{name}` | {inspect.getdoc(hook)} | {taken} | {_linked(given)} |"
    yield from ("", _NUMBER.format(spoken=_range(), api=API))


def _range() -> str:
    return str(API) if API == OLDEST_API else f"{OLDEST_API} to {API}"


def _linked(annotation: str) -> str:
    spec = re.fullmatch(r"Iterable\[specs\.(\w+)\]", annotation)
    return f"several [{spec[1]}](api.md#{spec[1].lower()})" if spec else "nothing"


def _errors() -> Iterator[str]:
    yield from ("# Errors", "", _WRITTEN, "", _ERRORS)
    yield from ("| error | exit code | when | what to do |", "|---|---|---|---|")
    yield from _error_rows(errors.PrunebenchError, 0)
    yield from ("", _CODES)


def _error_rows(kind: type[errors.PrunebenchError], depth: int) -> Iterator[str]:
    when, _, hint = " ".join((inspect.getdoc(kind) or "").split()).partition(" Hint: ")
    yield f"| {'&emsp;' * depth}`{kind.__name__}` | {kind.exit_code} | {_cell(when)} | {_cell(hint)} |"
    own = [one for one in vars(errors).values() if isinstance(one, type) and kind in one.__bases__]
    for one in own:
        yield from _error_rows(one, depth + 1)


def _api() -> Iterator[str]:
    yield from ("# API", "", _WRITTEN, "", _API)
    for module in (prunebench, prunebench.toolbox, prunebench.pictures):
        yield from (f"## `{module.__name__}`", "")
        yield from _module(module)
    bases = {base for name in prunebench.__all__ for base in _bases(getattr(prunebench, name))}
    for base in sorted(bases, key=_readable):
        yield from (f"## {_readable(base)}", "")
        yield from _class(base)


def _bases(value: Any) -> list[type]:
    bases: tuple[type, ...] = value.__mro__[1:] if isinstance(value, type) else ()
    return [base for base in bases if _fields(base)]


def _readable(base: type) -> str:
    return {"_Context": "Every context", "_Record": "Every record"}.get(base.__name__, "Every spec")


def _module(module: ModuleType) -> Iterator[str]:
    public = sorted(module.__all__)
    raised = [name for name in public if _is_error(getattr(module, name))]
    if raised:
        yield from ("Errors to raise or to catch: " + ", ".join(f"`{name}`" for name in raised) + ".", "")
    for name in (name for name in public if name not in raised):
        value = getattr(module, name)
        yield from (f"### {name}", "")
        if name in _OBJECTS:
            yield from (_OBJECTS[name], "")
        elif isinstance(value, type):
            yield from _class(value)
        else:
            yield from _function(name, value)


def _is_error(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, errors.PrunebenchError)


def _class(kind: type) -> Iterator[str]:
    made = vars(kind).get("__init__")
    if inspect.isfunction(made) and not _fields(kind) and not getattr(kind, "_is_protocol", False):
        yield from ("```python", *_wrapped(_signature(kind.__name__, made), made), "```", "")
    yield from (*_docstring(kind), "")
    inherited = {name for base in _bases(kind) for name in _fields(base)}
    own = {name: row for name, row in _fields(kind).items() if name not in inherited}
    if own:
        yield from ("| field | type | default |", "|---|---|---|")
        yield from (f"| `{name}` | `{_cell(annotation)}` | {default} |" for name, (annotation, default) in own.items())
        yield ""
    for base in _bases(kind):
        anchor = _readable(base).lower().replace(" ", "-")
        yield from (f"Also the fields of [{_readable(base).lower()}](#{anchor}).", "")
    for name, member in vars(kind).items():
        if not name.startswith("_") and name not in own:
            yield from _member(kind, name, member)


def _fields(kind: type) -> dict[str, tuple[str, str]]:
    """Return annotation and default of each field of a dataclass or a struct, in order."""
    if dataclasses.is_dataclass(kind):
        return {one.name: (str(one.type), _default(one)) for one in dataclasses.fields(kind)}
    if not issubclass(kind, msgspec.Struct):
        return {}
    written = {name: text for base in reversed(kind.__mro__) for name, text in inspect.get_annotations(base).items()}
    return {one.name: (str(written[one.name]), _default(one)) for one in msgspec.structs.fields(kind)}


def _default(field: Any) -> str:
    missing = (dataclasses.MISSING, msgspec.NODEFAULT)
    if field.default not in missing:
        # A function has no text that is the same in every process.
        shown = field.default.__name__ if callable(field.default) else repr(field.default)
        return f"`{_cell(shown)}`"
    factory = field.default_factory
    return "required" if factory in missing else f"`{getattr(factory, '__name__', 'made')}()`"


def _member(kind: type, name: str, member: Any) -> Iterator[str]:
    function = getattr(member, "fget", None) or getattr(member, "func", None)
    if function is not None:
        returned = inspect.signature(function).return_annotation
        documented = [getattr(base, name) for base in kind.__mro__ if getattr(getattr(base, name, None), "__doc__", "")]
        yield from (f"- `{name}: {returned}`: {' '.join(_docstring(documented[0]))}", "")
    elif declared := re.fullmatch(r"ClassVar\[_Evidence\[(.+)\]\]", inspect.get_annotations(kind).get(name, "")):
        yield from (f"- `{name}: {declared[1]}`: {' '.join(_docstring(member))}", "")
    elif inspect.isfunction(member):
        yield from (f"- `{_signature(name, member)}`: {' '.join(_docstring(member))}", "")


def _function(name: str, function: Callable[..., Any]) -> Iterator[str]:
    yield from ("```python", *_wrapped(_signature(name, function), function), "```", "", *_docstring(function), "")


def _signature(name: str, function: Callable[..., Any]) -> str:
    returned = inspect.signature(function).return_annotation
    return f"{name}({', '.join(_parameters(function))})" + (f" -> {returned}" if returned != "None" else "")


def _wrapped(signature: str, function: Callable[..., Any]) -> list[str]:
    """Return a signature as one line, or as one for each parameter where it is longer than a page."""
    if len(signature) <= _WIDTH:
        return [signature]
    name, end = signature.partition("(")[0], signature.rpartition(")")[2]
    return [f"{name}(", *(f"    {one}," for one in _parameters(function)), f"){end}"]


def _parameters(function: Callable[..., Any]) -> list[str]:
    """Return the parameters as they are written in a signature, with the star before those that go by name alone."""
    found = [one for one in inspect.signature(function).parameters.values() if one.name != "self"]
    written = [_parameter(one) for one in found]
    kinds = [one.kind for one in found]
    named = inspect.Parameter.KEYWORD_ONLY
    if named in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        written.insert(kinds.index(named), "*")
    return written


def _parameter(one: inspect.Parameter) -> str:
    stars = "*" if one.kind is one.VAR_POSITIONAL else "**" if one.kind is one.VAR_KEYWORD else ""
    # A function has no text that is the same in every process.
    default = "" if one.default is one.empty else f" = {getattr(one.default, '__name__', repr(one.default))}"
    return f"{stars}{one.name}: {one.annotation}{default}"


def _docstring(value: Any) -> list[str]:
    return (inspect.getdoc(value) or "").splitlines()


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Write nothing; fail when a page on disk is stale.")
def command(folder: Path, check: bool) -> None:
    """Write the pages for authors of plugins into FOLDER."""
    pages = manual_pages()
    update_pages(folder, pages, PAGES, check)
    click.echo(f"{len(pages)} pages in {folder}")


if __name__ == "__main__":
    command()
