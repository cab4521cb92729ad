"""prunebench new."""

import importlib.util
import os
import re
from pathlib import Path

import click

from prunebench import __version__
from prunebench.cli.options import loaded
from prunebench.cli.text import say
from prunebench.errors import UsageError
from prunebench.templates import distribution_name, module_name, render, starter
from prunebench.wire import CHECKED


@click.command()
@click.argument("kind", type=click.Choice(list(CHECKED)), metavar="KIND")
@click.argument("name")
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", default=Path(),
              help="Folder to make the plugin's own folder in.  [default: here]")  # fmt: skip
def command(kind: str, name: str, into: Path) -> None:
    """Start a plugin: a distribution that works, with tests and continuous integration.

    KIND is scorer, selector, projector, dataset, backbone, learner, executor or metric. NAME is how the plugin is
    called on the command line and in registry.toml, such as my-method."""
    _check_name(kind, name)
    folder = into / distribution_name(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already", "choose another name, or another folder with --into")
    for path, text in render(kind, name, __version__).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        click.echo(target)
    say("\nnext:\n" + "\n".join(f"  {line}" for line in _next_steps(name, folder, starter(kind, name)["option"])))


def _next_steps(name: str, folder: Path, option: str) -> list[str]:
    """Return commands that work from the present folder, with the installer that the environment has."""
    place = folder if folder.is_absolute() else f"./{folder}"
    pip = "python -m pip" if importlib.util.find_spec("pip") is not None else "uv pip"
    run = "uv run " if "UV_RUN_RECURSION_DEPTH" in os.environ else ""
    return [
        f'{pip} install -e "{place}[test]"',
        f"{run}prunebench check {name}",
        f"{run}pytest {place}",
        f"{run}prunebench run try --registry {place}/registry.toml{option}",
    ]


def _check_name(kind: str, name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*", name) or len(name) > 32:
        hint = "use at most 32 lower-case letters and digits, with single hyphens between: my-method"
        raise UsageError(f"{name!r} cannot be the name of a plugin", hint)
    found = loaded()
    if (entry := found.entries[f"{kind}s"].get(name)) is not None:
        raise UsageError(f"{kind} {name!r} is declared by {entry.origin}", "choose a name that is not taken")
    modules = {entry.spec.load.partition(".")[0] for by_name in found.entries.values() for entry in by_name.values()}
    if module_name(name) in modules:
        raise UsageError(f"a plugin's module is called {module_name(name)} already", "choose another name")
