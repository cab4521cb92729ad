"""What the results are compared with: a folder, or the results of a git revision."""

from __future__ import annotations

import contextlib
import io
import subprocess
import tarfile
from pathlib import Path

from prunebench.errors import UsageError
from prunebench.validation.lines import Row, read_folder, read_lines


def base_rows(results: Path, base: str) -> tuple[str, list[Row]]:
    """Return the name and the sound records of a folder, a git revision, or by default where HEAD left main."""
    if base and Path(base).is_dir():
        return base, read_folder(Path(base))[0]
    folder = results.resolve()
    try:
        top = Path(_git(folder, "rev-parse", "--show-toplevel").decode().strip()).resolve()
        commit = _commit(folder, base)
        return commit[:12], _rows_at(top, folder.relative_to(top).as_posix(), commit)
    except (OSError, subprocess.CalledProcessError) as error:
        message = f"no base to compare {results} with: {base or 'main'} is no revision of a git repository here"
        raise UsageError(message, "name a revision or a folder of results with --base") from error


def _commit(folder: Path, base: str) -> str:
    named = [("rev-parse", "--verify", "--end-of-options", f"{base}^{{commit}}")]
    for arguments in named if base else [("merge-base", "HEAD", branch) for branch in ("origin/main", "main")]:
        with contextlib.suppress(subprocess.CalledProcessError):
            return _git(folder, *arguments).decode().strip()
    raise OSError("no such revision")


def _rows_at(top: Path, folder: str, commit: str) -> list[Row]:
    if not _git(top, "ls-tree", "-r", commit, "--", f"{folder}/"):
        return []
    rows: list[Row] = []
    with tarfile.open(fileobj=io.BytesIO(_git(top, "archive", "--format=tar", commit, "--", folder))) as archive:
        for member in archive:
            if member.name.endswith(".jsonl") and (content := archive.extractfile(member)) is not None:
                rows += read_lines(member.name.removeprefix(f"{folder}/"), content.read())[0]
    return rows


def _git(folder: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=True).stdout
