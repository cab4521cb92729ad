"""What files and folders are called: printable ids for any name, and which folders are splits rather than classes."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from prunebench.errors import DataError
from prunebench.guard import FORMULA

_ROLES = {
    "train": ("train", "training", "trainval", "trn"),
    "validation": ("val", "valid", "validation", "dev", "devel", "development", "eval", "evaluation"),
    "test": ("test", "testing", "tst", "holdout", "heldout"),
}
_ROLE_OF = {word: role for role, words in _ROLES.items() for word in words}
# "train2017", "training_set", "test-images", "photos_val"; not "train station", which is a class.
_FILLERS = {"", "set", "data", "dataset", "image", "images", "img", "imgs", "photos", "pictures", "split", "x"}
UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
SYSTEM_NAMES = {
    "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "$recycle.bin",
    "system volume information", "lost+found", "__pycache__",
}  # fmt: skip


def printable(name: str, *, backslashes: bool = False) -> str:
    """Return a name that every file, terminal and spreadsheet can hold: bytes that are no UTF-8, control characters and
    the first character of a formula become \\xNN.  backslashes: double those of the name, so that two names never
    become one."""
    if not name.isascii():  # where the locale is not UTF-8, the names of files come as surrogates
        with contextlib.suppress(UnicodeEncodeError):  # half of a pair of UTF-16
            name = name.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    if backslashes:
        name = name.replace("\\", "\\\\")
    return UNPRINTABLE.sub(_escaped, FORMULA.sub(_escaped, name))


def _escaped(match: re.Match[str]) -> str:
    try:
        return "".join(f"\\x{byte:02x}" for byte in match[0].encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:  # half of a pair of UTF-16, which no bytes stand for
        return f"\\u{ord(match[0]):04x}"


def printable_ids(names: Iterable[str]) -> tuple[str, ...]:
    """Return distinct names as distinct printable ids, in their order; POSIX paths stay as they are."""
    given = list(names)
    ids = tuple(map(printable, given))
    return ids if len(set(ids)) == len(ids) else tuple(printable(name, backslashes=True) for name in given)


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder belongs to the system rather than the user: .DS_Store, ._photo.jpg, __MACOSX."""
    return name[0] == "." or name.lower() in SYSTEM_NAMES


def split_of(name: str) -> str:
    """Return "train", "validation" or "test" for the name of such a folder in any case, and "" for any other."""
    words = _words(name)
    roles = {_ROLE_OF[word] for word in words if word in _ROLE_OF}
    return roles.pop() if len(roles) == 1 and all(word in _ROLE_OF or word in _FILLERS for word in words) else ""


def _words(name: str) -> list[str]:
    return re.split("[^a-z]+", name.lower())


def same_split(name: str, asked: str) -> bool:
    """Tell whether a folder or file is the split that was asked for: by its name in any case, or by what it means."""
    return name.lower() == asked.lower() or (bool(split_of(asked)) and split_of(name) == split_of(asked))


def splits_among(root: Path) -> tuple[str, ...]:
    """Return which sub-folders of a folder are splits, sorted; none where they are classes.
    They are splits where all are named so, or where one named so for training holds classes and another is named so
    beside it.  Raises DataError where that cannot be told: folders that hold the same classes beside a train-like one.
    """
    names = visible_folders(root)
    if not any(word in _ROLE_OF for name in names for word in _words(name)):
        return ()
    named = tuple(name for name in names if split_of(name))
    if len(named) == len(names):
        return named
    classes = {name: set(visible_folders(root / name)) for name in names}
    training = [name for name in names if split_of(name) == "train" and classes[name]]
    if training and len(named) > 1:
        return named
    roles = {split_of(name) for name in named}
    if "train" in roles and len(roles) > 1:
        rest = ", ".join(printable(name) for name in names if name not in named)
        text = f"{printable(str(root))}: the folders {', '.join(map(printable, named))} look like splits, not classes"
        hint = "name the split to read, such as train; '.' says that they are classes"
        raise DataError(f"{text}, and {rest} beside them do not", hint)
    like = training or [name for name in names if classes[name] and set(_words(name)) & set(_ROLE_OF)]
    for name in like:
        if other := _sibling(name, classes):
            both = f"{printable(name)} and {printable(other)}"
            text = f"{printable(str(root))}: the folders {both} look like splits, not classes"
            shared = ", ".join(sorted(map(printable, classes[name]))[:3])
            hint = "name the split to read, such as train; '.' says that they are classes"
            raise DataError(f"{text}: {printable(name)} holds folders of its own ({shared})", hint)
    return ()


def _sibling(name: str, classes: Mapping[str, set[str]]) -> str:
    others = [other for other in classes if other != name]
    same = [other for other in others if classes[other] & classes[name]]
    return next(iter(same or (others if split_of(name) else [])), "")


def chosen_split(names: Sequence[str], asked: str | None, where: str) -> str:
    """Return the split to read among several: the one asked for, or the only one for training.
    Raises DataError where none or several fit."""
    fitting = [name for name in names if (same_split(name, asked) if asked else split_of(name) == "train")]
    fitting = [name for name in fitting if name == asked] or fitting
    if len(fitting) == 1:
        return fitting[0]
    found = ", ".join(map(printable, names[:8])) or "no folders"
    what = f"no split {asked!r}" if asked else "no split that is for training"
    if fitting:
        what = f"several that may be the split {asked or 'for training'!r}"
    raise DataError(f"{where} has {what} among {found}", "name the one to read as the split")


def check_no_split_in_classes(root: Path, names: Iterable[str]) -> None:
    """Raise DataError for splits inside of classes, such as cat/train and cat/test.
    names: of the pictures below the folder that holds the classes, relative to it."""
    inner = {tuple(parts[:2]) for name in names if name.count("/") > 1 and len(parts := name.split("/")) > 2}
    roles = {split_of(second) for _, second in inner}
    if "" not in roles and len(roles) > 1:
        first, second = (printable(name) for name in min(inner))
        text = f"{printable(str(root))}: class folders hold splits, such as {first}/{second}"
        raise DataError(text, "put the splits around the classes: train/cat rather than cat/train")


def visible_folders(root: Path) -> tuple[str, ...]:
    """Return the names of the sub-folders that are not hidden, sorted by their bytes; links are followed.
    Raises DataError where `root` cannot be listed."""
    try:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if not is_hidden(entry.name) and _is_folder(entry)]
    except OSError as error:
        raise DataError(f"{printable(str(root))} cannot be listed: {error.strerror}", "check the folder") from error
    return tuple(sorted(names, key=os.fsencode))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False
