"""WebDataset tar shards: an index of pictures by their offset in bytes; nothing is unpacked."""

from __future__ import annotations

import contextlib
import json
import os
import tarfile
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from prunebench.errors import DataError
from prunebench.guard import read_plain
from prunebench.pictures import chosen_split, printable, printable_ids, split_of, visible_folders
from prunebench.pictures.names import is_hidden
from prunebench.pictures.signatures import PICTURE_ENDINGS
from prunebench.pruning.reading.features import check_distinct
from prunebench.pruning.reading.folders import holds_pictures, match_labels
from prunebench.pruning.reading.label_files import encode
from prunebench.pruning.reading.options import Options
from prunebench.pruning.reading.picture_files import PictureFiles, content_digest, memory_below
from prunebench.pruning.source import Skipped, Source

_LABEL_ENDINGS = (".cls", ".json", ".txt")  # the first that a sample has counts
_JSON_KEYS = ("label", "cls", "class", "class_id", "target", "class_name", "category")
_MAX_LABEL_BYTES = 1 << 20
_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


@dataclass(slots=True)
class _Sample:
    """One sample of a shard: the members whose names are the same up to the first dot; names and labels as bytes.
    offset: of its picture, below 0 without one.  ending: of the member that gives its label."""

    key: bytes
    offset: int = -1
    length: int = 0
    label: bytes = b""
    ending: str = ""


@dataclass
class _Index:
    """What one shard holds, what of it cannot be read, and how many members were left out, by reason."""

    samples: list[_Sample]
    skipped: list[Skipped]
    left_out: dict[str, int]


def shards_in(folder: Path) -> tuple[Path, ...]:
    """Return the tar files of a folder, sorted by the bytes of their names; none where other folders or pictures are
    beside them: an archive is then what these were unpacked from."""
    if visible_folders(folder) or holds_pictures(folder):
        return ()
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
    indexes = []
    for number, path in enumerate(shards):
        options.progress(number / len(shards), f"indexing {printable(path.name)}")
        indexes.append(_remembered(path, options.cache))
    names = _names(indexes, shards)
    samples = [sample for index in indexes for sample in index.samples]
    shard_of = [number for number, index in enumerate(indexes) for _ in index.samples]
    skipped = [one for index in indexes for one in index.skipped]
    reason = "its key has no picture"
    skipped += [Skipped(id=printable(name), code="no-picture", reason=reason)
                for name, sample in zip(names, samples, strict=True) if sample.offset < 0]  # fmt: skip
    kept = [row for row, sample in enumerate(samples) if sample.offset >= 0]
    if not kept:
        text = f"{title}: {len(shards)} tar files have no pictures" + "".join(f"; {one.reason}" for one in skipped[:3])
        raise DataError(text, "name shards with .jpg or .png members")
    samples, names, shard_of = ([column[row] for row in kept] for column in (samples, names, shard_of))  # type: ignore[assignment]
    left_out = sum((Counter(index.left_out) for index in indexes), Counter[str]())
    check_distinct(names, title)
    notes += [f"members of tar files left out, {why}: {count:,}" for why, count in sorted(left_out.items())]
    files = [shards[number] for number in shard_of]
    return _source(files, samples, names, skipped, notes, title, options)


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


def _remembered(path: Path, cache: Path | None) -> _Index:
    """Return the index of a shard: the one below the cache while the file is what it was, else a new one."""
    state = path.stat()
    place = (os.path.realpath(path), state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
    file = None if cache is None else Path(cache) / "shards" / content_digest(repr(place).encode("utf-8", "replace"))
    if file is not None:
        with contextlib.suppress(DataError, msgspec.MsgspecError):
            return msgspec.msgpack.decode(read_plain(file), type=_Index)
    found = _index(path)
    if file is not None:
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            scratch = file.with_suffix(f".{uuid.uuid4().hex}")
            scratch.write_bytes(msgspec.msgpack.encode(found))
            scratch.rename(file)
    return found


def _index(path: Path) -> _Index:
    name = printable(path.name)
    if path.name.lower().endswith(_PACKED):
        text = f"{name} is compressed, so its pictures have no offset in bytes"
        raise DataError(text, f"unpack it once, such as with gunzip {name}")
    samples: dict[str, _Sample] = {}
    left_out = Counter[str]()
    skipped = []
    size = path.stat().st_size
    try:
        with tarfile.open(path, "r:", errors="surrogateescape") as archive:
            while (member := archive.next()) is not None:
                if member.size < 0:  # numbers of 256 as base have a sign
                    raise ValueError(f"a member has a length of {member.size:,} bytes")
                _add(member, archive, size, samples, left_out)
                archive.members = []  # type: ignore[attr-defined] # it would hold all of them
            if _is_cut(path, archive.offset):
                raise EOFError("it lacks the mark of its end")
    except Exception as error:  # beside TarError whatever a damaged header leads to, such as RecursionError
        reason = f"{name} is damaged after {len(samples):,} samples: {printable(str(error))}"
        skipped.append(Skipped(id=name, code="truncated" if samples else "damaged", reason=reason))
    cut = {key for key, sample in samples.items() if sample.offset + sample.length > size}
    skipped += [Skipped(id=printable(key), code="truncated", reason=f"{name} ends inside of it") for key in cut]
    return _Index([sample for key, sample in samples.items() if key not in cut], skipped, dict(left_out))


def _is_cut(path: Path, offset: int) -> bool:
    """Tell whether a tar file has no empty block at an offset, where its members end."""
    with path.open("rb") as file:
        file.seek(offset)
        block = file.read(tarfile.BLOCKSIZE)
    return len(block) < tarfile.BLOCKSIZE or any(block)


def _add(
    member: tarfile.TarInfo, archive: tarfile.TarFile, size: int, samples: dict[str, _Sample], left_out: Counter[str]
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
        key = folder + slash + stem
        if (sample := samples.get(key)) is None:
            sample = samples[key] = _Sample(key.encode("utf-8", "surrogateescape"))
        if os.path.splitext(ending)[1] in PICTURE_ENDINGS or ending in PICTURE_ENDINGS:  # noqa: PTH122
            if sample.offset >= 0:
                left_out["further pictures of one sample"] += 1
            else:
                sample.offset, sample.length = member.offset_data, member.size
        elif ending in _LABEL_ENDINGS and member.size <= _MAX_LABEL_BYTES and member.offset_data + member.size <= size:
            better = not sample.ending or _LABEL_ENDINGS.index(ending) < _LABEL_ENDINGS.index(sample.ending)
            if better and (file := archive.extractfile(member)) is not None and (label := _label(ending, file.read())):
                sample.label, sample.ending = label, ending
        else:
            left_out[f"no pictures ({printable(ending)})"] += 1


def _label(ending: str, data: bytes) -> bytes:
    """Return the label that a member gives, empty for none."""
    text = data.removeprefix(b"\xef\xbb\xbf").strip()
    if ending != ".json":
        return text
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return b""
    if isinstance(found, dict):
        found = next((found[key] for key in _JSON_KEYS if key in found), "")
    is_class = isinstance(found, str | int) and not isinstance(found, bool)
    return str(found).encode("utf-8", "surrogatepass") if is_class else b""


def _names(indexes: Sequence[_Index], shards: Sequence[Path]) -> list[str]:
    keys = [[sample.key.decode("utf-8", "surrogateescape") for sample in index.samples] for index in indexes]
    plain = [key for part in keys for key in part]
    if len(set(plain)) == len(plain):
        return plain
    return [f"{path.name}/{key}" for path, part in zip(shards, keys, strict=True) for key in part]


def _source(
    files: Sequence[Path], samples: Sequence[_Sample], names: Sequence[str], skipped: list[Skipped], notes: list[str],
    title: str, options: Options,
) -> Source:  # fmt: skip
    import numpy as np

    rows, labels = list(range(len(samples))), None
    classes: tuple[str, ...] = ()
    if options.labels is not None:
        rows, labels, classes = match_labels(names, options.labels, title, skipped, notes)
    elif (ending := _label_ending(samples)) is not None:
        rows = [row for row, sample in enumerate(samples) if sample.ending == ending]
        skipped += [Skipped(id=printable(name), code="no-label", reason=f"no {ending} that says its class")
                    for name, sample in zip(names, samples, strict=True) if sample.ending != ending]  # fmt: skip
        labels, classes = encode([samples[row].label for row in rows], title)
        notes.append(f"labels come from the {ending} members")
    offsets, lengths = (
        np.array([getattr(samples[row], name) for row in rows], dtype=np.int64) for name in ("offset", "length")
    )
    root = str(files[0].parent)
    pictures = PictureFiles(
        root, tuple(files[row].name for row in rows), offsets, lengths, memory_below(options.cache, root)
    )
    return Source(
        title=title, ids=printable_ids([names[row] for row in rows]), labels=labels, class_names=classes,
        pictures=pictures, skipped=tuple(skipped), notes=tuple(notes),
        settings={"kind": "tar shards", **options.settings()},
    )  # fmt: skip


def _label_ending(samples: Sequence[_Sample]) -> str | None:
    """Return which members hold the labels: the kind that says a class for most samples; captions are no classes."""
    for ending in _LABEL_ENDINGS:
        given = [sample.label for sample in samples if sample.ending == ending]
        if 2 * len(given) > len(samples) and (ending == ".cls" or 2 * len(set(given)) <= max(2, len(given))):
            return ending
    return None
