"""What the results are compared with: a folder, or the results of a git revision."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from prunebench.errors import UsageError
from prunebench.validation.lines import Row, read_folder, read_lines

_BRANCHES = ("origin/main", "main")


def base_rows(results: Path, base: str) -> tuple[str, list[Row]]:
    """Return the name of the base and its sound records.

    base: a results folder, a git revision, or empty for the merge base of HEAD with main.
    Raises UsageError when there is neither.
    """
    if base and Path(base).is_dir():
        return base, read_folder(Path(base))[0]
    folder = results.resolve()
    try:
        top = Path(_git(folder, "rev-parse", "--show-toplevel").decode().strip()).resolve()
        commit = _commit(folder, base)
        return commit[:12], _rows_at(top, folder.relative_to(top).as_posix(), commit)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UsageError(
            f"no base to compare {results} with: {base or 'main'} is no revision of a git repository here",
            "name a revision or a folder of results with --base",
        ) from error


def _commit(folder: Path, base: str) -> str:
    if base:
        return _git(folder, "rev-parse", "--verify", "--end-of-options", f"{base}^{{commit}}").decode().strip()
    for branch in _BRANCHES:
        try:
            return _git(folder, "merge-base", "HEAD", branch).decode().strip()
        except subprocess.CalledProcessError:
            continue
    raise OSError("no branch main")


def _rows_at(top: Path, folder: str, commit: str) -> list[Row]:
    if not _git(top, "ls-tree", "-r", commit, "--", f"{folder}/"):
        return []
    rows: list[Row] = []
    with tarfile.open(fileobj=io.BytesIO(_git(top, "archive", "--format=tar", commit, "--", folder))) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() and member.name.endswith(".jsonl") else None
            if content is not None:
                rows += read_lines(member.name.removeprefix(f"{folder}/"), content.read())[0]
    return rows


def _git(folder: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=True).stdout
