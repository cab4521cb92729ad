"""Suite and filters to cells: pure, without data and without torch."""

import itertools
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from prunebench.errors import DataError, UsageError, did_you_mean
from prunebench.planner import Contents, Planner
from prunebench.plugins import Catalogue
from prunebench.records import Record, complement
from prunebench.registry import Method, Registry, Suite
from prunebench.specs import ScorerSpec
from prunebench.tasks import Task

NONE = "-"
MAX_TEXT = 2000  # characters of a reason or caveat that a record holds
FROM_BACKBONE = frozenset({"features", "logits", "projection", "gradients"})


@dataclass(frozen=True)
class Filters:
    """Globs on each axis; an empty tuple lets everything through. `seeds` is how many replicates to run.  Methods that
    read no backbone or projection pass the globs on these, so the baseline stays beside what is chosen; "-" lets them
    through alone. added: methods or installed scorers that the suite does not name, run beside those that pass."""

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
            return cast(Record, msgspec.convert(values, type=Record))
        except msgspec.ValidationError as error:
            text = f"{self.axes['suite']}: {self.axes['method']}: {error}"
            raise DataError(text, "a record cannot hold this: rename it") from error


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
        every = (task for goal in self.goals for task in (*goal.task.ancestors(), goal.task))
        return list({task.key: task for task in every}.values())


def axes_of(spec: ScorerSpec, backbones: tuple[str, ...], projectors: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield the (backbone, projector) pairs that a scorer distinguishes; "-" where it reads none."""
    read = backbones if spec.needs & FROM_BACKBONE else (NONE,)
    yield from itertools.product(read, projectors if "projection" in spec.needs else (NONE,))


def make_plan(
    registry: Registry,
    catalogue: Catalogue,
    suite_name: str,
    filters: Filters | None = None,
    contents: Contents | None = None,
    faults: dict[str, UsageError] | None = None,
    tolerated: type[UsageError] = UsageError,
) -> Plan:
    """Return the cells and comparisons of a suite that pass the filters; UsageError when there is none.  contents: of
    data and weights, where they were looked at; by default what the registry expects.  faults: where given, takes why
    methods of the suite cannot run, by their names, if it is a `tolerated` error; the others are planned."""
    filters = filters or Filters()
    suite = _with_added(registry.suite(suite_name), filters.added)
    _check_filters(suite, filters)

    def planner_of(kept: Container[str]) -> Planner:
        only = {axis: tuple(n for n in getattr(suite, axis) if n in kept) for axis in ("methods", "agreement_methods")}
        chosen = _narrowed(replace(suite, **only), registry, filters)
        return Planner(registry, catalogue, chosen, contents or Contents())

    names = dict.fromkeys((*suite.methods, *suite.agreement_methods))  # in their order
    if faults is not None:
        for name in (name for name in names if name not in filters.added):
            try:
                _goals(planner_of((name, *filters.added)))
            except tolerated as error:
                faults[name] = error
    planner = planner_of(names.keys() - (faults or {}))
    cells, agreements = _goals(planner)
    if cells or agreements:
        return Plan(suite, registry.protocol, cells, agreements)
    if faults:
        raise next(iter(faults.values()))
    compared = planner.suite.agreement_methods
    if compared and not suite.training and not any(_is_compared(planner, name) for name in compared):
        text = f"no cell and no comparison: suite {suite.name!r} trains no network, and scores are compared only of"
        text += f" methods that read a backbone and no budget, unlike {', '.join(compared)}"
        training = f"training = [{{ arch = ..., recipe = ... }}] to [suite.{suite.name}]"
        raise UsageError(text, f"add {training}, or methods that read a backbone")
    hint = f"see them all with `prunebench plan {suite.name}`"
    raise UsageError(f"no cell of suite {suite.name!r} passes the filters", hint)


def _goals(planner: Planner) -> tuple[tuple[Goal, ...], tuple[Goal, ...]]:
    """Return the cells and comparisons of a suite; raises UsageError for a method that cannot run."""
    suite = planner.registry.suite(planner.suite.name)
    for name in filter(None, (*planner.suite.methods, planner.suite.unpruned)):
        needs = planner.catalogue.scorer(planner.registry.method(name).scorer).spec.needs
        lacking = ["backbones"] if needs & FROM_BACKBONE and not suite.backbones else []
        lacking += ["projectors"] if "projection" in needs and not suite.projectors else []
        if lacking:
            text = f"method {name!r} needs {' and '.join(lacking)}, and suite {suite.name!r} names none"
            raise UsageError(text, f"add {lacking[0]} = [...] to [suite.{suite.name}]")
    return tuple(_cells(planner)), tuple(_agreements(planner))


def _with_added(suite: Suite, added: tuple[str, ...]) -> Suite:
    def extended(names: tuple[str, ...]) -> tuple[str, ...]:
        return (*names, *(name for name in dict.fromkeys(added) if name not in (*names, suite.unpruned)))

    # An agreement that names no method wants none.
    agreement = extended(suite.agreement_methods) if suite.agreement_methods else ()
    return replace(suite, methods=extended(suite.methods), agreement_methods=agreement)


def _check_filters(suite: Suite, filters: Filters) -> None:
    for axis, globs, names in (
        ("backbone", filters.backbone, (NONE, *suite.backbones, *suite.agreement_backbones)),
        ("projector", filters.projector, (NONE, *suite.projectors, *suite.agreement_projectors)),
        ("arch", filters.arch, tuple(arch for arch, _ in suite.training)),
    ):
        for glob in globs:
            if not any(fnmatchcase(name, glob) for name in names):
                raise UsageError(f"suite {suite.name!r} has no {axis} {glob!r}", did_you_mean(glob, set(names)))
    known = [complement(rate) for rate in suite.pruning_rates]
    for keep in filters.keep:
        if _is_glob(keep):
            continue
        try:
            is_fraction = 0 < Decimal(keep) <= 1
        except ArithmeticError:
            raise UsageError(f"keep = {keep!r} is not a number", "write a fraction such as 0.1") from None
        if not is_fraction:
            raise UsageError(f"keep = {keep} is outside (0, 1]", "it is the fraction to keep: 0.1 keeps 10 %")
        if not any(Decimal(k) == Decimal(keep) for k in ("1", *known)):
            raise UsageError(f"suite {suite.name!r} has no keep = {keep}", "known: " + ", ".join(known))


def _is_glob(text: str) -> bool:
    return any(character in text for character in "*?[")


def _passing(values: Iterable[str], globs: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(v for v in values if not globs or v == NONE or any(fnmatchcase(v, glob) for glob in globs))


def is_chosen(method: Method, filters: Filters) -> bool:
    """Tell whether a method of a suite passes the filters, by its name or its scorer's, or was added."""
    return method.name in filters.added or bool(_passing((method.name, method.scorer), filters.scorer))


def _narrowed(suite: Suite, registry: Registry, filters: Filters) -> Suite:
    """Return the suite with what passes the filters alone; the whole set is trained on whatever `keep` says."""
    globs = filters.keep

    def chosen(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in names if is_chosen(registry.method(name), filters))

    def fits(keep: str, glob: str) -> bool:
        return fnmatchcase(keep, glob) if _is_glob(glob) else Decimal(glob) == Decimal(keep)

    return replace(
        suite,
        methods=chosen(suite.methods),
        unpruned=suite.unpruned if suite.unpruned and chosen((suite.unpruned,)) else "",
        backbones=_passing(suite.backbones, filters.backbone),
        projectors=_passing(suite.projectors, filters.projector),
        training=tuple(pair for pair in suite.training if _passing(pair[:1], filters.arch)),
        pruning_rates=tuple(r for r in suite.pruning_rates if not globs or any(fits(complement(r), g) for g in globs)),
        seeds=min(suite.seeds, filters.seeds or suite.seeds),
        agreement_methods=chosen(suite.agreement_methods),
        agreement_backbones=_passing(suite.agreement_backbones, filters.backbone),
        agreement_projectors=_passing(suite.agreement_projectors, filters.projector),
    )


def _cells(planner: Planner) -> Iterator[Goal]:
    suite = planner.suite
    roles = [(name, "baseline" if name == suite.baseline else "method") for name in suite.methods]
    for name, role in (*roles, *([(suite.unpruned, "unpruned")] if suite.unpruned else [])):
        method = planner.registry.method(name)
        spec = planner.catalogue.scorer(method.scorer).spec
        selector, selector_params = planner.selector(method)
        keeps = ("1",) if role == "unpruned" else tuple(complement(rate) for rate in suite.pruning_rates)
        for (backbone, projector), (arch, recipe), keep, seed in itertools.product(
            axes_of(spec, suite.backbones, suite.projectors), suite.training, keeps, range(suite.seeds)
        ):
            task = planner.cell(method, backbone, projector, keep, (arch, recipe), seed)
            axes = {
                "kind": "cell", **_shared_axes(planner, method, projector), "role": role, "api": spec.api,
                "score_backbone": backbone, "selector": selector.spec.name, "selector_params": selector_params,
                "keep": keep, "train_arch": arch, "recipe": recipe, "seed": seed, **_made_of(task),
            }  # fmt: skip
            yield Goal(axes, task)


def _shared_axes(planner: Planner, method: Method, projector: str) -> dict[str, Any]:
    scorer = planner.catalogue.scorer(method.scorer)
    return {
        "suite": planner.suite.name, "protocol": planner.registry.protocol, "dataset": planner.suite.dataset,
        "dataset_fingerprint": planner.fingerprint, "method": method.name, "scorer": method.scorer,
        "scorer_params": scorer.spec.resolve_params(method.params), "scorer_version": scorer.version,
        "scorer_dist": f"{scorer.origin.distribution} {scorer.origin.version}", "projector": projector,
        "projector_version": NONE if projector == NONE else planner.catalogue.projector(projector).version,
        "caveat": method.caveat,
    }  # fmt: skip


def _made_of(cell: Task) -> dict[str, str]:
    """Return the keys of what a cell is made of: equal keys are one observation."""
    scores = cell.upstream["subset"].upstream["scores"]
    features = {task.stage: task.key for task in scores.ancestors()}.get("features", "")
    proxy = scores.upstream.get("proxy")
    return {"scores_key": scores.key, "features_key": features, "proxy_key": proxy.key if proxy else ""}


def _is_compared(planner: Planner, name: str) -> bool:
    spec = planner.catalogue.scorer(planner.registry.method(name).scorer).spec
    return bool(spec.needs & FROM_BACKBONE) and not spec.budget_dependent


def _agreements(planner: Planner) -> Iterator[Goal]:
    suite, networks, seeds = planner.suite, planner.registry.networks, range(planner.suite.seeds)
    pairs = [((a, s), (b, s)) for a, b in itertools.combinations(suite.agreement_backbones, 2) for s in seeds]
    pairs += [((b, s), (b, t)) for b in suite.agreement_backbones for s, t in itertools.combinations(seeds, 2)]
    for method in (planner.registry.method(name) for name in suite.agreement_methods if _is_compared(planner, name)):
        spec = planner.catalogue.scorer(method.scorer).spec
        projectors = suite.agreement_projectors if "projection" in spec.needs else (NONE,)
        for projector, ((backbone_a, seed_a), (backbone_b, seed_b)) in itertools.product(projectors, pairs):
            a = planner.scores(method, backbone_a, projector, "", seed_a)
            b = planner.scores(method, backbone_b, projector, "", seed_b)
            axes = {
                "kind": "agreement", **_shared_axes(planner, method, projector), "backbone_a": backbone_a,
                "seed_a": seed_a, "backbone_b": backbone_b, "seed_b": seed_b, "scores_key_a": a.key,
                "scores_key_b": b.key, "backbone_control": networks[backbone_a].control or networks[backbone_b].control,
            }  # fmt: skip
            yield Goal(axes, planner.agreement(a, b))
