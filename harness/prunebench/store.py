"""Content-addressed artefacts: published whole or not at all, checked when read, locked while computed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunebench.errors import CorruptArtefact, StoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

DATA, META = "data.safetensors", "meta.json"


@dataclass(frozen=True)
class Artefact:
    """Arrays (read-only, memory-mapped) and JSON-able facts of one finished stage.

    An array named "group/name" is kept in group.safetensors, all others in data.safetensors.
    """

    arrays: Mapping[str, NDArray[Any]]
    meta: Mapping[str, Any]
    path: Path


@dataclass(frozen=True)
class Store:
    """A folder `root/<stage>/<first two digits>/<key>/` with arrays in safetensors files and facts in meta.json."""

    root: Path
    _verified: set[str] = field(default_factory=set, repr=False, compare=False)

    def folder(self, stage: str, key: str) -> Path:
        """Return where the artefact of `key` is or will be."""
        return self.root / stage / key[:2] / key

    def has(self, stage: str, key: str) -> bool:
        """Tell whether a complete artefact is there (its content is checked when it is read)."""
        return (self.folder(stage, key) / META).is_file()

    def meta(self, stage: str, key: str) -> dict[str, Any] | None:
        """Return the facts of an artefact, or None when there is none."""
        try:
            text = (self.folder(stage, key) / META).read_text(encoding="utf-8")
            return dict(json.loads(text))
        except FileNotFoundError:
            return None
        except ValueError:
            self.discard(stage, key)
            return None
        except OSError as error:
            raise _store_error(self.root, error) from error

    def read(self, stage: str, key: str) -> Artefact | None:
        """Return an artefact, or None when there is none or it is damaged (which removes it)."""
        meta = self.meta(stage, key)
        if meta is None:
            return None
        folder = self.folder(stage, key)
        try:
            arrays = self._open(folder, meta)
        except (CorruptArtefact, FileNotFoundError):
            self.discard(stage, key)
            return None
        return Artefact(arrays, meta, folder)

    def _open(self, folder: Path, meta: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {}
        for name, expected in meta.get("digests", {}).items():
            file = folder / name
            if str(file) not in self._verified:
                if file_digest(file) != expected:
                    raise CorruptArtefact(f"{file} does not match its digest", "it is removed and computed again")
                self._verified.add(str(file))
            prefix = "" if name == DATA else f"{file.stem}/"
            arrays |= {prefix + title: array for title, array in map_safetensors(file).items()}
        return arrays

    def publish(self, stage: str, key: str, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
        """Write an artefact to a temporary folder, flush it to disk and rename it into place.

        Raises StoreError when the folder cannot be written (read-only, full, no permission).
        """
        target = self.folder(stage, key)
        scratch = self.root / "tmp" / f"{key}-{uuid.uuid4().hex}"
        facts = dict(meta)
        try:
            scratch.mkdir(parents=True)
            files: dict[str, dict[str, NDArray[Any]]] = {}
            for name, array in arrays.items():
                group, _, title = name.rpartition("/")
                files.setdefault(f"{group}.safetensors" if group else DATA, {})[title] = array
            for name, group_arrays in files.items():
                _write_arrays(scratch / name, group_arrays)
            facts["digests"] = {name: file_digest(scratch / name) for name in files}
            _write_text(scratch / META, json.dumps(facts, sort_keys=True, allow_nan=False))
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                shutil.rmtree(target)
            scratch.rename(target)
            _flush_folder(target.parent)
        except OSError as error:
            shutil.rmtree(scratch, ignore_errors=True)
            raise _store_error(self.root, error) from error

    def discard(self, stage: str, key: str) -> None:
        """Remove an artefact if it is there."""
        shutil.rmtree(self.folder(stage, key), ignore_errors=True)

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold the lock of `key`; the operating system frees it when the holder dies."""
        from filelock import FileLock

        folder = self.root / "locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(str(folder / f"{key}.lock"))
            lock.acquire()
        except OSError as error:
            raise _store_error(self.root, error) from error
        try:
            yield
        finally:
            lock.release()

    def check_writable(self) -> None:
        """Raise StoreError now rather than after an hour of work when nothing can be written here."""
        probe = self.root / "tmp" / f"probe-{uuid.uuid4().hex}"
        try:
            probe.parent.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"\0" * 65536)
            probe.unlink()
        except OSError as error:
            raise _store_error(self.root, error) from error

    def clear_scratch(self) -> None:
        """Remove what interrupted writers left behind more than an hour ago."""
        import time

        for folder in (self.root / "tmp").glob("*"):
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > 3600:
                    shutil.rmtree(folder, ignore_errors=True)


def file_digest(path: Path) -> str:
    """Return the blake2b-128 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def map_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """Map the arrays of a safetensors file read-only, without copying them into memory.

    Raises CorruptArtefact when the header cannot be read.
    """
    import numpy as np

    types = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "|u1", "BOOL": "|b1"}
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        arrays: dict[str, NDArray[Any]] = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            dtype, shape = np.dtype(types[entry["dtype"]]), tuple(entry["shape"])
            begin = 8 + length + entry["data_offsets"][0]
            if 0 in shape:
                arrays[name] = np.zeros(shape, dtype)
            else:
                arrays[name] = np.memmap(path, dtype=dtype, mode="r", offset=begin, shape=shape or (1,)).reshape(shape)
        return arrays
    except (ValueError, KeyError) as error:
        raise CorruptArtefact(f"{path} is not a readable safetensors file: {error}", "remove it") from error


def default_cache() -> Path:
    """Return PRUNEBENCH_CACHE, or the user's cache folder."""
    if chosen := os.environ.get("PRUNEBENCH_CACHE"):
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("prunebench"))


def _write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    import numpy as np
    from safetensors.numpy import save

    # Not ascontiguousarray: it would turn a scalar, such as a counter of batches, into a vector.
    data = save({name: np.asarray(array, order="C") for name, array in arrays.items()})
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _store_error(root: Path, error: OSError) -> StoreError:
    reasons = {
        errno.ENOSPC: ("the disk is full", "free some space"),
        errno.EDQUOT: ("the disk quota is used up", "free some space"),
        errno.EROFS: ("the file system is read-only", "name a folder that can be written"),
        errno.EACCES: ("permission denied", "name a folder that you may write"),
        errno.EPERM: ("permission denied", "name a folder that you may write"),
        errno.ENOTDIR: ("a part of the path is a file", "name a folder"),
    }
    reason, hint = reasons.get(error.errno or 0, (str(error), "check the folder"))
    return StoreError(f"cache folder {root}: {reason}", f"{hint}, or set another with --cache DIR or PRUNEBENCH_CACHE")
