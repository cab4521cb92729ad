"""Content-addressed artefacts: published whole or not at all, checked when read, locked while computed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import shutil
import time
import uuid
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from prunebench.errors import CorruptArtefact, StoreError

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from numpy.typing import NDArray

DATA, META = "data.safetensors", "meta.json"
USERS = "locks/users"  # a locked file for each process that uses the cache
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "|u1", "BOOL": "|b1"}
_REASONS = {
    errno.ENOSPC: ("the disk is full", "free some space"),
    errno.EDQUOT: ("the disk quota is used up", "free some space"),
    errno.EROFS: ("the file system is read-only", "name a folder that can be written"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), ("permission denied", "name a folder that you may write")),
    errno.ENOTDIR: ("a part of the path is a file", "name a folder"),
}


@dataclass(frozen=True)
class Artefact:
    """Arrays (read-only, memory-mapped) and JSON-able facts of one finished stage.  An array named "group/name" is kept
    in group.safetensors, all others in data.safetensors."""

    arrays: Mapping[str, NDArray[Any]]
    meta: Mapping[str, Any]
    path: Path


@dataclass(frozen=True)
class Store:
    """A folder `root/<stage>/<first two digits>/<key>/` with arrays in safetensors files and facts in meta.json.  What
    reads or writes raises StoreError where the folder does not allow it (read-only, full, no permission)."""

    root: Path
    _verified: set[Path] = field(default_factory=set, repr=False, compare=False)
    _presence: list[BaseFileLock] = field(default_factory=list, repr=False, compare=False)

    def folder(self, stage: str, key: str) -> Path:
        """Return where the artefact of `key` is or will be."""
        return self.root / stage / key[:2] / key

    def has(self, stage: str, key: str) -> bool:
        """Tell whether a complete artefact is there (its content is checked when it is read)."""
        return self.touch(stage, key)

    def touch(self, stage: str, key: str) -> bool:
        """Say that an artefact is used now, and tell whether it is there: those used last are removed last."""
        file = self.folder(stage, key) / META
        with contextlib.suppress(OSError):  # there is none, or the cache may only be read
            os.utime(file)
            return True
        return file.is_file()

    def enter(self) -> None:
        """Show other processes, as long as this store is used, that what it reads from now on may not be removed."""
        while not self._presence:
            path = self.root / USERS / f"{_process()}-{uuid.uuid4().hex}.lock"
            try:
                held = file_lock(path)
                held.acquire(timeout=0)
            except TimeoutError:  # another process is looking whether this one is alive
                continue
            except OSError:  # nothing is removed from a cache that cannot be written
                return
            if path.exists():
                self._presence.append(held)
                weakref.finalize(self, _leave, held, os.getpid())

    def meta(self, stage: str, key: str) -> dict[str, Any] | None:
        """Return the facts of an artefact, or None when there is none or they are damaged (which removes it)."""
        with self._accessed(), contextlib.suppress(FileNotFoundError):
            try:
                return dict(json.loads((self.folder(stage, key) / META).read_text(encoding="utf-8")))
            except ValueError:
                self.discard(stage, key)
        return None

    def read(self, stage: str, key: str) -> Artefact | None:
        """Return an artefact, or None when there is none or it is damaged (which removes it)."""
        self.enter()
        self.touch(stage, key)
        meta, folder = self.meta(stage, key), self.folder(stage, key)
        if meta is None:
            return None
        arrays: dict[str, NDArray[Any]] = {}
        try:
            for name, expected in meta.get("digests", {}).items():
                file = folder / name
                if file not in self._verified and file_digest(file) != expected:
                    raise CorruptArtefact(f"{file} does not match its digest", "it is removed and computed again")
                self._verified.add(file)
                prefix = "" if name == DATA else f"{file.stem}/"
                arrays |= {prefix + title: array for title, array in map_safetensors(file).items()}
        except (CorruptArtefact, FileNotFoundError):
            self.discard(stage, key)
            return None
        return Artefact(arrays, meta, folder)

    def publish(self, stage: str, key: str, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
        """Write an artefact to a temporary folder, flush it to disk and rename it into place."""
        import numpy as np
        from safetensors.numpy import save

        files: dict[str, dict[str, NDArray[Any]]] = {}
        for name, array in arrays.items():
            group, _, title = name.rpartition("/")
            # Not ascontiguousarray: it would turn a scalar, such as a counter of batches, into a vector.
            files.setdefault(f"{group}.safetensors" if group else DATA, {})[title] = np.asarray(array, order="C")
        with self.publishing(stage, key, meta) as scratch:
            for name, group_arrays in files.items():
                write_synced(scratch / name, save(group_arrays))

    @contextlib.contextmanager
    def publishing(self, stage: str, key: str, meta: Mapping[str, Any]) -> Iterator[Path]:
        """Yield a temporary folder for safetensors files that are too large to be held in memory; afterwards they are
        published as `publish` does it."""
        self.enter()
        target = self.folder(stage, key)
        scratch = self.root / "tmp" / f"{key}-{uuid.uuid4().hex}"  # on the same file system: it is renamed
        with self._accessed(), contextlib.ExitStack() as cleaning:
            cleaning.callback(shutil.rmtree, scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
            yield scratch
            facts = {**meta, "digests": {file.name: file_digest(file) for file in sorted(scratch.iterdir())}}
            write_synced(scratch / META, json.dumps(facts, sort_keys=True, allow_nan=False).encode())
            target.parent.mkdir(parents=True, exist_ok=True)
            self.discard(stage, key)
            scratch.rename(target)
            _flush_folder(target.parent)

    def discard(self, stage: str, key: str) -> None:
        """Remove an artefact if it is there."""
        shutil.rmtree(self.folder(stage, key), ignore_errors=True)

    def discard_parts(self, key: str) -> None:
        """Remove what was kept in the stage `parts/<key>` while the artefact of that key was computed."""
        shutil.rmtree(self.root / "parts" / key, ignore_errors=True)

    def lock(self, key: str) -> contextlib.AbstractContextManager[object]:
        """Take the lock of `key`, to be held in a `with` block; the operating system frees it when the holder dies."""
        self.enter()
        with self._accessed():
            return locked(self.root / "locks" / f"{key}.lock")

    def check_writable(self) -> None:
        """Raise StoreError now rather than after an hour of work when nothing can be written here."""
        probe = self.root / "tmp" / f"probe-{uuid.uuid4().hex}"
        with self._accessed():
            probe.parent.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"\0" * 65536)
            probe.unlink()

    def clear_scratch(self) -> None:
        """Remove what interrupted writers left behind more than an hour ago, and before all who use the cache came."""
        before = min(time.time() - 3600, oldest_user(self.root))
        for folder in (self.root / "tmp").glob("*"):
            with contextlib.suppress(OSError):
                if folder.stat().st_mtime < before:
                    shutil.rmtree(folder, ignore_errors=True)

    def _accessed(self) -> contextlib.AbstractContextManager[None]:
        return accessed(f"cache folder {self.root}", "set another with --cache DIR or PRUNEBENCH_CACHE")


@contextlib.contextmanager
def accessed(what: str, instead: str) -> Iterator[None]:
    """Turn what the system refuses inside the block into a StoreError; instead: what else to do, to end its hint."""
    try:
        yield
    except OSError as error:
        reason, hint = _REASONS.get(error.errno or 0, (str(error), "check the folder"))
        raise StoreError(f"{what}: {reason}", f"{hint}, or {instead}") from error


def file_digest(path: Path) -> str:
    """Return the blake2b-128 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def map_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """Map the arrays of a safetensors file read-only; the library's own reader would copy them into memory.  Raises
    CorruptArtefact when the header cannot be read."""
    import numpy as np

    try:
        content = np.memmap(path, mode="r")
        start = 8 + int.from_bytes(content[:8], "little")
        arrays = {}
        for name, entry in json.loads(bytes(content[8:start])).items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                data = content[start + begin : start + end].view(_DTYPES[entry["dtype"]])
                arrays[name] = data.reshape(entry["shape"])
        return arrays
    except (ValueError, KeyError) as error:
        raise CorruptArtefact(f"{path} is not a readable safetensors file: {error}", "remove it") from error


def default_cache() -> Path:
    """Return PRUNEBENCH_CACHE, or the user's cache folder."""
    return Path(os.environ.get("PRUNEBENCH_CACHE") or platformdirs.user_cache_dir("prunebench")).expanduser()


def locked(path: Path) -> contextlib.AbstractContextManager[object]:
    """Wait for the lock of a file, and return it held: a `with` block sets it free."""
    return file_lock(path).acquire()


def file_lock(path: Path) -> BaseFileLock:
    """Return the lock of a file, which any thread of this process may set free, and make its folder."""
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(str(path), thread_local=False)


def oldest_user(root: Path) -> float:
    """Return since when another process has used a cache folder without a break, as a time of files; infinity where
    none does.  What processes left that ended in the middle of their work is removed."""
    from filelock import Timeout

    found = float("inf")
    for path in (root / USERS).glob("*.lock"):
        with contextlib.suppress(FileNotFoundError):
            came = path.stat().st_mtime
            if path.name.startswith(f"{_process()}-"):
                continue
            lock = file_lock(path)
            try:
                with lock.acquire(timeout=0):
                    path.unlink()
            except Timeout:
                found = min(found, came)
    return found


def _process() -> str:
    """Return what names this process on all machines and in all containers that share a cache."""
    return f"{os.getpid()}-{platform.node()}"


def _leave(held: BaseFileLock, pid: int) -> None:
    """Give up a presence; a process that was forked from the one that has it does nothing."""
    if pid == os.getpid():
        with contextlib.suppress(OSError):
            Path(held.lock_file).unlink(missing_ok=True)
            held.release()


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and flush it to disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
