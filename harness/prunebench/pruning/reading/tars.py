"""WebDataset tar shards: an index of pictures by their offset in bytes; nothing is unpacked."""

from __future__ import annotations

import json
import os
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prunebench.errors import DataError
from prunebench.pictures import chosen_split, printable, printable_ids, split_of
from prunebench.pictures.names import is_hidden
from prunebench.pictures.signatures import PICTURE_ENDINGS
from prunebench.pruning.reading.features import check_distinct
from prunebench.pruning.reading.folders import match_labels
from prunebench.pruning.reading.label_files import encode
from prunebench.pruning.reading.options import Options
from prunebench.pruning.reading.picture_files import PictureFiles, memory_below
from prunebench.pruning.source import Skipped, Source

_LABEL_ENDINGS = (".cls", ".json", ".txt")  # the first that a sample has counts
_JSON_KEYS = ("label", "cls", "class", "class_id", "target", "class_name", "category")
_MAX_LABEL_BYTES = 1 << 20
_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


@dataclass
class _Sample:
    """One sample of a shard: the members whose names are the same up to the first dot."""

    shard: int
    key: str
    offset: int = -1
    length: int = 0
    labels: dict[str, str] = field(default_factory=dict)


def shards_in(folder: Path) -> tuple[Path, ...]:
    """Return the tar files of a folder, sorted by the bytes of their names; raises DataError for compressed ones."""
    with os.scandir(folder) as entries:
        names = sorted(
            (entry.name for entry in entries if not is_hidden(entry.name) and entry.is_file()), key=os.fsencode
        )
    return tuple(folder / name for name in names if name.lower().endswith((".tar", *_PACKED)))


def read_shards(shards: Sequence[Path], title: str, options: Options) -> Source:
    """Read tar shards in the order of their names; ids are the keys of the samples, with the shard before them where
    two shards have the same key.  Labels are read from .cls, .json or .txt beside each picture, or from a csv file."""
    options.without_ids(title)
    shards, notes = _of_split(shards, options.split)
    samples: list[_Sample] = []
    skipped: list[Skipped] = []
    left_out: Counter[str] = Counter()
    for number, path in enumerate(shards):
        options.progress(number / len(shards), f"indexing {printable(path.name)}")
        samples += _index(path, number, skipped, left_out)
    names = _names(samples, shards)
    lacking = [row for row, sample in enumerate(samples) if sample.offset < 0]
    skipped += [
        Skipped(id=printable(names[row]), code="no-picture", reason="its key has no picture") for row in lacking
    ]
    kept = [row for row, sample in enumerate(samples) if sample.offset >= 0]
    samples, names = [samples[row] for row in kept], [names[row] for row in kept]
    if not samples:
        raise DataError(f"{title}: {len(shards)} tar files have no pictures", "name shards with .jpg or .png members")
    check_distinct(names, title)
    notes += [f"members of tar files left out, {why}: {count:,}" for why, count in sorted(left_out.items())]
    return _source(shards, samples, names, skipped, notes, title, options)


def _of_split(shards: Sequence[Path], split: str | None) -> tuple[Sequence[Path], list[str]]:
    """Return the shards of one split, where their names say that there are several: train-000.tar, val-000.tar."""
    roles = [split_of(path.stem.rstrip("0123456789-_.{}")) or split_of(path.stem) for path in shards]
    distinct = sorted({role for role in roles if role})
    if split == "." or (len(distinct) < 2 and split is None):
        return shards, []
    chosen = chosen_split(distinct, split, "the folder of tar shards")
    others = [role for role in distinct if role != chosen]
    note = f"read the shards of {chosen}" + (f"; those of {', '.join(others)} are not read" if others else "")
    return [path for path, role in zip(shards, roles, strict=True) if role == chosen], [note]


def _index(path: Path, number: int, skipped: list[Skipped], left_out: Counter[str]) -> Iterator[_Sample]:
    """Return the samples of one shard; what cannot be read of it is added to `skipped`."""
    name = printable(path.name)
    if path.name.lower().endswith(_PACKED):
        raise DataError(
            f"{name} is compressed, so its pictures have no offset in bytes", f"unpack it once: gunzip {name}"
        )
    samples: dict[str, _Sample] = {}
    size = path.stat().st_size
    try:
        with tarfile.open(path, "r:", errors="surrogateescape") as archive:
            for member in archive:
                _add(member, archive, number, size, samples, left_out)
            if _is_cut(path, archive.offset):
                raise EOFError("it lacks the mark of its end")
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        reason = f"the tar file is damaged after {len(samples):,} samples: {printable(str(error))}"
        skipped.append(Skipped(id=name, code="truncated" if samples else "damaged", reason=reason))
    cut = [key for key, sample in samples.items() if sample.offset + sample.length > size]
    skipped += [Skipped(id=printable(key), code="truncated", reason=f"{name} ends inside of it") for key in cut]
    return iter([sample for key, sample in samples.items() if key not in cut])


def _is_cut(path: Path, offset: int) -> bool:
    """Tell whether a tar file has no empty block at an offset, where its members end."""
    with path.open("rb") as file:
        file.seek(offset)
        block = file.read(tarfile.BLOCKSIZE)
    return len(block) < tarfile.BLOCKSIZE or any(block)


def _add(
    member: tarfile.TarInfo, archive: tarfile.TarFile, number: int, size: int, samples: dict[str, _Sample],
    left_out: Counter[str],
) -> None:  # fmt: skip
    folder, slash, last = member.name.removeprefix("./").rpartition("/")
    stem, dot, ending = last.partition(".")
    ending = f".{ending.lower()}"
    if member.isdir():
        return
    if not last or any(is_hidden(part) for part in member.name.removeprefix("./").split("/") if part):
        left_out["hidden or of the system"] += 1
    elif not member.isreg() or not dot:
        left_out["links, devices or files without an ending"] += 1
    else:
        sample = samples.setdefault(folder + slash + stem, _Sample(number, folder + slash + stem))
        if os.path.splitext(ending)[1] in PICTURE_ENDINGS or ending in PICTURE_ENDINGS:  # noqa: PTH122
            if sample.offset >= 0:
                left_out["further pictures of one sample"] += 1
            else:
                sample.offset, sample.length = member.offset_data, member.size
        elif ending in _LABEL_ENDINGS and member.size <= _MAX_LABEL_BYTES and member.offset_data + member.size <= size:
            if (file := archive.extractfile(member)) is not None and (label := _label(ending, file.read())):
                sample.labels[ending] = label
        else:
            left_out[f"no pictures ({printable(ending)})"] += 1


def _label(ending: str, data: bytes) -> str:
    """Return the label that a member gives, "" for none."""
    text = data.decode("utf-8-sig", "surrogateescape").strip()
    if ending != ".json":
        return text
    try:
        found: Any = json.loads(text)
    except ValueError:
        return ""
    if isinstance(found, dict):
        found = next((found[key] for key in _JSON_KEYS if key in found), "")
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""


def _names(samples: Sequence[_Sample], shards: Sequence[Path]) -> list[str]:
    keys = [sample.key for sample in samples]
    if len(set(keys)) == len(keys):
        return keys
    return [f"{shards[sample.shard].name}/{sample.key}" for sample in samples]


def _source(
    shards: Sequence[Path], samples: list[_Sample], names: list[str], skipped: list[Skipped], notes: list[str],
    title: str, options: Options,
) -> Source:  # fmt: skip
    import numpy as np

    rows, labels = list(range(len(samples))), None
    classes: tuple[str, ...] = ()
    if options.labels is not None:
        rows, labels, classes = match_labels(names, options.labels, title, skipped, notes)
    elif (ending := _label_ending(samples)) is not None:
        rows = [row for row, sample in enumerate(samples) if ending in sample.labels]
        missing = sorted(set(range(len(samples))) - set(rows))
        skipped += [Skipped(id=printable(names[row]), code="no-label", reason=f"no {ending} that says its class")
                    for row in missing]  # fmt: skip
        labels, classes = encode([samples[row].labels[ending] for row in rows], title)
        notes.append(f"labels come from the {ending} members")
    root = shards[0].parent
    pictures = PictureFiles(
        str(root), tuple(shards[samples[row].shard].name for row in rows),
        np.array([samples[row].offset for row in rows], dtype=np.int64),
        np.array([samples[row].length for row in rows], dtype=np.int64), memory_below(options.cache, str(root)),
    )  # fmt: skip
    return Source(
        title=title, ids=printable_ids([names[row] for row in rows]), labels=labels, class_names=classes,
        pictures=pictures, skipped=tuple(skipped), notes=tuple(notes),
        settings={"kind": "tar shards", **options.settings()},
    )  # fmt: skip


def _label_ending(samples: Sequence[_Sample]) -> str | None:
    """Return which members hold the labels: the kind that says a class for most samples; captions are no classes."""
    for ending in _LABEL_ENDINGS:
        given = [sample.labels[ending] for sample in samples if ending in sample.labels]
        if 2 * len(given) > len(samples) and (ending == ".cls" or 2 * len(set(given)) <= max(2, len(given))):
            return ending
    return None
