"""Pictures in files, and in tar files by their offset; their digests are remembered from one run to the next."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunebench.pictures import Unreadable, decode
from prunebench.pictures.decoding import MAX_BYTES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_RECORD_WORDS = 5  # of 8 bytes: two of the key, two of the digest, and a checksum
_FACTORS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5)


def content_digest(*parts: bytes) -> str:
    """Return the blake2b-128 of the encoded bytes of a picture, 32 hexadecimal digits."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        state.update(part)
    return state.hexdigest()


class DigestMemory:
    """A file of keys and digests that only grows, 40 bytes a pair with a checksum; pairs that are damaged are ignored.
    Several processes may append to it.  A file that cannot be read or written costs time, never the run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._new: dict[str, str] = {}

    def __reduce__(self) -> tuple[type[DigestMemory], tuple[Path]]:
        return DigestMemory, (self.path,)  # a process that unpickles it reads the file itself

    @cached_property
    def _known(self) -> NDArray[np.uint64]:
        """The intact records [n, 5], sorted by the first word of their keys."""
        import numpy as np

        try:
            content = self.path.read_bytes()
        except OSError:
            content = b""
        whole = len(content) // (8 * _RECORD_WORDS) * 8 * _RECORD_WORDS
        records = np.frombuffer(content[:whole], dtype="<u8").reshape(-1, _RECORD_WORDS)
        records = records[_checksums(records[:, :4]) == records[:, 4]]
        return np.asarray(records[np.argsort(records[:, 0], kind="stable")])

    def get(self, key: str) -> str | None:
        """Return the digest of a key (32 hexadecimal digits), None where it was never put."""
        import numpy as np

        if key in self._new:
            return self._new[key]
        first, second = np.frombuffer(bytes.fromhex(key), dtype="<u8")
        start, end = (np.searchsorted(self._known[:, 0], first, side=side) for side in ("left", "right"))
        for record in self._known[start:end]:
            if record[1] == second:
                return bytes(record[2:4].tobytes()).hex()
        return None

    def put(self, key: str, digest: str) -> None:
        """Remember the digest of a key."""
        import numpy as np

        self._new[key] = digest
        words = np.frombuffer(bytes.fromhex(key + digest), dtype="<u8").reshape(1, 4)
        record = words.tobytes() + _checksums(words).astype("<u8").tobytes()
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                os.write(file, record)
            finally:
                os.close(file)


def _checksums(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    import numpy as np

    mixed = words * np.array(_FACTORS, dtype=np.uint64)
    mixed ^= mixed >> np.uint64(29)
    return np.asarray(mixed.sum(axis=1, dtype=np.uint64) + np.uint64(1))


@dataclass(frozen=True)
class PictureFiles:
    """Pictures that are files of their own or lie in tar files.

    root: a folder.  names: their files, relative to it or absolute.  offsets, lengths: where they lie in these files,
    int64 [n], or None for whole files.  memory: the file that remembers digests, or None."""

    root: str
    names: Sequence[str]
    offsets: NDArray[np.int64] | None = None
    lengths: NDArray[np.int64] | None = None
    memory: DigestMemory | None = None

    def __len__(self) -> int:
        return len(self.names)

    def encoded(self, index: int) -> bytes:
        """Return the bytes of a picture as they are stored; raises Unreadable."""
        offset, length = self._place(index)
        try:
            with open(self._path(index), "rb") as file:  # noqa: PTH123 - a Path costs more than the reading
                size = os.fstat(file.fileno()).st_size if length is None else length
                if size > MAX_BYTES:
                    raise Unreadable("too-many-bytes", f"it has {size:,} bytes, and at most {MAX_BYTES:,} are decoded")
                file.seek(offset)
                return file.read(size)
        except OSError as error:
            raise _unreadable(error) from error

    def picture(self, index: int) -> Image:
        """Return a picture as RGB, upright, at its own size; raises Unreadable, a ValueError with a `code`."""
        return decode(self.encoded(index))

    def digest(self, index: int) -> str:
        """Return the blake2b-128 of the encoded bytes, 32 hexadecimal digits; raises Unreadable.
        A file is not read again while its size, times and inode are those of the last reading."""
        if self.memory is None:
            return content_digest(self.encoded(index))
        path = self._path(index)
        try:
            found = os.stat(path)  # noqa: PTH116
        except OSError as error:
            raise _unreadable(error) from error
        state = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, *self._place(index))
        key = content_digest(os.fsencode(os.path.abspath(path)), repr(state).encode())  # noqa: PTH100
        if (digest := self.memory.get(key)) is None:
            digest = content_digest(self.encoded(index))
            self.memory.put(key, digest)
        return digest

    def locator(self, index: int) -> Mapping[str, Any]:
        """Return {"path"}, with "offset" and "length" in bytes inside a tar file; bytes of the path that are no UTF-8
        are surrogates, as `os.fsdecode` gives."""
        offset, length = self._place(index)
        place = {"path": os.path.abspath(self._path(index))}  # noqa: PTH100
        return place if length is None else {**place, "offset": offset, "length": length}

    def _path(self, index: int) -> str:
        return os.path.join(self.root, self.names[index])  # noqa: PTH118

    def _place(self, index: int) -> tuple[int, int | None]:
        if self.offsets is None or self.lengths is None:
            return 0, None
        return int(self.offsets[index]), int(self.lengths[index])


def memory_below(cache: Path | None, root: str) -> DigestMemory | None:
    """Return the memory of the digests of a folder or file, in a file below the cache folder."""
    if cache is None:
        return None
    name = content_digest(os.fsencode(os.path.realpath(root)))
    return DigestMemory(Path(cache) / "digests" / f"{name}.bin")


def _unreadable(error: OSError) -> Unreadable:
    if isinstance(error, FileNotFoundError):
        return Unreadable("missing-file", "the file is gone")
    if isinstance(error, PermissionError):
        return Unreadable("no-permission", "the file may not be read: permission denied")
    return Unreadable("unreadable", f"the file cannot be read: {error.strerror}")
