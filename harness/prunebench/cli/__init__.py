"""The command line: one small module a verb, imported when it is called."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any

import click

from prunebench.cli.text import Context, dressed, report, say
from prunebench.errors import PrunebenchError, UsageError, did_you_mean

VERBS: Mapping[str, str] = {
    "check": "Check that plugins keep the promises of their declarations.",
    "doctor": "Tell whether this machine is ready: plugins, data, devices, folders.",
    "leaderboard": "Write the board from the records in the results folder.",
    "list": "List suites, methods, data sets and what else there is, or all that is known of one name.",
    "new": "Start a plugin: a distribution that works, with tests and continuous integration.",
    "plan": "Show what a run of a suite would compute, and how much of it is done.",
    "registry": "Check what is official, add a plugin to it, or print its schema.",
    "run": "Run what is missing of a suite, then write the board.",
    "status": "Show how far the latest run has come, and what failed.",
    "validate": "Check a folder of results as data, against its base and the registry.",
}


class _Verbs(click.Group):
    """Imports a verb's module only when the verb is used: `list` must not wait for numerical libraries."""

    context_class = Context

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*VERBS, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return super().get_command(ctx, cmd_name)
        return dressed(importlib.import_module(f"prunebench.cli.{cmd_name}").command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, VERBS[name]) for name in sorted(VERBS)]
        rows += [(name, command.get_short_help_str()) for name, command in sorted(self.commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="prunebench")
@click.option("--traceback", "show_traceback", is_flag=True, help="Show the traceback of an error.")
def cli(show_traceback: bool) -> None:
    """Benchmark and apply methods that prune training data."""


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; an error ends as one message, the next thing to do, and its exit code."""
    given = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    show = "--traceback" in given or os.environ.get("PRUNEBENCH_TRACEBACK") == "1"
    try:
        code = cli.main(args=given, prog_name="prunebench", standalone_mode=False, obj=_plugins())
        sys.exit(code if isinstance(code, int) else 0)
    except PrunebenchError as error:
        if show:
            traceback.print_exc()
        report(error.message, error.hint or _usual_hint(error))
        sys.exit(error.exit_code)
    except click.ClickException as error:
        report(*_in_our_style(error))
        sys.exit(UsageError.exit_code)
    except (click.Abort, KeyboardInterrupt):
        say("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output (head, say) has gone: point standard output elsewhere and stop quietly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _usual_hint(error: PrunebenchError) -> str:
    return " ".join((inspect.getdoc(type(error)) or "").split()).partition(" Hint: ")[2]


def _in_our_style(error: click.ClickException) -> tuple[str, str]:
    """Return what is wrong and the next thing to do for an error that click raised."""
    context = getattr(error, "ctx", None)
    hint = f"see `{context.command_path if context else 'prunebench'} --help`"
    if isinstance(error, click.NoSuchOption):
        known = [flag for option in context.command.params for flag in option.opts] if context else []
        return f"no option is named {error.option_name}", f"{did_you_mean(error.option_name, known)}; {hint}"
    if context and isinstance(context.command, click.Group) and error.message.startswith("No such command"):
        name = error.message.split("'")[1]
        return f"no command is named {name!r}", did_you_mean(name, context.command.list_commands(context))
    text = " ".join(error.format_message().split()).rstrip(".")
    return text[:1].lower() + text[1:], hint


def _plugins() -> Any:
    from prunebench.plugins import add_commands, load_plugins

    found = load_plugins()
    add_commands(found, cli)
    return found
