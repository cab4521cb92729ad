"""Records: one JSON object per cell or comparison of scores, kept as sorted JSON Lines, merged without loss."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from prunebench.artefact_files import accessed, write_synced
from prunebench.errors import DataError, Fault, ResultConflict, SchemaTooNew
from prunebench.guard import plain_file
from prunebench.locks import locked
from prunebench.specs import ParamValue

SCHEMA = 2
AGREEMENT_FILE = "agreement.jsonl"
AGREEMENT_TOLERANCE = 0.01  # by which a repeated correlation of the same scores may differ
MAX_LINE_BYTES = 400_000  # of one record
MAX_DIAGNOSTICS_BYTES = MAX_LINE_BYTES // 4  # of those of one score, as JSON
RESULTS_HINT = "name another folder with --results DIR"
FINAL = ("ok", "not_applicable")  # a record with one of these is done; every other status is tried again

Status = Literal["ok", "not_applicable", "failed", "oom", "timeout", "diverged", "interrupted"]
Role = Literal["method", "baseline", "unpruned"]
END = r"$(?!\n)"  # $ alone lets a line break follow
Name = Annotated[str, Meta(pattern=rf"^([A-Za-z0-9][A-Za-z0-9._+-]{{0,99}}|-){END}")]
Text = Annotated[str, Meta(max_length=2000)]
Digest = Annotated[str, Meta(pattern=rf"^[0-9a-f]{{32}}{END}")]
OptionalDigest = Annotated[str, Meta(pattern=rf"^([0-9a-f]{{32}})?{END}")]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Positive = Annotated[int, Meta(ge=1, le=2**53)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Correlation = Annotated[float, Meta(ge=-1, le=1)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]


# gc: a record is in no cycle, and the collector would walk through hundreds of thousands of them again and again.
class _Record(Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True, tag_field="kind"):
    """What both kinds of record hold: identity, place on the board, what became of it, and where it comes from."""

    schema: Annotated[int, Meta(ge=SCHEMA, le=SCHEMA)] = SCHEMA
    key: Digest
    suite: Name
    protocol: Name
    dataset: Name
    dataset_fingerprint: Digest
    method: Name
    scorer: Name
    scorer_params: dict[str, ParamValue] = {}
    scorer_version: Name
    scorer_dist: Text
    projector: Name = "-"
    projector_version: Name = "-"
    status: Status
    status_reason: Text = ""
    caveat: Text = ""
    attempt: Positive = 1
    superseded: Text = ""
    run_id: Text = ""
    started: Text = ""
    machine_class: Text = ""
    prunebench_version: Text = ""
    git_commit: Text = ""
    git_dirty: bool = False

    @property
    def file_parts(self) -> tuple[str, str, str]:
        """The folders and the name of the file that the record belongs to: its method's, or that of all comparisons."""
        name = AGREEMENT_FILE if isinstance(self, AgreementRecord) else f"{self.method}.jsonl"
        return self.suite, self.dataset, name

    @property
    def file(self) -> Path:
        """The file that the record belongs to, below the results folder."""
        return Path(*self.file_parts)


class CellRecord(_Record, frozen=True, kw_only=True, gc=False, tag="cell"):
    """One cell: a subset chosen by one method at one keep fraction, and the network trained on it.
    accuracy: fraction of the test samples, at the last epoch; accuracy_best: of the best epoch, never on the board's
    tables.  class_accuracy: by class.  keep: decimal string in (0, 1].  features_key, proxy_key, scores_key, train_key:
    what the cell was made of; cells with equal keys are one observation.  seconds_score: of the scoring alone.
    iterations: updates of the weights, 0 where the learner does not count them; older records do not say.  teacher_key:
    of the network that taught, where one did."""

    role: Role = "method"
    api: Positive = 1
    score_backbone: Name = "-"
    selector: Name
    selector_params: dict[str, ParamValue] = {}
    keep: str
    train_arch: Name
    recipe: Name
    recipe_digest: OptionalDigest = ""
    seed: Count
    accuracy: Fraction | None = None
    accuracy_best: Fraction | None = None
    accuracy_per_epoch: list[Fraction] = []
    class_accuracy: list[Fraction | None] = []
    loss: float | None = None
    epochs: Count = 0
    iterations: Count | UnsetType = UNSET
    n_train: Count = 0
    n_classes: Count = 0
    n_keep: Count = 0
    ties_at_cut: Count = 0
    filled: Count = 0
    subset_digest: OptionalDigest = ""
    features_key: OptionalDigest = ""
    proxy_key: OptionalDigest = ""
    scores_key: OptionalDigest = ""
    train_key: OptionalDigest = ""
    teacher_key: OptionalDigest | UnsetType = UNSET
    diagnostics: dict[str, Any] = {}
    seconds_score: Seconds = 0.0
    seconds_train: Seconds = 0.0
    batch_size_used: Count = 0
    oom_retries: Count = 0
    peak_gpu_bytes: Count = 0

    def __post_init__(self) -> None:
        if not is_kept_fraction(self.keep):
            raise ValueError(f'keep = {self.keep[:30]!r}: expected a decimal fraction as text, such as "0.1"')
        if (self.status == "ok") != (self.accuracy is not None):
            raise ValueError(f"status {self.status!r} with accuracy {self.accuracy}: an accuracy goes with status 'ok'")

    @property
    def place(self) -> tuple[Any, ...]:
        """Method, backbone, projector, keep, architecture, recipe and seed; one place holds one record."""
        keep = complement(complement(self.keep))  # "0.10" and "0.1" are one place
        trained = (keep, self.train_arch, self.recipe, self.seed)
        return ("cell", self.method, self.score_backbone, self.projector, *trained)


class AgreementRecord(_Record, frozen=True, kw_only=True, gc=False, tag="agreement"):
    """How far two scores of the same samples agree: of two backbones at one seed, or of two seeds of one backbone.
    scores_key_a, scores_key_b: what was compared; comparisons with equal keys are one observation.
    backbone_control: one of the two is an untrained network.  measures: what a suite asks for beside correlations, by
    name.  given: the methods whose scores `given`, `left_a` and `left_b` among them leave aside."""

    backbone_a: Name
    seed_a: Count
    backbone_b: Name
    seed_b: Count
    backbone_control: bool = False
    scores_key_a: OptionalDigest = ""
    scores_key_b: OptionalDigest = ""
    n: Positive | None = None
    within_class_spearman: Correlation | None = None
    pooled_spearman: Correlation | None = None
    pearson: Correlation | None = None
    measures: dict[Name, float | None] | UnsetType = UNSET
    given: tuple[Name, ...] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if (self.backbone_a == self.backbone_b) == (self.seed_a == self.seed_b):
            pair = f"{self.backbone_a}, seed {self.seed_a} with {self.backbone_b}, seed {self.seed_b}"
            raise ValueError(f"compares {pair}: expected two backbones at one seed, or two seeds of one backbone")

    @property
    def place(self) -> tuple[Any, ...]:
        """Method, projector and the two sides in order; one place holds one record."""
        pair = sorted([(self.backbone_a, self.seed_a), (self.backbone_b, self.seed_b)])
        return ("agreement", self.method, self.projector, *pair[0], *pair[1])


Record = CellRecord | AgreementRecord
_DECODER: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)
_Header: Any = msgspec.defstruct("_Header", [("schema", int, 0)])


@lru_cache(maxsize=4096)  # a study has few fractions, and very many records
def complement(fraction: str) -> str:
    """Return 1 - fraction, both decimal strings without trailing zeros: "0.90" to "0.1"."""
    return format((1 - Decimal(fraction)).normalize(), "f")


@lru_cache(maxsize=4096)
def is_kept_fraction(text: str) -> bool:
    """Tell whether a text is a decimal number in (0, 1], without an exponent and with at most 20 decimal places."""
    return re.fullmatch(r"[01]|[01]?\.[0-9]{1,20}", text) is not None and 0 < Decimal(text) <= 1


def decode(line: str) -> Record:
    """Return the record of one line; raises ValueError with the field and what was expected."""
    record = _DECODER.decode(line)
    if encode(record) != line:  # not as we write it, so a field may stand there twice
        json.loads(line, object_pairs_hook=_fields)
    return record


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields of a JSON object; ValueError for one that is there twice, of which the last would count."""
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise ValueError(f"Object contains field `{name[:100]}` twice")
        fields[name] = value
    return fields


def encode(record: Record) -> str:
    """Return the one JSON text of a record, without a newline: sorted keys, no spaces."""
    return msgspec.json.encode(record, order="sorted").decode()


def parse(text: str) -> Iterator[Record | Fault]:
    """Yield a record or a fault for each line of a file."""
    # Not splitlines: a reason may hold other separators that Unicode knows, and only LF ends a line here.
    return itertools.starmap(_item, enumerate(text.removesuffix("\n").split("\n") if text else (), start=1))


def _item(number: int, line: str) -> Record | Fault:
    try:
        return decode(line)
    except (ValueError, RecursionError) as error:
        schema: int = SCHEMA
        with contextlib.suppress(ValueError, RecursionError):
            schema = msgspec.json.decode(line, type=_Header).schema
        newer = Fault(number, f"has schema {schema}, this prunebench reads {SCHEMA}", kind=SchemaTooNew)
        return newer if schema > SCHEMA else Fault(number, f"is not a record: {error}", kind=DataError)


def read_records(path: Path) -> list[Record]:
    """Read one JSON Lines file; DataError and SchemaTooNew name the line and the field."""
    found = []
    for item in read_items(path):
        if isinstance(item, Fault):
            restore = "restore the file, or remove the line and run the suite again"
            hint = "update prunebench" if item.kind is SchemaTooNew else restore
            raise item.kind(f"{path}, line {item.line}: {item.reason}", hint)
        found.append(item)
    return found


def read_items(path: Path) -> Iterator[Record | Fault]:
    """Yield a record or a fault for each line of a file, and read no more of it than that; raises DataError for what is
    no plain file."""
    with plain_file(path) as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                yield Fault(number, f"has more than {MAX_LINE_BYTES:,} bytes", kind=DataError)
                return
            try:
                text = line.decode("utf-8").removesuffix("\n")
            except UnicodeDecodeError as error:
                yield Fault(number, f"is not UTF-8: {error.reason} at byte {error.start}", kind=DataError)
                continue
            yield _item(number, text)


def read_results(results: Path, suite: str = "*") -> list[Record]:
    """Return the records of results/<suite>/<dataset>/*.jsonl, in order; raises DataError as `read_in_place` does."""
    return [record for path in sorted(results.glob(f"{suite}/*/*.jsonl")) for record in read_in_place(path)]


def read_in_place(path: Path) -> list[Record]:
    """Return the records of a file in a results folder.  Raises DataError as `read_records` does, and for a copy, which
    would count twice: a record of another file, or about the cell of a line above."""
    records, lines = read_records(path), dict[object, int]()
    for number, one in enumerate(records, start=1):
        above, belongs = lines.setdefault(one.place, number), path.parts[-3:] == one.file_parts
        if above != number or not belongs:
            reason = f"is about the same cell as line {above}" if belongs else f"belongs to {one.file.as_posix()}"
            raise DataError(f"{path}, line {number}: {reason}", "remove the copy, or move it out of the results folder")
    return records


def merge(
    old: Iterable[Record], new: Iterable[Record], *, tolerance: Mapping[str, float] = {}, supersede: str = ""
) -> tuple[list[Record], int]:
    """Return the records of one file after a run, sorted by key, and how many older versions gave way.  A result takes
    the place of one with another key (the method, recipe or data changed) and of a failure.  A failure never takes the
    place of a result, whatever its key.  For the same key the first result stays: it was published. tolerance: by
    recipe, the difference of accuracies (fractions) that a repeat may show.  Raises ResultConflict when a repeat
    differs by more, unless `supersede` gives the reason to replace it."""
    merged: dict[tuple[Any, ...], Record] = {}
    for record in old:
        kept = merged.get(record.place)
        if kept is None or (kept.status not in FINAL and record.status in FINAL):
            merged[record.place] = record
    replaced = 0
    for record in new:
        kept = merged.get(record.place)
        allowed = tolerance.get(record.recipe, 0.0) if isinstance(record, CellRecord) else AGREEMENT_TOLERANCE
        if kept is None or kept.status != "ok":
            merged[record.place] = record
        elif record.status == "ok" and record.key != kept.key:
            replaced += 1
            merged[record.place] = record
        elif record.status == "ok" and (change := difference(kept, record)) > allowed:
            if not supersede:
                text = f"{record.suite}: {record.method} at {record.place[2:]}: a repeat of key {record.key} differs by"
                hint = "find out why; then replace it with --supersede REASON"
                raise ResultConflict(f"{text} {change:.6g} from the result in {record.file}", hint)
            merged[record.place] = msgspec.structs.replace(record, attempt=kept.attempt + 1, superseded=supersede)
    return sorted(merged.values(), key=lambda record: (record.key, record.place)), replaced


def difference(kept: Record, record: Record) -> float:
    """Return by how much two results of one place differ: a fraction, or a correlation."""
    names = ("accuracy",) if isinstance(record, CellRecord) else ("within_class_spearman", "pooled_spearman")
    pairs = [(getattr(kept, name), getattr(record, name)) for name in names]
    return max((abs(a - b) for a, b in pairs if a is not None and b is not None), default=0.0)


def update_file(path: Path, new: Sequence[Record], *, tolerance: Mapping[str, float] = {}, supersede: str = "") -> int:
    """Merge records into one file under its lock and return how many older versions gave way.  Several runs may write
    one file at a time: each reads, merges and writes while it alone holds the lock. Raises StoreError when the folder
    cannot be written, DataError for a damaged file, ResultConflict as `merge` does."""
    with accessed(str(path), RESULTS_HINT):
        held = locked(path.with_name(f".{path.name}.lock"))
    with held:
        old = read_records(path) if path.exists() else []
        merged, replaced = merge(old, new, tolerance=tolerance, supersede=supersede)
        if merged != old:
            write_records(path, merged)
    return replaced


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write JSON Lines: UTF-8, LF, sorted keys; whole or not at all."""
    write_text(path, "".join(encode(record) + "\n" for record in records))


def write_text(path: Path, text: str, hint: str = RESULTS_HINT) -> None:
    """Replace a file in one step; StoreError when the folder cannot be written."""
    write_bytes(path, text.encode(), hint)


def write_bytes(path: Path, content: bytes, hint: str) -> None:
    """Replace a file in one step; StoreError when the folder cannot be written."""
    with accessed(str(path), hint):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{uuid.uuid4().hex}")  # in the same folder: it is renamed
        try:
            write_synced(scratch, content)
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)  # a part of it, where the disk is full
