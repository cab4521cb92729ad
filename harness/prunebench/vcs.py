"""The state of a source tree.  The build of a wheel runs this file by itself, so it imports nothing of prunebench."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any


def printed(*command: str | Path) -> str:
    """Return what a command prints, or nothing where it fails or is not installed."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def git_state(folder: Path) -> dict[str, Any]:
    """Return commit, branch, whether the tree is dirty and a digest of the difference; empty outside git."""
    git = ("git", "-C", folder)
    if not (commit := printed(*git, "rev-parse", "HEAD")):
        return {}
    difference = printed(*git, "diff", "HEAD", "--", ".", ":!results")
    return {
        "commit": commit,
        "branch": printed(*git, "rev-parse", "--abbrev-ref", "HEAD"),
        "dirty": bool(difference),
        "diff_digest": hashlib.blake2b(difference.encode(), digest_size=8).hexdigest() if difference else "",
    }
