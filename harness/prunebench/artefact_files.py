"""The files of an artefact: facts with a checksum, digests of data, and what the system refuses, said in a sentence."""

import contextlib
import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from prunebench.errors import CorruptArtefact, StoreError
from prunebench.keys import digest

DATA, META = "data.safetensors", "meta.json"
FORMAT = 2  # of artefacts; the first had no checksum of meta.json
_REASONS = {
    errno.ENOSPC: ("the disk is full", "free some space"),
    errno.EDQUOT: ("the disk quota is used up", "free some space"),
    errno.EROFS: ("the file system is read-only", "name a folder that can be written"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), ("permission denied", "name a folder that you may write")),
    errno.ENOTDIR: ("a part of the path is a file", "name a folder"),
}


class _Facts(msgspec.Struct):
    """What every stage says of its artefact; names of files are in its own folder."""

    digests: dict[Annotated[str, msgspec.Meta(pattern=r"^\w[\w.-]*$")], str]
    record: dict[str, Any] = {}
    seconds: float = 0.0
    format: int = 1


def facts_in(file: Path) -> dict[str, Any]:
    """Return the facts of an artefact.  Raises CorruptArtefact where they are damaged, and StoreError for the format of
    a newer prunebench.  The first format had no checksum."""
    plain_state(file)
    try:
        facts: dict[str, Any] = msgspec.json.decode(file.read_bytes())
        number, checksum = msgspec.convert(facts, _Facts).format, facts.pop("checksum", "")
        if (number > 1 or checksum) and digest(facts) != checksum:
            raise ValueError("it does not match its checksum")
    except (ValueError, RecursionError) as error:
        raise CorruptArtefact(f"{file} is damaged: {error}", "it is computed again") from error
    if number > FORMAT:
        text = f"{file.parent} has format {number}, and this prunebench reads formats up to {FORMAT}"
        raise StoreError(text, "update prunebench, or name another cache with --cache DIR")
    return facts


def plain_state(file: Path) -> os.stat_result:
    """Return the state of a file.  Raises CorruptArtefact for what is none: a pipe or a device would be waited for, or
    read, for ever."""
    if not stat.S_ISREG((state := file.stat()).st_mode):
        raise CorruptArtefact(f"{file} is no file", "it is computed again")
    return state


def sealed(facts: Mapping[str, Any]) -> bytes:
    """Return facts as JSON with a checksum of all others."""
    plain = json.loads(json.dumps(facts, allow_nan=False))
    return json.dumps({**plain, "checksum": digest(plain)}, sort_keys=True).encode()


def fault(folder: Path) -> str:
    """Return what is wrong with an artefact, "" for one that is what was written, or is of a newer prunebench."""
    try:
        digests = facts_in(folder / META).get("digests", {})
        return next((f"{name} does not match its digest" for name, expected in digests.items()
                     if file_digest(folder / name) != expected), "")  # fmt: skip
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except CorruptArtefact as error:
        return error.message.removeprefix(f"{folder}{os.sep}")
    except StoreError:
        return ""
    except OSError as error:
        return f"it cannot be read: {error.strerror}"


@contextlib.contextmanager
def accessed(what: str, instead: str) -> Iterator[None]:
    """Turn what the system refuses inside the block into a StoreError; instead: what else to do, to end its hint."""
    try:
        yield
    except OSError as error:
        reason, hint = _REASONS.get(error.errno or 0, (str(error), "check the folder"))
        raise StoreError(f"{what}: {reason}", f"{hint}, or {instead}") from error


def file_digest(path: Path) -> str:
    """Return the blake2b-128 of a file as hexadecimal digits; raises CorruptArtefact as `plain_state` does."""
    plain_state(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and flush it to disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flush(path: Path) -> None:
    """Flush a file or folder to disk."""
    if os.name == "posix" or path.is_file():  # elsewhere a folder cannot be flushed, and a file only to write
        descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
