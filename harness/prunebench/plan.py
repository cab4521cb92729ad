"""Suite and filters to cells: pure, without data and without torch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

import msgspec
from msgspec.structs import replace

from prunebench.errors import DataError, UsageError, did_you_mean
from prunebench.planner import Contents, Planner
from prunebench.plugins import Catalogue, Entry
from prunebench.records import Record, complement
from prunebench.registry import Method, Registry, Suite
from prunebench.specs import ScorerSpec
from prunebench.tasks import Task

NONE = "-"
MAX_TEXT = 2000  # characters of a reason or caveat that a record holds
FROM_BACKBONE = frozenset({"features", "logits", "projection", "gradients"})


@dataclass(frozen=True)
class Filters:
    """Globs on each axis; an empty tuple lets everything through. `seeds` is how many replicates to run.

    Methods that read no backbone or projection pass the globs on these, so the baseline stays beside what is chosen;
    "-" lets them through alone.
    added: methods or installed scorers that the suite does not name, run beside those that pass.
    """

    scorer: tuple[str, ...] = ()
    projector: tuple[str, ...] = ()
    backbone: tuple[str, ...] = ()
    arch: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    seeds: int | None = None
    added: tuple[str, ...] = ()


@dataclass(frozen=True)
class Goal:
    """One record to be: what is known of it before it is computed, and the task that computes it."""

    axes: Mapping[str, Any]
    task: Task

    @property
    def key(self) -> str:
        return self.task.key

    @property
    def place(self) -> tuple[Any, ...]:
        """Where its record stands on the board."""
        return self.record(status="interrupted").place

    def record(self, **found: Any) -> Record:
        """Return the record of the goal with what was found; raises DataError for a field that no record can hold."""
        caveat = "; ".join(filter(None, (self.axes["caveat"], found.get("caveat", ""))))
        try:
            values = {**self.axes, **found, "key": self.key, "caveat": caveat[:MAX_TEXT]}
            record: Record = msgspec.convert(values, type=Record)
        except msgspec.ValidationError as error:
            raise DataError(
                f"{self.axes['suite']}: {self.axes['method']}: {error}", "a record cannot hold this: rename it"
            ) from error
        return record


@dataclass(frozen=True)
class Plan:
    """Cells to train and pairs of scores to compare."""

    suite: Suite
    protocol: str
    cells: tuple[Goal, ...]
    agreements: tuple[Goal, ...]

    @property
    def goals(self) -> tuple[Goal, ...]:
        """All records to be."""
        return (*self.cells, *self.agreements)

    def tasks(self) -> list[Task]:
        """Return every task once, inputs first."""
        found: dict[str, Task] = {}
        for goal in self.goals:
            for task in (*goal.task.ancestors(), goal.task):
                found.setdefault(task.key, task)
        return list(found.values())


def axes_of(spec: ScorerSpec, backbones: tuple[str, ...], projectors: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield the (backbone, projector) pairs that a scorer distinguishes; "-" where it reads none."""
    yield from itertools.product(
        backbones if spec.needs & FROM_BACKBONE else (NONE,),
        projectors if "projection" in spec.needs else (NONE,),
    )


def make_plan(
    registry: Registry,
    catalogue: Catalogue,
    suite_name: str,
    filters: Filters | None = None,
    contents: Contents | None = None,
) -> Plan:
    """Return the cells of a suite that pass the filters; UsageError when none does.

    contents: of data and weights, where they were looked at; by default what the registry expects.
    """
    filters = filters or Filters()
    suite = _with_added(registry.suite(suite_name), filters.added)
    planner = Planner(registry, catalogue, suite, contents or Contents())
    _check_budgets(suite, filters)
    _check_globs(suite, filters)
    cells, agreements = tuple(_cells(planner, filters)), tuple(_agreements(planner, filters))
    if not cells and not agreements:
        raise UsageError(
            f"no cell of suite {suite.name!r} passes the filters",
            f"see them all with `prunebench plan {suite.name}`",
        )
    return Plan(suite, registry.protocol, cells, agreements)


def _with_added(suite: Suite, added: tuple[str, ...]) -> Suite:
    def extended(names: tuple[str, ...]) -> tuple[str, ...]:
        return (*names, *(name for name in dict.fromkeys(added) if name not in (*names, suite.unpruned)))

    # An agreement that names no method wants none.
    agreement = extended(suite.agreement_methods) if suite.agreement_methods else ()
    return replace(suite, methods=extended(suite.methods), agreement_methods=agreement)


def _check_budgets(suite: Suite, filters: Filters) -> None:
    known = [complement(rate) for rate in suite.pruning_rates]
    for keep in filters.keep:
        if any(character in keep for character in "*?["):
            continue
        try:
            value = Decimal(keep)
        except ArithmeticError:
            raise UsageError(f"keep = {keep!r} is not a number", "write a fraction such as 0.1") from None
        if not 0 < value <= 1:
            raise UsageError(f"keep = {keep} is outside (0, 1]", "it is the fraction to keep: 0.1 keeps 10 %")
        if value != 1 and not any(Decimal(k) == value for k in known):
            raise UsageError(f"suite {suite.name!r} has no keep = {keep}", "known: " + ", ".join(known))


def _check_globs(suite: Suite, filters: Filters) -> None:
    for axis, globs, known in (
        ("backbone", filters.backbone, (NONE, *suite.backbones, *suite.agreement_backbones)),
        ("projector", filters.projector, (NONE, *suite.projectors, *suite.agreement_projectors)),
        ("arch", filters.arch, tuple(arch for arch, _ in suite.training)),
    ):
        for glob in globs:
            if not any(fnmatchcase(name, glob) for name in known):
                raise UsageError(f"suite {suite.name!r} has no {axis} {glob!r}", did_you_mean(glob, set(known)))


def _passes(value: str, globs: tuple[str, ...]) -> bool:
    return not globs or value == NONE or any(fnmatchcase(value, glob) for glob in globs)


def is_chosen(method: Method, filters: Filters) -> bool:
    """Tell whether a method of a suite passes the filters, by its name or its scorer's, or was added."""
    names = (method.name, method.scorer)
    return method.name in filters.added or any(_passes(name, filters.scorer) for name in names)


def _keep_passes(keep: str, globs: tuple[str, ...]) -> bool:
    return not globs or any(
        fnmatchcase(keep, glob) if any(c in glob for c in "*?[") else Decimal(glob) == Decimal(keep) for glob in globs
    )


def _methods(planner: Planner, filters: Filters) -> Iterator[tuple[Method, str]]:
    suite = planner.suite
    named = [(name, "baseline" if name == suite.baseline else "method") for name in suite.methods]
    if suite.unpruned:
        named.append((suite.unpruned, "unpruned"))
    for name, role in named:
        method = planner.registry.method(name)
        if is_chosen(method, filters):
            _check_axes(suite, method, planner.catalogue.scorer(method.scorer).spec)
            yield method, role


def _check_axes(suite: Suite, method: Method, spec: ScorerSpec) -> None:
    lacking = [
        axis
        for axis, wanted, named in (
            ("backbones", bool(spec.needs & FROM_BACKBONE), suite.backbones),
            ("projectors", "projection" in spec.needs, suite.projectors),
        )
        if wanted and not named
    ]
    if lacking:
        raise UsageError(
            f"method {method.name!r} needs {' and '.join(lacking)}, and suite {suite.name!r} names none",
            f"add {lacking[0]} = [...] to [suite.{suite.name}]",
        )


def _cells(planner: Planner, filters: Filters) -> Iterator[Goal]:
    suite = planner.suite
    seeds = range(min(suite.seeds, filters.seeds or suite.seeds))
    for method, role in _methods(planner, filters):
        spec = planner.catalogue.scorer(method.scorer).spec
        keeps = ("1",) if role == "unpruned" else tuple(complement(rate) for rate in suite.pruning_rates)
        for (backbone, projector), training, keep, seed in itertools.product(
            axes_of(spec, suite.backbones, suite.projectors), suite.training, keeps, seeds
        ):
            if (
                _passes(backbone, filters.backbone)
                and _passes(projector, filters.projector)
                and _passes(training[0], filters.arch)
                and (role == "unpruned" or _keep_passes(keep, filters.keep))
            ):
                task = planner.cell(method, backbone, projector, keep, training, seed)
                axes = _cell_axes(planner, method, role, backbone, projector, keep, training, seed)
                yield Goal({**axes, **_made_of(task)}, task)


def _cell_axes(
    planner: Planner, method: Method, role: str, backbone: str, projector: str, keep: str,
    training: tuple[str, str], seed: int,
) -> dict[str, Any]:  # fmt: skip
    scorer = planner.catalogue.scorer(method.scorer)
    selector, selector_params = planner.selector(method)
    return {
        "kind": "cell",
        **_shared_axes(planner, method, projector),
        "role": role,
        "api": scorer.spec.api,
        "score_backbone": backbone,
        "selector": selector.spec.name,
        "selector_params": selector_params,
        "keep": keep,
        "train_arch": training[0],
        "recipe": training[1],
        "seed": seed,
    }


def _shared_axes(planner: Planner, method: Method, projector: str) -> dict[str, Any]:
    scorer = planner.catalogue.scorer(method.scorer)
    return {
        "suite": planner.suite.name,
        "protocol": planner.registry.protocol,
        "dataset": planner.suite.dataset,
        "dataset_fingerprint": planner.fingerprint,
        "method": method.name,
        "scorer": method.scorer,
        "scorer_params": scorer.spec.resolve_params(method.params),
        "scorer_version": scorer.version,
        "scorer_dist": _distribution(scorer),
        "projector": projector,
        "projector_version": NONE if projector == NONE else planner.catalogue.projector(projector).version,
        "caveat": method.caveat,
    }


def _made_of(cell: Task) -> dict[str, str]:
    """Return the keys of what a cell is made of: equal keys are one observation."""
    scores = cell.upstream["subset"].upstream["scores"]
    features = {task.stage: task.key for task in scores.ancestors()}.get("features", "")
    proxy = scores.upstream.get("proxy")
    return {"scores_key": scores.key, "features_key": features, "proxy_key": proxy.key if proxy else ""}


def _distribution(entry: Entry[Any]) -> str:
    return f"{entry.origin.distribution} {entry.origin.version}"


def _agreements(planner: Planner, filters: Filters) -> Iterator[Goal]:
    suite = planner.suite
    seeds = range(min(suite.seeds, filters.seeds or suite.seeds))
    backbones = tuple(b for b in suite.agreement_backbones if _passes(b, filters.backbone))
    for name in suite.agreement_methods:
        method = planner.registry.method(name)
        if not is_chosen(method, filters):
            continue
        spec = planner.catalogue.scorer(method.scorer).spec
        if not spec.needs & FROM_BACKBONE or spec.budget_dependent:
            continue
        projectors = suite.agreement_projectors if "projection" in spec.needs else (NONE,)
        for projector in (p for p in projectors if _passes(p, filters.projector)):
            for first, second in _pairs(backbones, seeds):
                yield _agreement(planner, method, projector, first, second)


def _pairs(backbones: tuple[str, ...], seeds: range) -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
    for a, b in itertools.combinations(backbones, 2):
        for seed in seeds:
            yield (a, seed), (b, seed)
    for backbone in backbones:
        for s, t in itertools.combinations(seeds, 2):
            yield (backbone, s), (backbone, t)


def _agreement(
    planner: Planner, method: Method, projector: str, first: tuple[str, int], second: tuple[str, int]
) -> Goal:
    (backbone_a, seed_a), (backbone_b, seed_b) = first, second
    networks = planner.registry.networks
    a = planner.scores(method, backbone_a, projector, "", seed_a)
    b = planner.scores(method, backbone_b, projector, "", seed_b)
    task = planner.agreement(a, b)
    axes = {
        "kind": "agreement",
        **_shared_axes(planner, method, projector),
        "backbone_a": backbone_a,
        "seed_a": seed_a,
        "backbone_b": backbone_b,
        "seed_b": seed_b,
        "backbone_control": networks[backbone_a].control or networks[backbone_b].control,
        "scores_key_a": a.key,
        "scores_key_b": b.key,
    }
    return Goal(axes, task)
