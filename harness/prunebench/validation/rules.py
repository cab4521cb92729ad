"""A results folder against its base and the registry: what is wrong, and what is different."""

import itertools
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prunebench.describe import counted
from prunebench.errors import DataError, Fault, PrunebenchError, ResultConflict, SchemaTooNew
from prunebench.plan import NONE, cell_axes
from prunebench.plugins import Catalogue
from prunebench.records import AgreementRecord, CellRecord, Record
from prunebench.registry import Registry, Suite
from prunebench.registry.model import Pair
from prunebench.validation.changes import Changes, changes
from prunebench.validation.lines import Row, read_folder


class Validation(NamedTuple):
    """What came of a validation: faults, what differs from the base, and cells that methods lack."""

    n_rows: int
    faults: tuple[Fault, ...]
    changes: Changes
    missing: Mapping[str, tuple[str, ...]]


def worst(faults: Sequence[Fault], where: str) -> PrunebenchError | None:
    """Return one error for all faults, or None: a schema too new comes before bad data, and that before conflicts."""
    kinds = {fault.kind for fault in faults}
    message = f"{counted(len(faults), 'fault')} in {where}"
    hint = "records are never edited by hand: restore the file, and let `prunebench run` write it"
    return next((kind(message, hint) for kind in (SchemaTooNew, DataError, ResultConflict) if kind in kinds), None)


def validate(results: Path, base: tuple[str, Sequence[Row]], registry: Registry, catalogue: Catalogue) -> Validation:
    """Compare a results folder with the base's name and rows, and what is new with the registry and the plugins."""
    rows, faults = read_folder(results)
    found = changes(base, (str(results), rows))
    gone = "the record {} is gone; results are never removed"
    faults += [Fault(0, gone.format(row.record.key), file=row.file, kind=DataError) for row in found.removed]
    faults += [fault for old, new in found.changed for fault in _unexplained(old, new)]
    for row in (*found.added, *(new for _, new in found.changed)):
        faults += map(row.fault, disagreements(row.record, registry, catalogue))
    files, known = sorted({row.file for row in found.added}), {row.file for row in base[1]}
    missing = {file: cells for file in files if (cells := missing_cells(file, rows, registry, catalogue))}
    lacks = "lacks {} cells that its suite has at these budgets and seeds, the first: {}"
    holes = [(file, lacks.format(len(cells), cells[0])) for file, cells in missing.items() if file not in known]
    faults += [Fault(0, reason, file=file, kind=DataError) for file, reason in holes]
    return Validation(len(rows), tuple(faults), found, missing)


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
    for axis, value, known in _axes(record, suite, catalogue):
        if value not in known:
            yield f"{axis} {value!r} is not of suite {suite.name!r}"


def _spec(catalogue: Catalogue, kind: str, name: str) -> Any:
    entry = catalogue.entries[kind].get(name)
    return entry.spec if entry else None  # a contributor's plugin need not be installed


def _axes(record: Record, suite: Suite, catalogue: Catalogue) -> Iterator[tuple[str, Any, Container[Any]]]:
    """Yield what a record has on each axis, and what its suite has there."""
    if isinstance(record, AgreementRecord):
        for backbone in sorted({record.backbone_a, record.backbone_b}):
            yield "backbone", backbone, suite.agreement.backbones
        yield "projector", record.projector, (*suite.agreement.projectors, NONE)
        yield "seed", max(record.seed_a, record.seed_b), range(suite.seeds)
        return
    yield "role", record.role, (suite.role(record.method),)
    names = ("backbone", "projector", "training", "budget keep =", "seed")
    yield from zip(names, _cell(record), cell_axes(suite, record.method, _needs([record], catalogue)), strict=True)


def _cell(record: CellRecord) -> tuple[str, str, Pair, str, int]:
    training = Pair(record.train_arch, record.recipe)
    return record.score_backbone, record.projector, training, record.keep, record.seed


def _needs(cells: Sequence[CellRecord], catalogue: Catalogue) -> frozenset[str]:
    """Return the evidence that a scorer reads; where it is not installed, as far as its cells tell."""
    if spec := _spec(catalogue, "scorers", cells[0].scorer):
        return frozenset(spec.needs)
    told = {"features": any(cell.score_backbone != NONE for cell in cells)}
    told["projection"] = any(cell.projector != NONE for cell in cells)
    return frozenset(evidence for evidence, is_read in told.items() if is_read)


def _of_method(record: Record, registry: Registry, catalogue: Catalogue) -> Iterator[str]:
    method = registry.method(record.method)
    if record.scorer != method.scorer:
        yield f"method {record.method!r} scores by {method.scorer!r}, not by {record.scorer!r}"
        return
    method = method.at_keep(record.keep) if isinstance(record, CellRecord) else method
    spec = _spec(catalogue, "scorers", method.scorer)
    params = spec.resolve_params(method.params) if spec else {**record.scorer_params, **method.params}
    yield from _differing("scorer_params", record.scorer_params, params)
    selector, chosen = method.selector, method.selector_params
    if spec and not selector:
        selector, chosen = spec.selector, {**spec.selector_params, **chosen}
    if not selector or not isinstance(record, CellRecord):
        return
    if record.selector != selector:
        yield f"method {record.method!r} selects by {selector!r}, not by {record.selector!r}"
    elif spec := _spec(catalogue, "selectors", selector):
        yield from _differing("selector_params", record.selector_params, spec.resolve_params(chosen))


def _differing(field: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*expected, *found}):
        if name not in found or name not in expected or found[name] != expected[name]:
            yield f"{field}.{name} = {found.get(name)!r}, the method has {expected.get(name)!r}"


def missing_cells(file: str, rows: Sequence[Row], registry: Registry, catalogue: Catalogue) -> tuple[str, ...]:
    """Return the cells that a file lacks at the budgets and seeds that it has, on the networks that its suite names."""
    cells = [row.record for row in rows if row.file == file and isinstance(row.record, CellRecord)]
    suite = registry.suites.get(cells[0].suite) if cells else None
    if suite is None:
        return ()
    budgets, present = {(cell.keep, cell.seed) for cell in cells}, set(map(_cell, cells))
    axes = cell_axes(suite, cells[0].method, _needs(cells, catalogue))
    wanted = (cell for cell in itertools.product(*axes) if cell[-2:] in budgets and cell not in present)
    return tuple("backbone {}, projector {}, {}, keep {}, seed {}".format(*cell) for cell in wanted)
