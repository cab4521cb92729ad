"""The pictures below a folder: listed, not decoded, with what was left out and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prunebench.pictures.names import is_hidden, printable
from prunebench.pictures.signatures import HEAD_BYTES, PICTURE_ENDINGS, RAW_ENDINGS, format_of

_Identity = tuple[int, int]  # device and number of a folder
MAX_LINKS = 8  # folders reached by links alone: crossing links could be followed without end
REASONS = {
    "hidden": "hidden or of the system",
    "not-an-image": "no pictures",
    "link-loop": "links to a folder around them",
    "broken-link": "links to nothing",
    "too-many-links": f"behind more than {MAX_LINKS} links",
}


@dataclass(frozen=True)
class Unread:
    """A file or folder that cannot be read: its name relative to the root, a code, and the reason in words."""

    name: str
    code: str
    reason: str


@dataclass(frozen=True)
class Found:
    """What a folder holds.  names: relative POSIX paths of pictures, sorted by their bytes; a name that is no UTF-8 has
    surrogates, as `os.fsdecode` gives.  folders: those that were listed.  unread: what looks like a picture and cannot
    be one.  left_out: how many files and folders were left out, by reason (a key of REASONS)."""

    names: tuple[str, ...]
    folders: tuple[str, ...]
    unread: tuple[Unread, ...]
    left_out: Mapping[str, int]

    def sentences(self) -> tuple[str, ...]:
        """Return what was left out in words."""
        return tuple(f"files or folders left out, {REASONS[why]}: {count:,}" for why, count in self.left_out.items())


def find_pictures(root: Path, progress: Callable[[float, str], None] | None = None) -> Found:
    """Return the pictures below a folder, in all its sub-folders; links are followed.

    A file is a picture by its ending, and by its first bytes where the ending is no picture's.  No file with a known
    ending is opened, and none is decoded.  Hidden files, those of the system, links around themselves and what is no
    picture are counted."""
    walk = _Walk(os.fspath(root), [], [], [], Counter())
    for listed, _ in enumerate(walk.folders_below()):
        if progress is not None and listed % 64 == 0:
            progress(0.0, f"looking for pictures: {len(walk.names):,} so far")
    names = sorted(walk.names, key=os.fsencode)
    folders = sorted(walk.folders, key=os.fsencode)
    unread = sorted(walk.unread, key=lambda one: os.fsencode(one.name))
    return Found(tuple(names), tuple(folders), tuple(unread), dict(sorted(walk.left_out.items())))


@dataclass
class _Walk:
    root: str
    names: list[str]
    folders: list[str]
    unread: list[Unread]
    left_out: Counter[str]

    def folders_below(self) -> Iterator[str]:
        """List one folder after the other, and yield the name of each when it is done."""
        waiting: list[tuple[str, tuple[_Identity, ...], int]] = [("", (_identity(self.root),), 0)]
        while waiting:
            name, around, links = waiting.pop()
            try:
                with os.scandir(os.path.join(self.root, name)) as entries:  # noqa: PTH118 - a Path for each is slow
                    for entry in entries:
                        inner = f"{name}/{entry.name}" if name else entry.name
                        try:
                            if _ending(entry.name) in PICTURE_ENDINGS and entry.name[0] != "." and entry.is_file():
                                self.names.append(inner)  # nearly all of them
                            elif (down := self._folder(entry, inner, around, links)) is not None:
                                waiting.append((inner, *down))
                        except OSError as error:  # a link that leads in a circle, a folder that may not be entered
                            self._cannot(inner, error)
            except OSError as error:
                self._cannot(name, error)
                continue
            self.folders.append(name)
            yield name

    def _folder(
        self, entry: os.DirEntry[str], name: str, around: tuple[_Identity, ...], links: int
    ) -> tuple[tuple[_Identity, ...], int] | None:
        """Return the folders around a folder and the links to it; None for what is not to be entered."""
        if is_hidden(entry.name):
            self.left_out["hidden"] += 1
        elif not entry.is_dir():
            self._file(entry, name)
        else:
            identity, links = _identity(entry.path), links + entry.is_symlink()
            if identity not in around and links <= MAX_LINKS:
                return (*around, identity), links
            self.left_out["link-loop" if identity in around else "too-many-links"] += 1
        return None

    def _file(self, entry: os.DirEntry[str], name: str) -> None:
        ending = _ending(entry.name)
        if not entry.is_file():
            if ending in PICTURE_ENDINGS:
                link = entry.is_symlink()
                code, reason = ("broken-link", "a link to nothing") if link else ("not-a-file", "not a regular file")
                self.unread.append(Unread(name, code, reason))
            else:
                broken = entry.is_symlink() and not os.path.exists(entry.path)  # noqa: PTH110
                self.left_out["broken-link" if broken else "not-an-image"] += 1
        elif ending in RAW_ENDINGS:
            reason = f"raw photographs ({ending}) are not decoded: export it as JPEG, TIFF or PNG"
            self.unread.append(Unread(name, "unsupported-format", reason))
        elif _begins_like_a_picture(entry.path):
            self.names.append(name)
        else:
            self.left_out["not-an-image"] += 1

    def _cannot(self, name: str, error: OSError) -> None:
        code = "no-permission" if isinstance(error, PermissionError) else "unreadable"
        self.unread.append(Unread(name, code, f"it cannot be read: {error.strerror or printable(str(error))}"))


def _ending(name: str) -> str:
    return name[name.rfind(".") :].lower()


def _identity(path: str) -> _Identity:
    found = os.stat(path)  # noqa: PTH116
    return found.st_dev, found.st_ino


def _begins_like_a_picture(path: str) -> bool:
    with open(path, "rb") as file:  # noqa: PTH123
        return bool(format_of(file.read(HEAD_BYTES)))
