"""The board of a suite as a run left it: it is made again only when something that it follows from has changed."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from prunebench.artefact_files import file_digest
from prunebench.discovery.installed import environment_digest, installed_plugins, package_files, plugin_digest
from prunebench.errors import DataError, StoreError
from prunebench.guard import read_plain
from prunebench.keys import digest
from prunebench.records import write_text
from prunebench.registry import find_registry
from prunebench.request import Request

FOLDER = "boards"  # below the cache folder


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A board that was written.  inputs: the digest of what it follows from.  files: digests of its files by name.
    text: what was shown of it in a terminal."""

    inputs: str
    files: dict[str, str]
    text: str


def suite_board(asked: Request) -> str:
    """Return the text of a suite's board, and see that results/<suite>/board/ holds it: written by an earlier run from
    the same records with the same code, or by `update_board` now.  Raises what that raises."""
    file = asked.store.root / FOLDER / f"{digest([str(asked.results.absolute()), asked.suite])}.json"
    inputs, folder = digest(list(_inputs(asked))), asked.results / asked.suite / "board"
    with contextlib.suppress(OSError, DataError, UnicodeDecodeError, msgspec.MsgspecError):
        kept = msgspec.json.decode(read_plain(file), type=Kept)
        if kept.inputs == inputs and kept.files and kept.files == _digests(folder):
            return kept.text
    from prunebench.board import update_board

    text = update_board(asked.results, asked.registry, asked.plugins, suite=asked.suite)
    with contextlib.suppress(StoreError, OSError):  # a cache that cannot be written is no error
        write_text(file, msgspec.json.encode(Kept(inputs, _digests(folder), text)).decode())
    return text


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: file_digest(path) for path in sorted(folder.iterdir()) if path.is_file()}


def _inputs(asked: Request) -> Iterator[Any]:
    """Yield all that a board follows from: the terminal, the registry, the code and the packages that are installed,
    and what lies in the folder of the suite's results."""
    registry, folder = asked.registry, asked.results / asked.suite
    yield shutil.get_terminal_size((100, 24)).columns
    yield from (str(registry.file.absolute()), str(find_registry().absolute()), registry.text)
    environment = environment_digest()
    yield [plugin_digest(*one, environment) for one in installed_plugins(os.environ.get("PRUNEBENCH_LOAD_PLUGINS"))[0]]
    yield sorted(package_files("prunebench"))
    yield {kind: sorted(entries) for kind, entries in asked.plugins.entries.items()}
    yield sorted(page.name for page in (registry.file.absolute().parent / "docs" / "reference").glob("scorer-*.md"))
    for path in sorted(folder.glob("*/*")):
        if path.is_file() and path.parent.name != "board":
            yield from (path.relative_to(folder).as_posix(), file_digest(path))
