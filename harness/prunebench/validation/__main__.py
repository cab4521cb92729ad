"""`python -m prunebench.validation RESULTS --base REVISION`: are the results sound, and what do they change?"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from prunebench.errors import PrunebenchError, UsageError
from prunebench.records import write_text
from prunebench.registry import load_registry
from prunebench.validation.base import base_rows
from prunebench.validation.lines import MAX_BYTES
from prunebench.validation.rules import validate
from prunebench.validation.summary import summary


@click.command()
@click.argument("results", type=click.Path(path_type=Path), default=Path("results"))
@click.option("--base", default="", help="Git revision or folder to compare with.  [default: merge base with main]")
@click.option("--registry", "registry_file", type=click.Path(path_type=Path), help="registry.toml to read.")
@click.option("--max-bytes", type=click.IntRange(min=1), default=MAX_BYTES, show_default=True, help="Size of a file.")
@click.option("--summary", "summary_file", type=click.Path(path_type=Path), help="Write the differences as markdown.")
def command(results: Path, base: str, registry_file: Path | None, max_bytes: int, summary_file: Path | None) -> None:
    """Check RESULTS as data, print the differences to the base as markdown, and fail when something is wrong."""
    if not results.is_dir():
        raise UsageError(f"{results} is no folder", "name the folder of results")
    found = validate(results, base_rows(results, base), load_registry(registry_file), max_bytes)
    text = summary(found)
    if summary_file is not None:
        write_text(summary_file, text)
    click.echo(text, nl=False)
    for problem in found.problems:
        click.echo(f"problem: {problem}", err=True)
    if error := found.error():
        raise error


def main() -> None:
    """Run the command; an error ends as one message with a hint and its exit code."""
    try:
        command.main(standalone_mode=False)
    except PrunebenchError as error:
        click.echo(f"error: {error.message}\nhint: {error.hint}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
