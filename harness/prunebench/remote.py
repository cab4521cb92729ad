"""Object stores (s3://, gs://, file://, whatever fsspec opens) behind local working copies.

The local folder is what is read, mapped into memory and locked; what it lacks is fetched, and what is published there
is sent.  An object is written whole, and what names other objects by their digests is written after them, so that half
of something is never read as all of it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import platformdirs

from prunebench.errors import StoreError
from prunebench.guard import MAX_BYTES

T = TypeVar("T")
FOLDER, LINK = "remote", ".remote"  # of the working copies below a cache; the file in one that names its URL
_TRIES = 4
_FIRST_PAUSE_SECONDS = 0.25  # doubled after each failure
_LISTING_SECONDS = 60.0  # for which a list of names is believed
_REFUSED = (FileNotFoundError, PermissionError, IsADirectoryError, ImportError)  # trying again changes nothing


def is_url(place: str) -> bool:
    """Tell whether a place is that of another file system, such as s3://bucket/folder."""
    return re.match(r"[a-z][a-z0-9+.-]+://", place) is not None


def working_copy(place: str | os.PathLike[str]) -> Path:
    """Return a local folder as it is, and for a URL its working copy: below PRUNEBENCH_CACHE where that is a folder,
    else below the user's cache.  Raises StoreError where that cannot be written."""
    text = os.fspath(place)
    if not is_url(text):
        return Path(text)
    url, base = text.rstrip("/"), os.environ.get("PRUNEBENCH_CACHE", "")
    below = Path(platformdirs.user_cache_dir("prunebench") if not base or is_url(base) else base).expanduser()
    folder = below.absolute() / FOLDER / _name(url)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / LINK).exists():
            (folder / LINK).write_text(url, encoding="utf-8")
    except OSError as error:
        hint = "name a folder for working copies that can be written with PRUNEBENCH_CACHE"
        raise StoreError(f"the working copy {folder} of {url}: {error.strerror}", hint) from error
    return folder


def remote_of(folder: Path) -> Remote | None:
    """Return what is behind a working copy, None for any other folder, whatever somebody has put into it."""
    if folder.parent.name != FOLDER:
        return None
    with contextlib.suppress(OSError, UnicodeDecodeError):
        url = (folder / LINK).read_text(encoding="utf-8")
        if folder.name == _name(url):
            return Remote(url)
    return None


def fetched(root: Path, name: str) -> bool:
    """Fetch a file or folder into a working copy, and return whether there is one; other folders have nothing behind
    them."""
    remote = remote_of(root)
    return remote is not None and remote.fetch(Path(name).as_posix(), root / name)


def _name(url: str) -> str:
    readable = re.sub(r"[^a-zA-Z0-9]+", "-", url)[:60].strip("-")
    return f"{readable}-{hashlib.blake2b(url.encode(), digest_size=8).hexdigest()}"


@dataclass(frozen=True)
class Remote:
    """A folder of another file system.  names: of objects, relative to the folder.  What fails is tried again, and
    raises StoreError in the end."""

    url: str
    _listed: dict[str, tuple[float, frozenset[str]]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        try:
            from fsspec.core import url_to_fs

            file_system, root = url_to_fs(self.url, use_listings_cache=False)
            return file_system, str(root).rstrip("/")
        except (ImportError, ValueError) as error:
            hint = "install what opens it, such as `pip install 'prunebench[s3]'` for s3://, or gcsfs for gs://"
            raise StoreError(f"{self.url} cannot be opened: {error}", hint) from error

    def read(self, name: str, most: int = MAX_BYTES) -> bytes | None:
        """Return the content of an object, None where there is none; raises StoreError for one of more bytes than
        `most`, of which none is read."""
        files, root = self._opened
        with contextlib.suppress(FileNotFoundError):
            if (size := self._tried(lambda: int(files.info(f"{root}/{name}")["size"]))) > most:
                raise StoreError(f"{self.url}/{name} has {size:,} bytes, more than {most:,}", "restore the object")
            return bytes(self._tried(lambda: files.cat_file(f"{root}/{name}")))
        return None

    def write(self, name: str, content: bytes) -> None:
        """Write an object whole or not at all."""
        files, root = self._opened
        if "file" not in _protocols(files):
            self._tried(lambda: files.pipe_file(f"{root}/{name}", content))
            return
        scratch = f"{root}/{name}.{uuid.uuid4().hex}.part"  # an object store shows no half of an object; a folder does
        self._tried(lambda: files.makedirs(os.path.dirname(scratch), exist_ok=True))  # noqa: PTH120
        self._tried(lambda: files.pipe_file(scratch, content))
        self._tried(lambda: os.replace(scratch, f"{root}/{name}"))  # noqa: PTH105

    def send(self, source: Path, name: str) -> None:
        """Write a file to an object, whole or not at all."""
        files, root = self._opened
        if "file" in _protocols(files):
            self.write(name, source.read_bytes())
        else:
            self._tried(lambda: files.put_file(str(source), f"{root}/{name}"))

    def fetch(self, name: str, target: Path) -> bool:
        """Write an object, or all objects below a name, to a file or folder, and return whether there was one.  It is
        there as a whole or not at all."""
        found = [one for one in self.names(name, 0.0) if one == name or one.startswith(f"{name}/")]
        scratch = target.with_name(f".{uuid.uuid4().hex}.part")
        for one in found:
            place = scratch / one.removeprefix(name).lstrip("/") if one != name else scratch
            if ".." in place.parts:
                raise StoreError(f"{self.url}/{one} has a name that leaves the folder", "rename the object")
            place.parent.mkdir(parents=True, exist_ok=True)
            self.fetch_object(one, place)
        if found:
            with contextlib.suppress(FileExistsError, NotADirectoryError):
                scratch.rename(target)
        return bool(found)

    def fetch_object(self, name: str, target: Path) -> None:
        """Write an object to a file, which has its size; raises FileNotFoundError where there is none."""
        files, root = self._opened

        def fetch() -> None:
            size = files.info(f"{root}/{name}")["size"]
            files.get_file(f"{root}/{name}", str(target))
            if target.stat().st_size != size:
                raise ConnectionError(f"{target.stat().st_size} of {size} bytes came")

        self._tried(fetch)

    def names(self, below: str = "", seconds: float = _LISTING_SECONDS) -> frozenset[str]:
        """Return the names of the objects below a name; a list that is not older than so many seconds is believed."""
        files, root = self._opened
        when, known = self._listed.get(below, (-_LISTING_SECONDS, frozenset[str]()))
        if time.monotonic() - when < seconds:
            return known
        with contextlib.suppress(FileNotFoundError):
            found = self._tried(lambda: files.find(f"{root}/{below}".rstrip("/")))
            start = len(root.lstrip("/")) + 1
            known = frozenset(str(one).lstrip("/")[start:] for one in found if not str(one).endswith(".part"))
        self._listed[below] = (time.monotonic(), known)
        return known

    def _tried(self, call: Callable[[], T]) -> T:
        for attempt in range(_TRIES):
            try:
                return call()
            except _REFUSED as error:
                if isinstance(error, FileNotFoundError):
                    raise
                raise StoreError(f"{self.url}: {error}", "check the address and the credentials") from error
            except Exception as error:  # each file system has its own kinds of a lost connection
                if attempt == _TRIES - 1:
                    hint = "check the connection, then run the same command again: what is done is kept"
                    raise StoreError(f"{self.url}: {type(error).__name__}: {error}", hint) from error
                time.sleep(_FIRST_PAUSE_SECONDS * 2**attempt)
        raise AssertionError("unreachable")


def _protocols(files: Any) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)
