"""What a cache folder holds, what of it may go, and whether it is what was written; safe while others compute in it.

A process that uses the cache shows since when, by a locked file (`Store.enter`), and marks what it uses
(`Store.has`).  What was used since the first of these processes came is in use."""

import contextlib
import math
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prunebench.artefact_files import META, accessed
from prunebench.errors import StoreError
from prunebench.locks import free_lock, oldest_user
from prunebench.remote import FOLDER
from prunebench.store import ASIDE, LOCKS, SCRATCH, Store


@dataclass(frozen=True)
class Item:
    """What is removed as a whole: an artefact (a folder) or a file of another kind.

    kind: the folder of the cache in which it lies.  size: in bytes.  used: when it was last used or written, as a time
    of files in seconds."""

    path: Path
    kind: str
    size: int
    used: float
    artefact: bool = True


def items(root: Path) -> list[Item]:
    """Return all that is in a cache folder, without locks and what is being written.  Raises StoreError where it cannot
    be read."""
    with accessed(f"cache folder {root}", "name another with --cache DIR"):
        kinds = sorted(entry.path for entry in os.scandir(root) if entry.is_dir()) if root.is_dir() else []
        own = [Path(kind) for kind in kinds if Path(kind).name not in (LOCKS, SCRATCH, FOLDER)]
        return [item for kind in own for item in _below(kind, kind)]


def _below(folder: Path, kind: Path) -> Iterator[Item]:
    """Yield artefacts and files below a folder; what vanishes meanwhile is left out."""
    with contextlib.suppress(FileNotFoundError):
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        if kind.name != ASIDE and any(entry.name == META for entry in entries):
            files = [entry.stat() for entry in entries]
            yield Item(folder, kind.name, sum(file.st_size for file in files), (folder / META).stat().st_mtime)
            return
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _below(Path(entry.path), kind)
                continue
            with contextlib.suppress(FileNotFoundError):
                file = entry.stat(follow_symlinks=False)
                used = max(file.st_mtime, file.st_atime)
                yield Item(Path(entry.path), kind.name, file.st_size, used, artefact=False)


def chosen(found: Iterable[Item], *, max_bytes: int | None = None, before: float | None = None) -> list[Item]:
    """Return what to remove, least recently used first: what was last used before a time, and then as much as leaves
    `max_bytes` at the most."""
    oldest_first = sorted(found, key=lambda item: (item.used, item.path))
    left, picked = sum(item.size for item in oldest_first), []
    for item in oldest_first:
        if (before is not None and item.used < before) or (max_bytes is not None and left > max_bytes):
            picked.append(item)
            left -= item.size
    return picked


def trim(store: Store, limit: int) -> list[str]:
    """Remove what was used least recently until a cache holds no more than `limit` bytes.  What running processes may
    use stays, that of this one included; a sentence says where that is more."""
    found = items(store.root)
    if sum(item.size for item in found) <= limit:
        return []
    free, _ = split_by_use(store.root, chosen(found, max_bytes=limit), store.in_use_since())
    gone = {*remove(store.root, free)}
    left = sum(item.size for item in found if item not in gone)
    text = f"the cache {store.root} holds {left:,} bytes, and {limit:,} are its limit: runs may need all that is left"
    return [text] if left > limit else []


def split_by_use(root: Path, found: Iterable[Item], own: float = math.inf) -> tuple[list[Item], list[Item]]:
    """Return what no running process can hold, and what one may hold.  Files that are no artefacts do not say when they
    were used, so all of them may be held while another process runs.  own: since when this one uses the cache."""
    since = min(oldest_user(root), own)
    free, held = list[Item](), list[Item]()
    for item in found:
        (free if _is_free(item, since) else held).append(item)
    return free, held


def _is_free(item: Item, since: float) -> bool:
    return item.used < since if item.artefact else since == float("inf")


def remove(root: Path, wanted: Sequence[Item]) -> list[Item]:
    """Remove items, and return those that are gone; one that a process has begun to use meanwhile stays."""
    gone = []
    with accessed(f"cache folder {root}", "name another with --cache DIR"):
        for item in wanted:
            with _locked(root, item) as mine, contextlib.suppress(FileNotFoundError):
                used = (item.path / META).stat().st_mtime if item.artefact else item.used
                if mine and used == item.used and _is_free(item, oldest_user(root)):
                    _take_away(root, item.path)
                    gone.append(item)
    return gone


def _locked(root: Path, item: Item) -> contextlib.AbstractContextManager[bool]:
    """Hold the lock of an artefact's key, and yield whether nobody else does; other files have none."""
    return free_lock(root / LOCKS / f"{item.path.name}.lock") if item.artefact else contextlib.nullcontext(True)


def _take_away(root: Path, path: Path) -> None:
    """Remove a file or folder in one step as others see it."""
    scratch = root / SCRATCH / f"removed-{uuid.uuid4().hex}"
    scratch.parent.mkdir(exist_ok=True)
    path.rename(scratch)
    shutil.rmtree(scratch, ignore_errors=True) if scratch.is_dir() else scratch.unlink()


def check_folder(root: Path) -> None:
    """Raise StoreError for a cache folder that does not exist, so that a misspelt name is not an empty cache."""
    if not root.is_dir():
        hint = "nothing was computed yet, or the cache is elsewhere: name it with --cache DIR or PRUNEBENCH_CACHE"
        raise StoreError(f"there is no cache folder {root}", hint)
