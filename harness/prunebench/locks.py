"""Locks of files that the operating system frees when their holder dies, and who uses a folder."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import uuid
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

USERS = "locks/users"  # below a cache folder: a locked file for each process that uses it
_PATIENCE_SECONDS = 20.0  # after which a process says what it waits for


def locked(path: Path) -> contextlib.AbstractContextManager[object]:
    """Wait for the lock of a file, and return it held: a `with` block sets it free.  Says so where that takes long."""
    lock = file_lock(path)
    with contextlib.suppress(TimeoutError):
        return lock.acquire(timeout=_PATIENCE_SECONDS)
    sys.stderr.write(f"waiting for another process that holds {path}; it goes on when that process does, or ends\n")
    return lock.acquire()


def file_lock(path: Path) -> BaseFileLock:
    """Return the lock of a file, which any thread of this process may set free; who acquires it makes its folder."""
    from filelock import FileLock

    return FileLock(str(path), thread_local=False)


@contextlib.contextmanager
def free_lock(path: Path) -> Iterator[bool]:
    """Hold the lock of a file inside the block if nobody else holds it, and yield whether that is so."""
    try:
        held = file_lock(path).acquire(timeout=0)
    except OSError:  # another process holds it, or it is another user's, or the folder is read-only
        yield False
        return
    with held:
        yield True


def enter(root: Path, owner: object) -> str:
    """Show other processes, as long as `owner` lives, that a cache folder is used, and return the name of the sign; an
    empty text for a folder that cannot be written, of which nothing can be removed."""
    while True:
        path = root / USERS / f"{_process()}-{uuid.uuid4().hex}.lock"
        try:
            held = file_lock(path)
            held.acquire(timeout=0)
        except TimeoutError:  # another process is looking whether this one is alive
            continue
        except OSError:
            return ""
        if path.exists():
            weakref.finalize(owner, _leave, held, os.getpid())
            return path.stem


def oldest_user(root: Path) -> float:
    """Return since when another process has used a cache folder without a break, as a time of files; infinity where
    none does.  What processes left that ended in the middle of their work is removed."""
    found = float("inf")
    for path in (root / USERS).glob("*.lock"):
        with contextlib.suppress(FileNotFoundError):
            came = path.stat().st_mtime
            if not path.name.startswith(f"{_process()}-") and is_used(path):
                found = min(found, came)
    return found


def is_used(sign: Path) -> bool:
    """Tell whether the process that left a sign still lives; the sign of a dead one is removed."""
    with free_lock(sign) as is_free:
        if is_free:
            sign.unlink(missing_ok=True)
    return not is_free


def _process() -> str:
    """Return what names this process on all machines and in all containers that share a cache."""
    return f"{os.getpid()}-{platform.node()}"


def _leave(held: BaseFileLock, pid: int) -> None:
    """Give up a presence; a process that was forked from the one that has it does nothing."""
    if pid == os.getpid():
        with contextlib.suppress(OSError):
            Path(held.lock_file).unlink(missing_ok=True)
            held.release()
