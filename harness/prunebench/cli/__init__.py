"""The command line: one small module a verb, imported when it is called."""

import importlib
import inspect
import os
import sys
import traceback
from keyword import iskeyword
from typing import NoReturn

import click

from prunebench.cli.text import Context, columns, guarded, say
from prunebench.errors import DataError, PrunebenchError, UsageError, did_you_mean
from prunebench.plugins import load_plugins

VERBS = (
    "cache", "check", "compare", "diff", "doctor", "explain", "export", "leaderboard", "list", "new", "plan", "prune",
    "registry", "run", "status", "try", "validate",
)  # fmt: skip


class _Verbs(click.Group):
    """Imports a verb's module only when the verb is used, or all of them for the page of help."""

    context_class = Context

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*VERBS, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = f"prunebench.cli.{cmd_name}{'_' if iskeyword(cmd_name) else ''}"
        ours = importlib.import_module(module).command if cmd_name in VERBS else None
        command = ours or super().get_command(ctx, cmd_name)
        for one in (command, *getattr(command, "commands", {}).values()) if command else ():
            one.context_class, one.no_args_is_help = Context, False  # no arguments are a usage error like any other
            one.short_help = one.get_short_help_str(200)  # click would cut it off at the end of the line
        return command


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="prunebench")
@click.option("--traceback", "show_traceback", is_flag=True, help="Show the traceback of an error.")
def cli(show_traceback: bool) -> None:
    """Benchmark and apply methods that prune training data."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; an error ends as one message, the next thing to do, and its exit code."""
    given = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    with guarded(sys.stdout), guarded(sys.stderr):
        _main(given)


def _main(given: list[str]) -> None:
    try:
        found = load_plugins()
        found.notify("prunebench_commands", cli=cli)
        code = cli.main(given, "prunebench", standalone_mode=False, obj=found, terminal_width=columns())
        sys.exit(code if isinstance(code, int) else 0)
    except (PrunebenchError, click.ClickException) as error:
        _end(given, error)
    except (click.Abort, KeyboardInterrupt):
        say("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output (head, say) has gone: point standard output elsewhere and stop quietly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:  # of a path that was typed, such as one whose name is too long
        where = f"{error.filename}: " if error.filename else ""
        _end(given, DataError(f"{where}{error.strerror or error}", "check the path, the disk and the rights"))


def _end(given: list[str], error: PrunebenchError | click.ClickException) -> NoReturn:
    """Say what is wrong, and exit with its code."""
    is_ours = isinstance(error, PrunebenchError)
    if is_ours and ("--traceback" in given or os.environ.get("PRUNEBENCH_TRACEBACK") == "1"):
        traceback.print_exc()
    message, hint = _told(error)
    say(f"error: {message}" + (f"\nhint: {hint}" if hint else ""))
    sys.exit(error.exit_code if is_ours else UsageError.exit_code)


def _told(error: PrunebenchError | click.ClickException) -> tuple[str, str]:
    """Return what is wrong and the next thing to do, in our style for what click raised, too."""
    if isinstance(error, PrunebenchError):
        usual = " ".join((inspect.getdoc(type(error)) or "").split()).partition(" Hint: ")[2]
        return error.message, error.hint or usual
    context = getattr(error, "ctx", None)
    hint = f"see `{context.command_path if context else 'prunebench'} --help`"
    if isinstance(error, click.NoSuchOption):
        known = [flag for option in context.command.params for flag in option.opts] if context else []
        return f"no option is named {error.option_name}", f"{did_you_mean(error.option_name, known)} ({hint})"
    if context and isinstance(context.command, click.Group) and error.message.startswith("No such command"):
        name = error.message.split("'")[1]
        return f"no command is named {name!r}", did_you_mean(name, context.command.list_commands(context))
    text = " ".join(error.format_message().split()).rstrip(".")
    return text[:1].lower() + text[1:], hint
