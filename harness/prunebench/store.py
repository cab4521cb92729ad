"""Content-addressed artefacts: published whole or not at all, checked when read, locked while computed."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import platformdirs

from prunebench.artefact_files import (
    DATA,
    FORMAT,
    META,
    accessed,
    facts_in,
    fault,
    file_digest,
    flush,
    plain_state,
    sealed,
)  # fmt: skip
from prunebench.errors import CorruptArtefact, StoreError
from prunebench.locks import USERS, enter, free_lock, is_used, locked
from prunebench.remote import Remote, remote_of, working_copy

if TYPE_CHECKING:
    from numpy.typing import NDArray

ASIDE, LOCKS, SCRATCH = "set-aside", "locks", "tmp"
_FLUSHED_SECONDS = 1.0  # that an artefact took to compute, from which on it is flushed to disk
_REST_SECONDS = 60.0  # in which nothing is sent to a store that could not be reached
PENDING = "locks/pending"  # what has yet to be sent to the store behind a working copy
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "|u1", "BOOL": "|b1"}
_MAX_HEADER_BYTES = 100_000_000  # of a safetensors file, as its library has it
_Place = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


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
    reads or writes raises StoreError where the folder does not allow it (read-only, full, no permission), and where an
    artefact is of a newer prunebench."""

    root: Path
    _verified: set[tuple[Any, ...]] = field(default_factory=set, repr=False, compare=False)
    _sign: list[str] = field(default_factory=list, repr=False, compare=False)
    _held: set[str] = field(default_factory=set, repr=False, compare=False)
    _failed_at: list[float] = field(default_factory=list, repr=False, compare=False)

    def folder(self, stage: str, key: str) -> Path:
        """Return where the artefact of `key` is or will be."""
        return Path(self.root, stage, key[:2], key)

    def has(self, stage: str, key: str) -> bool:
        """Tell whether a complete artefact is there (its content is checked when it is read), and mark it as used now:
        those used last are removed last."""
        file = f"{self.root}/{stage}/{key[:2]}/{key}/{META}"  # no Path: a plan asks for very many
        with self._accessed():
            try:
                os.utime(file)
                return True
            except (FileNotFoundError, NotADirectoryError):
                return self._is_remote(stage, key)
            except OSError:  # the cache may only be read
                return Path(file).is_file() or self._is_remote(stage, key)

    def enter(self) -> None:
        """Show other processes, as long as this store is used, that what it reads from now on may not be removed."""
        if not self._sign and (sign := enter(self.root, self)):
            self._sign.append(sign)

    def in_use_since(self) -> float:
        """Return since when this store is used, as a time of files; infinity where it was not, or is read-only."""
        with contextlib.suppress(OSError, IndexError):
            return (self.root / USERS / f"{self._sign[0]}.lock").stat().st_mtime
        return float("inf")

    def meta(self, stage: str, key: str) -> dict[str, Any] | None:
        """Return the facts of an artefact, or None when there is none or they are damaged (which sets it aside)."""
        folder = self.folder(stage, key)
        with self._accessed():
            if not folder.exists():
                if not self._is_remote(stage, key):
                    return None
                self._fetch(stage, key)
            try:
                return facts_in(folder / META)
            except (CorruptArtefact, FileNotFoundError, NotADirectoryError):
                if folder.exists():
                    self.set_aside(stage, key)
        return None

    def read(self, stage: str, key: str) -> Artefact | None:
        """Return an artefact, or None when there is none or it is damaged (which sets it aside).  The digests of its
        files are computed once per process, and again where a file has changed since."""
        self.enter()
        self.has(stage, key)
        meta, folder = self.meta(stage, key), self.folder(stage, key)
        if meta is None:
            return None
        arrays: dict[str, NDArray[Any]] = {}
        try:
            for name, expected in meta.get("digests", {}).items():
                state = plain_state(file := folder / name)
                seen = (file, expected, state.st_ino, state.st_size, state.st_mtime_ns)
                if seen not in self._verified and file_digest(file) != expected:
                    raise CorruptArtefact(f"{file} does not match its digest", "it is computed again")
                self._verified.add(seen)
                prefix = "" if name == DATA else f"{file.stem}/"
                arrays |= {prefix + title: array for title, array in map_safetensors(file).items()}
        except (CorruptArtefact, FileNotFoundError):
            self.set_aside(stage, key)
            return None
        return Artefact(arrays, meta, folder)

    def publish(self, stage: str, key: str, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
        """Write an artefact to a temporary folder, flush it to disk and rename it into place.  What took a moment to
        compute, by the `seconds` of its facts, is not flushed: where a power cut damages it, it is computed again."""
        import numpy as np
        from safetensors.numpy import save

        files: dict[str, dict[str, NDArray[Any]]] = {}
        for name, array in arrays.items():
            group, _, title = name.rpartition("/")
            # Not ascontiguousarray: it would turn a scalar, such as a counter of batches, into a vector.
            files.setdefault(f"{group}.safetensors" if group else DATA, {})[title] = np.asarray(array, order="C")
        with self.publishing(stage, key, meta) as scratch:
            for name, group_arrays in files.items():
                (scratch / name).write_bytes(save(group_arrays))

    @contextlib.contextmanager
    def publishing(self, stage: str, key: str, meta: Mapping[str, Any]) -> Iterator[Path]:
        """Yield a temporary folder for safetensors files that are too large to be held in memory; afterwards they are
        published as `publish` does it."""
        target, scratch = self.folder(stage, key), self.scratch(uuid.uuid4().hex)
        is_dear = meta.get("seconds", math.inf) >= _FLUSHED_SECONDS
        with self._accessed(), contextlib.ExitStack() as cleaning:
            cleaning.callback(shutil.rmtree, scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
            yield scratch
            digests = {file.name: file_digest(file) for file in sorted(scratch.iterdir())}
            (scratch / META).write_bytes(sealed({**meta, "digests": digests, "format": FORMAT}))
            for file in scratch.iterdir() if is_dear else ():
                flush(file)
            target.parent.mkdir(parents=True, exist_ok=True)
            self.discard(stage, key)
            scratch.rename(target)
            if is_dear:
                flush(target.parent)
        if self._remote is not None and not stage.startswith("parts/"):
            self._pending(key).parent.mkdir(parents=True, exist_ok=True)
            self._pending(key).write_text(stage, encoding="utf-8")
            self._send(stage, key)

    def discard(self, stage: str, key: str) -> None:
        """Remove an artefact if it is there, in one step as others see it."""
        gone, folder = self.scratch(f"removed-{uuid.uuid4().hex}"), self.folder(stage, key)
        if not folder.exists():
            return
        with contextlib.suppress(FileNotFoundError):
            gone.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)

    def set_aside(self, stage: str, key: str) -> Path | None:
        """Move a damaged artefact to where nobody reads it, say so, and return the place.  None where it is not damaged
        or was replaced meanwhile, where somebody else works on it, and where the folder cannot be written."""
        folder, target = self.folder(stage, key), self.root / ASIDE / stage / f"{key}-{uuid.uuid4().hex[:8]}"
        with contextlib.ExitStack() as holding, contextlib.suppress(OSError):
            mine = key in self._held or holding.enter_context(free_lock(self._lock_of(key)))
            if mine and (wrong := fault(folder)) and folder.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                folder.rename(target)
                text = f"{folder} is damaged ({wrong}): it was set aside in {target}, and is computed again"
                sys.stderr.write(f"{text}\n")
                return target
        return None

    def discard_parts(self, key: str) -> None:
        """Remove what was kept in the stage `parts/<key>` while the artefact of that key was computed."""
        shutil.rmtree(self.root / "parts" / key, ignore_errors=True)

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold the lock of `key` inside the block; the operating system frees it when the holder dies."""
        self.enter()
        with self._accessed():
            held = locked(self._lock_of(key))
        with held:
            self._held.add(key)
            try:
                yield
            finally:
                self._held.discard(key)

    def scratch(self, title: str) -> Path:
        """Return a path below the cache, on the same file system, for what is being written.  What is left there by a
        process that died is removed later.  title: without dots."""
        self.enter()
        return self.root / SCRATCH / f"{self._sign[0] if self._sign else 'nobody'}.{title}"

    def check_writable(self) -> None:
        """Raise StoreError now rather than after an hour of work when nothing can be written here."""
        probe = self.scratch(f"probe-{uuid.uuid4().hex}")
        with self._accessed():
            probe.parent.mkdir(parents=True, exist_ok=True)
            try:
                probe.write_bytes(b"\0" * 65536)
            finally:
                probe.unlink(missing_ok=True)

    def clear_scratch(self) -> None:
        """Remove what writers left behind that are dead, or are unknown and wrote it more than an hour ago."""
        for path in (self.root / SCRATCH).glob("*"):
            sign = self.root / USERS / f"{path.name.rpartition('.')[0]}.lock"
            is_known = len(sign.stem) > len("nobody")
            with contextlib.suppress(OSError):
                if not is_used(sign) if is_known else path.stat().st_mtime < time.time() - 3600:
                    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()

    @cached_property
    def _remote(self) -> Remote | None:
        return remote_of(self.root)

    def _is_remote(self, stage: str, key: str) -> bool:
        """Tell whether an artefact is in the store behind this working copy."""
        return self._remote is not None and f"{stage}/{key[:2]}/{key}/{META}" in self._remote.names(stage)

    def _fetch(self, stage: str, key: str) -> None:
        """Fetch an artefact from the store behind this one, unless what comes is damaged or somebody else was first."""
        assert self._remote is not None
        place, scratch = f"{stage}/{key[:2]}/{key}", self.scratch(uuid.uuid4().hex)
        with contextlib.ExitStack() as holding, self._accessed():
            holding.callback(shutil.rmtree, scratch, ignore_errors=True)
            if key not in self._held:
                holding.enter_context(self.lock(key))
            scratch.mkdir(parents=True)
            with contextlib.suppress(FileNotFoundError, CorruptArtefact):  # it was removed meanwhile, or is damaged
                self._remote.fetch_object(f"{place}/{META}", scratch / META)
                for name, expected in facts_in(scratch / META).get("digests", {}).items():
                    self._remote.fetch_object(f"{place}/{expected}-{name}", scratch / name)
            if wrong := fault(scratch):
                sys.stderr.write(f"{self._remote.url}/{place} is damaged ({wrong}): it is computed again\n")
            elif not self.folder(stage, key).exists():
                self.folder(stage, key).parent.mkdir(parents=True, exist_ok=True)
                scratch.rename(self.folder(stage, key))

    def _send(self, stage: str, key: str) -> bool:
        """Send an artefact to the store behind this one, its facts last, and return whether that worked."""
        assert self._remote is not None
        folder, place = self.folder(stage, key), f"{stage}/{key[:2]}/{key}"
        if self._failed_at and time.monotonic() - self._failed_at[-1] < _REST_SECONDS:
            return False
        try:
            for name, digest_of in facts_in(folder / META).get("digests", {}).items():
                self._remote.send(folder / name, f"{place}/{digest_of}-{name}")
            self._remote.send(folder / META, f"{place}/{META}")
        except FileNotFoundError:  # it was removed meanwhile
            pass
        except StoreError as error:
            self._failed_at.append(time.monotonic())
            sys.stderr.write(f"{folder} was not sent, and is sent by a later run: {error.message}\n")
            return False
        self._pending(key).unlink(missing_ok=True)
        return True

    def send_pending(self) -> list[str]:
        """Send what could not be sent before, or what a killed process did not send; return what still cannot be."""
        left = []
        for path in (self.root / PENDING).glob("*") if self._remote is not None else ():
            with contextlib.suppress(FileNotFoundError):
                if not self._send(path.read_text(encoding="utf-8"), path.name):
                    left.append(path.name)
        return left

    def _pending(self, key: str) -> Path:
        return self.root / PENDING / key

    def _lock_of(self, key: str) -> Path:
        return self.root / LOCKS / f"{key}.lock"

    def _accessed(self) -> contextlib.AbstractContextManager[None]:
        return accessed(f"cache folder {self.root}", "set another with --cache DIR or PRUNEBENCH_CACHE")


class _Entry(msgspec.Struct):
    """Where an array lies in a safetensors file: bytes behind the header."""

    dtype: str
    shape: list[_Place]
    data_offsets: tuple[_Place, _Place]


def map_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """Map the arrays of a safetensors file read-only; the library's own reader would copy them into memory.  Raises
    CorruptArtefact when the header cannot be read."""
    import numpy as np

    try:
        content = np.memmap(path, mode="r")
        start = 8 + int.from_bytes(content[:8], "little")
        if start > _MAX_HEADER_BYTES:
            raise ValueError("its header is too long")
        header = msgspec.json.decode(bytes(content[8:start]), type=dict[str, dict[str, Any]])
        arrays = {}
        for name, given in header.items():
            if name != "__metadata__":
                entry = msgspec.convert(given, _Entry)
                begin, end = entry.data_offsets
                data = content[start + begin : start + end].view(_DTYPES[entry.dtype])
                arrays[name] = data.reshape(entry.shape)
        return arrays
    except (ValueError, KeyError, RecursionError) as error:
        raise CorruptArtefact(f"{path} is not a readable safetensors file: {error}", "remove it") from error


def default_cache() -> Path:
    """Return PRUNEBENCH_CACHE, a folder or a URL, or the user's cache folder."""
    with contextlib.suppress(RuntimeError):  # no user is known
        given = os.environ.get("PRUNEBENCH_CACHE") or platformdirs.user_cache_dir("prunebench")
        return working_copy(given).expanduser()
    return Path(os.devnull, "cache")  # whoever writes says that there is no such folder
