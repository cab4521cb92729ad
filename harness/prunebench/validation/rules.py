"""A results folder against its base and the registry: what is wrong, and what is different."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prunebench.errors import DataError, Fault, PrunebenchError, ResultConflict, SchemaTooNew
from prunebench.plan import axes_of
from prunebench.plugins import Catalogue
from prunebench.records import AgreementRecord, CellRecord, Record, complement
from prunebench.registry import Registry, Suite
from prunebench.specs import ScorerSpec
from prunebench.validation.lines import MAX_BYTES, Row, read_folder

NONE = "-"


class Validation(NamedTuple):
    """What came of a validation: faults, new rows, (old, new) rows of one place, rows that are gone, and cells that
    methods lack; `base` is the name of what was compared with."""

    base: str
    n_rows: int
    faults: tuple[Fault, ...]
    added: tuple[Row, ...]
    changed: tuple[tuple[Row, Row], ...]
    removed: tuple[Row, ...]
    missing: Mapping[str, tuple[str, ...]]

    def error(self) -> PrunebenchError | None:
        """Return the error to end with, or None: a schema too new comes before bad data, and that before conflicts."""
        if not self.faults:
            return None
        kinds = {fault.kind for fault in self.faults}
        first = next(kind for kind in (SchemaTooNew, DataError, ResultConflict) if kind in kinds)
        count = len(self.faults)
        return first(
            f"{count} fault{'s' if count > 1 else ''} in the results, compared with {self.base}",
            "records are never edited by hand: restore the file, and let `prunebench run` write it",
        )


def validate(
    results: Path, base: tuple[str, Sequence[Row]], registry: Registry, catalogue: Catalogue,
    max_bytes: int = MAX_BYTES,
) -> Validation:  # fmt: skip
    """Compare a results folder with the base's name and rows, and what is new with the registry and the plugins."""
    rows, faults = read_folder(results, max_bytes)
    before, after = ({(row.file, *row.record.place): row for row in side} for side in (base[1], rows))
    added = tuple(row for place, row in after.items() if place not in before)
    changed = tuple((before[p], row) for p, row in after.items() if p in before and before[p].record != row.record)
    removed = tuple(row for place, row in before.items() if place not in after)
    for row in removed:
        reason = f"the record {row.record.key} is gone; results are never removed"
        faults.append(Fault(0, reason, file=row.file, kind=DataError))
    for old, new in changed:
        faults += _unexplained(old, new)
    for row in (*added, *(new for _, new in changed)):
        faults += [row.fault(reason) for reason in disagreements(row.record, registry, catalogue)]
    known = {row.file for row in base[1]}
    missing = {
        file: tuple(missing_cells(file, rows, registry, catalogue)) for file in sorted({row.file for row in added})
    }
    for file, cells in missing.items():
        if cells and file not in known:
            reason = f"lacks {len(cells)} cells that its suite has at these budgets and seeds, the first: {cells[0]}"
            faults.append(Fault(0, reason, file=file, kind=DataError))
    lacking = {file: cells for file, cells in missing.items() if cells}
    return Validation(base[0], len(rows), tuple(faults), added, changed, removed, lacking)


def _unexplained(before: Row, after: Row) -> Iterator[Fault]:
    old, new = before.record, after.record
    if old.status != "ok" or (old.key != new.key and new.status == "ok"):
        return  # a failure gave way, or another version of the method, recipe or data
    if new.status != "ok":
        yield after.fault("a result has given way to a failure", kind=ResultConflict)
    elif new.attempt <= old.attempt or not new.superseded:
        reason = f"differs from the published record of the same key {new.key} without a reason to supersede it"
        yield after.fault(reason, kind=ResultConflict)


def disagreements(record: Record, registry: Registry, catalogue: Catalogue) -> Iterator[str]:
    """Yield where a new record and the registry disagree: protocol, data, method, networks, budget, seed, recipe."""
    if record.protocol != registry.protocol:
        yield f"protocol {record.protocol!r}, the registry has {registry.protocol!r}"
    yield from _of_method(record, registry, catalogue)
    suite = registry.suites.get(record.suite)
    if suite is None:
        yield f"suite {record.suite!r} is not in the registry"
        return
    if record.dataset != suite.dataset:
        yield f"data set {record.dataset!r}, suite {suite.name!r} has {suite.dataset!r}"
    elif (expected := registry.datasets[suite.dataset].fingerprint) not in ("", record.dataset_fingerprint):
        yield f"fingerprint {record.dataset_fingerprint} of data set {suite.dataset!r}, the registry has {expected}"
    scorer = catalogue.entries["scorers"].get(record.scorer)
    spec = scorer.spec if scorer else None
    of_kind = _of_cell(record, suite, spec) if isinstance(record, CellRecord) else _of_agreement(record, suite)
    yield from (f"{what} is not of suite {suite.name!r}" for what in of_kind)


def _of_cell(record: CellRecord, suite: Suite, spec: ScorerSpec | None) -> Iterator[str]:
    role = {suite.baseline: "baseline", suite.unpruned: "unpruned"}.get(record.method, "method")
    if record.role != role:
        yield f"role {record.role!r} of method {record.method!r}"
    if (record.score_backbone, record.projector) not in _inputs(suite, spec, [record]):
        yield f"backbone {record.score_backbone!r} with projector {record.projector!r}"
    if (record.train_arch, record.recipe) not in suite.training:
        yield f"training {record.train_arch!r} by {record.recipe!r}"
    if record.keep not in (["1"] if role == "unpruned" else map(complement, suite.pruning_rates)):
        yield f"budget keep = {record.keep!r}"
    if record.seed >= suite.seeds:
        yield f"seed {record.seed}"


def _inputs(suite: Suite, spec: ScorerSpec | None, cells: Sequence[CellRecord]) -> set[tuple[str, str]]:
    """Return the backbones and projectors that a scorer reads in a suite, where it is not installed as cells say."""
    if spec is not None:
        return set(axes_of(spec, suite.backbones, suite.projectors))
    backbones = suite.backbones if any(cell.score_backbone != NONE for cell in cells) else (NONE,)
    projectors = suite.projectors if any(cell.projector != NONE for cell in cells) else (NONE,)
    return set(itertools.product(backbones, projectors))


def _of_agreement(record: AgreementRecord, suite: Suite) -> Iterator[str]:
    for backbone in sorted({record.backbone_a, record.backbone_b} - {*suite.agreement_backbones}):
        yield f"backbone {backbone!r}"
    if record.projector not in (*suite.agreement_projectors, NONE):
        yield f"projector {record.projector!r}"
    if max(record.seed_a, record.seed_b) >= suite.seeds:
        yield f"seed {max(record.seed_a, record.seed_b)}"


def _of_method(record: Record, registry: Registry, catalogue: Catalogue) -> Iterator[str]:
    method = registry.method(record.method)
    if record.scorer != method.scorer:
        yield f"method {record.method!r} scores by {method.scorer!r}, not by {record.scorer!r}"
        return
    scorer = catalogue.entries["scorers"].get(method.scorer)
    params = scorer.spec.resolve_params(method.params) if scorer else dict(method.params)
    yield from _differing("scorer_params", record.scorer_params, params, exact=scorer is not None)
    if isinstance(record, CellRecord) and (scorer or method.selector):
        selector = method.selector or (scorer.spec.selector if scorer else "")
        inherited = {} if method.selector or scorer is None else scorer.spec.selector_params
        if record.selector != selector:
            yield f"method {record.method!r} selects by {selector!r}, not by {record.selector!r}"
        elif (entry := catalogue.entries["selectors"].get(selector)) is not None:
            params = entry.spec.resolve_params({**inherited, **method.selector_params})
            yield from _differing("selector_params", record.selector_params, params, exact=True)


def _differing(field: str, found: Mapping[str, Any], expected: Mapping[str, Any], *, exact: bool) -> Iterator[str]:
    for name in sorted({*expected, *(found if exact else ())}):
        if name not in found or name not in expected or found[name] != expected[name]:
            yield f"{field}.{name} = {found.get(name)!r}, the method has {expected.get(name)!r}"


def missing_cells(file: str, rows: Sequence[Row], registry: Registry, catalogue: Catalogue) -> Iterator[str]:
    """Yield the cells that a file lacks at the budgets and seeds that it has, on the networks that its suite names."""
    cells = [row.record for row in rows if row.file == file and isinstance(row.record, CellRecord)]
    suite = registry.suites.get(cells[0].suite) if cells else None
    if suite is None:
        return
    scorer = catalogue.entries["scorers"].get(cells[0].scorer)
    inputs = sorted(_inputs(suite, scorer.spec if scorer else None, cells))
    budgets = sorted({(cell.keep, cell.seed) for cell in cells})
    present = {((c.score_backbone, c.projector), (c.train_arch, c.recipe), (c.keep, c.seed)) for c in cells}
    for cell in itertools.product(inputs, suite.training, budgets):
        if cell not in present:
            (backbone, projector), (arch, recipe), (keep, seed) = cell
            yield f"backbone {backbone}, projector {projector}, {arch} by {recipe}, keep {keep}, seed {seed}"
