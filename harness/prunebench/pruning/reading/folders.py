"""Folders of pictures: a sub-folder for each class, or flat with a csv file of labels, or without labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunebench.errors import DataError
from prunebench.pictures import (
    Found,
    check_no_split_in_classes,
    chosen_split,
    find_pictures,
    printable,
    printable_ids,
    splits_among,
    visible_folders,
)
from prunebench.pictures.names import same_split
from prunebench.pictures.signatures import PACKED_ENDINGS, PICTURE_ENDINGS
from prunebench.pruning.reading.label_files import encode, labelled, read_labels
from prunebench.pruning.reading.options import Options
from prunebench.pruning.reading.picture_files import PictureFiles, memory_below
from prunebench.pruning.source import Skipped, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LABEL_FILE = "labels.csv"


@dataclass(frozen=True)
class _Place:
    """Where the samples are: `base`, a folder relative to the root ("" is the root), and what was decided."""

    base: str
    notes: tuple[str, ...] = ()


def read_folder(root: Path, options: Options) -> Source:
    """Read a folder of pictures; ids are POSIX paths relative to it, and the order is that of their bytes.

    Sub-folders are the classes; pictures beside them are skipped.  A folder without sub-folders, or with labels, is
    flat: labels come from a csv file (labels.csv in it, or the one that is given).  Folders named as splits are splits,
    of which one is read.  Raises DataError where it holds no pictures, or where classes and splits cannot be told."""
    options.without_ids(printable(str(root)))
    place = _place(root, options.split, classes=options.labels is None)
    found = find_pictures(root / place.base, options.progress)
    found = _below(found, place.base)
    if not found.names and not found.unread:
        raise DataError(
            f"{printable(str(root / place.base))} has no pictures", _what_there_is(root / place.base, found)
        )
    skipped = [Skipped(id=printable(one.name), code=one.code, reason=one.reason) for one in found.unread]
    notes = [*place.notes, *found.sentences()]
    if options.labels is not None:
        return _flat(root, found, options.labels, skipped, notes, options)
    classes, own = _class_folders(found, place.base), root / place.base / LABEL_FILE
    if own.is_file():
        try:
            return _flat(root, found, own, [*skipped], [*notes], options)
        except DataError as error:  # it may be about something else, such as the names of the classes
            if not classes:
                raise
            notes.append(f"{LABEL_FILE} was not used: {error.message.removeprefix(printable(str(own)) + ': ')}")
    if classes:
        return _by_class(root, place, found, classes, skipped, notes, options)
    return _flat(root, found, None, skipped, notes, options)


def _place(root: Path, split: str | None, *, classes: bool) -> _Place:
    """Return the folder to read: that of a split, or the only folder in a folder."""
    if split == ".":
        return _Place("")
    base = ""
    for _ in range(4):  # an archive often unpacks to a folder in a folder
        here = root / base
        folders = visible_folders(here)
        if splits := _splits(here, folders, split):
            name = chosen_split(splits, split, printable(str(here)))
            others = ", ".join(printable(other) for other in folders if other != name)
            note = f"read the folder {printable(name)}" + (f"; {others} beside it is not read" if others else "")
            return _Place(f"{base}{name}/", (note,))
        if len(folders) != 1 or not visible_folders(here / folders[0]) or not classes or holds_pictures(here):
            break
        base += f"{folders[0]}/"
    if split is not None:
        chosen_split(visible_folders(root), split, printable(str(root)))  # raises: there is none
    return _Place(base, (f"read the folder {printable(base)} inside it",) if base else ())


def _splits(here: Path, folders: Sequence[str], split: str | None) -> Sequence[str]:
    if split is None:
        return splits_among(here)
    return folders if any(same_split(name, split) for name in folders) else ()


def holds_pictures(folder: Path) -> bool:
    """Tell whether a folder itself has files with the ending of a picture."""
    with os.scandir(folder) as entries:
        return any(os.path.splitext(entry.name)[1].lower() in PICTURE_ENDINGS for entry in entries)  # noqa: PTH122


def _below(found: Found, base: str) -> Found:
    """Return what was found with names that begin at the root."""
    return replace(
        found,
        names=tuple(base + name for name in found.names),
        folders=tuple(base + name for name in found.folders),
        unread=tuple(replace(one, name=base + one.name) for one in found.unread),
    )


def _what_there_is(folder: Path, found: Found) -> str:
    if packed := sorted(name for name in os.listdir(folder) if name.lower().endswith(PACKED_ENDINGS)):  # noqa: PTH208
        return f"unpack {printable(packed[0])} and files like it"
    files = found.left_out.get("not-an-image", 0)
    return f"it has {files:,} other files: name a folder of pictures, a feature file or tar shards"


def _class_folders(found: Found, base: str) -> tuple[str, ...]:
    """Return the names of the folders that are classes, with pictures or without; none where the folder is flat."""
    inner = {name[len(base) :].split("/")[0] for name in found.folders if len(name) > len(base)}
    beside = sum("/" not in name[len(base) :] for name in found.names)
    full = {name[len(base) :].split("/")[0] for name in found.names if "/" in name[len(base) :]}
    if beside and len(full) < 2:  # pictures with one folder beside them, such as one of thumbnails
        return ()
    return tuple(sorted(inner, key=os.fsencode))


def _by_class(
    root: Path, place: _Place, found: Found, classes: Sequence[str], skipped: list[Skipped], notes: list[str],
    options: Options,
) -> Source:  # fmt: skip
    import numpy as np

    start = len(place.base)
    check_no_split_in_classes(root / place.base, [name[start:] for name in found.names])
    names, of = [], []
    for name in found.names:
        label, slash, _ = name[start:].partition("/")
        if slash:
            names.append(name)
            of.append(label)
        else:
            reason = "it lies beside the class folders, in none of them"
            skipped.append(Skipped(id=printable(name), code="no-class", reason=reason))
    present = set(of)
    if empty := [name for name in classes if name not in present]:
        listed = ", ".join(map(printable, empty[:5]))
        notes.append(f"class folders left out, without pictures: {len(empty)} ({listed})")
    kept = [name for name in classes if name in present]
    number = {name: position for position, name in enumerate(kept)}
    labels = np.fromiter((number[name] for name in of), dtype=np.int64, count=len(of))
    return _source(root, names, labels, printable_ids(kept), skipped, notes, options)


def _flat(
    root: Path, found: Found, labels: object, skipped: list[Skipped], notes: list[str], options: Options
) -> Source:
    names = list(found.names)
    if labels is None:
        return _source(root, names, None, (), skipped, notes, options)
    rows, numbers, classes = match_labels(names, labels, printable(str(root)), skipped, notes)
    return _source(root, [names[row] for row in rows], numbers, classes, skipped, notes, options)


def match_labels(
    names: Sequence[str], labels: Any, where: str, skipped: list[Skipped], notes: list[str]
) -> tuple[list[int], NDArray[np.int64], tuple[str, ...]]:
    """Return the rows that have a label, their labels int64 and the class names; adds to `skipped` and `notes`.
    labels: a csv file of ids and labels, or one label for each name in their order."""
    if not isinstance(labels, Path):
        numbers, classes = encode(labels, "labels")
        if len(numbers) != len(names):
            text = f"{len(numbers):,} labels for the {len(names):,} pictures of {where}"
            raise DataError(text, "give one label for each picture in the order of their paths, or a csv file")
        return list(range(len(names))), numbers, classes
    file = read_labels(labels)
    if any(not name for name, _ in file.rows):
        text = f"{printable(str(file.path))} has rows without the name of a picture"
        raise DataError(text, f"give columns id and label; ids are paths below {where}, or file names")
    of, faults, more = labelled(names, file)
    rows = sorted(of)
    numbers, classes = encode([of[row] for row in rows], file.path.name)
    skipped += faults
    notes += [f"labels come from {printable(file.path.name)}", *more]
    return rows, numbers, classes


def _source(
    root: Path, names: Sequence[str], labels: object, classes: Sequence[str], skipped: list[Skipped], notes: list[str],
    options: Options,
) -> Source:  # fmt: skip
    pictures = PictureFiles(str(root), tuple(names), memory=memory_below(options.cache, str(root)))
    return Source(
        title=printable(root.resolve().name), ids=printable_ids(names), labels=labels, class_names=tuple(classes),  # type: ignore[arg-type]
        pictures=pictures, skipped=tuple(skipped), notes=tuple(notes),
        settings={"kind": "image folder", **options.settings()},
    )  # fmt: skip
