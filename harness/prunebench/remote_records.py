"""Records that several machines share: each writes objects of its own, and all accept the same of them.

No object is written by two processes, so nothing can be overwritten.  Whoever reads merges all objects: of the records
of one cell with one key the first stays, by the time at which its run started."""

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prunebench.errors import Fault, ResultConflict
from prunebench.locks import locked
from prunebench.records import Record, encode, merge, parse, read_records, write_records
from prunebench.remote import Remote, remote_of

_PAUSE_SECONDS = 10.0  # between two times at which records are sent


@dataclass
class RemoteRecords:
    """The records behind a working copy of a results folder."""

    remote: Remote
    folder: Path
    _writer: str = field(default_factory=lambda: f"by-{uuid.uuid4().hex}")
    _known: set[str] = field(default_factory=set)  # lines that others can read
    _sent: dict[Path, str] = field(default_factory=dict)
    _sent_at: float = 0.0

    def pull(self, tolerance: Mapping[str, float] | None = None) -> list[ResultConflict]:
        """Merge what all have written into the working copy.  tolerance: that of `merge`; where it is given, returns
        the conflicts between records that were accepted and others.  Raises DataError for an object that holds no
        records."""
        conflicts: list[ResultConflict] = []
        found: dict[Path, list[Record]] = {}
        for name in sorted(self.remote.names(seconds=0.0)):
            content = self.remote.read(name) if name.endswith(".jsonl") else None
            for item in parse((content or b"").decode("utf-8", "replace")):
                if isinstance(item, Fault):
                    raise item.kind(f"{self.remote.url}/{name}, line {item.line}: {item.reason}", "restore the object")
                found.setdefault(item.file, []).append(item)
        self._known = {encode(record) for some in found.values() for record in some}
        for file, some in sorted(found.items()):
            path = self.folder / file
            with locked(path.with_name(f".{path.name}.lock")):
                here = read_records(path) if path.exists() else []
                in_order = sorted(some, key=lambda record: (record.started, record.run_id, encode(record)))
                if (accepted := settled([*in_order, *here])) != here:
                    write_records(path, accepted)
            conflicts += [] if tolerance is None else _conflicts(accepted, some, tolerance)
        return conflicts

    def push(self, *, now: bool = True) -> None:
        """Send the records that others cannot read yet; without `now` not more often than every ten seconds."""
        if not now and time.monotonic() - self._sent_at < _PAUSE_SECONDS:
            return
        for path in sorted(self.folder.glob("*/*/*.jsonl")):
            file = path.relative_to(self.folder)
            own = [encode(record) for record in read_records(path) if encode(record) not in self._known]
            text = "".join(f"{line}\n" for line in own)
            if own and self._sent.get(file) != text:
                self.remote.write(f"{self._writer}/{file.as_posix()}", text.encode())
                self._sent[file] = text
        self._sent_at = time.monotonic()


def remote_records(folder: Path) -> RemoteRecords | None:
    """Return the records behind a working copy, None for any other folder."""
    remote = remote_of(folder.absolute())
    return RemoteRecords(remote, folder) if remote else None


def settled(records: Iterable[Record]) -> list[Record]:
    """Return the accepted record of each place, sorted by key: a result before a failure, a repeat that superseded the
    one before it, of other keys the last, and else the first."""
    accepted: dict[tuple[object, ...], Record] = {}
    for record in records:
        kept = accepted.get(record.place)
        if kept is None or _is_better(record, kept):
            accepted[record.place] = record
    return sorted(accepted.values(), key=lambda record: (record.key, record.place))


def _conflicts(
    accepted: Iterable[Record], others: Iterable[Record], tolerance: Mapping[str, float]
) -> Iterator[ResultConflict]:
    """Yield what is said where a record differs by more than it may from the accepted one of its key."""
    stays = {(record.place, record.key, record.attempt): record for record in accepted}
    for record in others:
        if (kept := stays.get((record.place, record.key, record.attempt))) is not None:
            try:
                merge([kept], [record], tolerance=tolerance)
            except ResultConflict as error:
                yield error


def _is_better(record: Record, kept: Record) -> bool:
    if record.status != "ok" or kept.status != "ok":
        return kept.status != "ok"
    return record.key != kept.key or record.attempt > kept.attempt
