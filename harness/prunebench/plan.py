"""Suite and filters to cells: pure, without data and without torch."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, cached_property
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from prunebench.errors import DataError, UsageError, did_you_mean
from prunebench.keys import digest
from prunebench.planner import Contents, Planner
from prunebench.plugins import Catalogue
from prunebench.records import Record, complement, is_kept_fraction
from prunebench.registry import Method, Registry, Suite, without_noise
from prunebench.registry.fields import Names
from prunebench.registry.model import Pair
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

    @cached_property
    def place(self) -> tuple[Any, ...]:
        """Where its record stands on the board."""
        return self._unfinished.place

    @property
    def file(self) -> Path:
        """The file of its record, below the results folder."""
        return self._unfinished.file

    @cached_property
    def _unfinished(self) -> Record:
        return self.record(status="interrupted")

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
    """Cells to train and pairs of scores to compare.  notes: what was seen of the data, where they were looked at."""

    suite: Suite
    protocol: str
    cells: tuple[Goal, ...]
    agreements: tuple[Goal, ...]
    faults: Mapping[str, UsageError]  # why methods of the suite cannot run, by their names
    notes: tuple[str, ...] = ()

    @property
    def goals(self) -> tuple[Goal, ...]:
        """All records to be."""
        return (*self.cells, *self.agreements)

    def tasks(self) -> list[Task]:
        """Return every task once, inputs first."""
        every = (task for goal in self.goals for task in (*goal.task.ancestors(), goal.task))
        return list({task.key: task for task in every}.values())


def cell_axes(
    suite: Suite, method: str, needs: frozenset[str]
) -> tuple[Names, Names, tuple[Pair, ...], Names, Iterable[int]]:
    """Return the backbones, projectors, trainings, fractions to keep and seeds of a method whose scorer reads the
    evidence `needs`, "-" where it reads no backbone or projection.  Each combination is a cell."""
    backbones = suite.backbones if FROM_BACKBONE & needs else (NONE,)
    projectors = suite.projectors if "projection" in needs else (NONE,)
    keeps = ("1",) if method == suite.unpruned else suite.keeps
    return backbones, projectors, suite.training, keeps, range(suite.seeds)


def make_plan(
    registry: Registry, catalogue: Catalogue, suite_name: str, filters: Filters | None = None,
    contents: Contents | None = None, tolerated: tuple[type[UsageError], ...] = (),
) -> Plan:  # fmt: skip
    """Return the cells and comparisons of a suite that pass the filters; UsageError when there is none.  contents: of
    data and weights, where they were looked at; by default what the registry expects.  tolerated: errors with which
    methods of the suite may refuse, if others are planned."""
    filters = filters or Filters()
    filters = dataclasses.replace(filters, keep=tuple(map(_plain, filters.keep)))
    _check_filters(registry.suite(suite_name), filters)
    suite = _narrowed(registry.suite(suite_name), registry, filters)
    planner, goals = Planner(registry, catalogue, suite, contents or Contents()), list[Goal]()
    faults: dict[str, UsageError] = {}
    for name in filter(None, dict.fromkeys((*suite.methods, *suite.agreement.methods, suite.unpruned))):
        try:
            goals += [*_cells(planner, name), *_agreements(planner, name)]
        except tolerated as error:
            if name in (*filters.added, suite.unpruned):
                raise
            faults[name] = error
    if not goals:
        raise next(iter(faults.values())) if faults else _nothing(planner)
    cells, agreements = (tuple(g for g in goals if g.axes["kind"] == kind) for kind in ("cell", "agreement"))
    return Plan(suite, registry.protocol, cells, agreements, faults)


def _nothing(planner: Planner) -> UsageError:
    """Return why a suite has neither cells nor comparisons."""
    suite, compared = planner.suite, planner.suite.agreement.methods
    if compared and not suite.training and not any(_is_compared(planner, name) for name in compared):
        text = f"no cell and no comparison: suite {suite.name!r} trains no network, and scores are compared only of"
        text += f" methods that read a backbone and no budget, unlike {', '.join(compared)}"
        training = f"training = [{{ arch = ..., recipe = ... }}] to [suite.{suite.name}]"
        return UsageError(text, f"add {training}, or methods that read a backbone")
    hint = f"see them all with `prunebench plan {suite.name}`"
    return UsageError(f"no cell of suite {suite.name!r} passes the filters", hint)


def _plain(keep: str) -> str:
    """Return a fraction to keep as suites write it, or a glob as it is."""
    if any(character in keep for character in "*?["):
        return keep
    if not is_kept_fraction(keep):
        text = f"keep = {keep!r} is not a number, or outside (0, 1]"
        raise UsageError(text, "write the fraction to keep: 0.1 keeps 10 %")
    return complement(complement(keep))


def _check_filters(suite: Suite, filters: Filters) -> None:
    axes = {
        "backbone": (NONE, *suite.backbones, *suite.agreement.backbones),
        "projector": (NONE, *suite.projectors, *suite.agreement.projectors),
        "arch": tuple(pair.arch for pair in suite.training),
        "keep": ("1", *suite.keeps),
    }
    for axis, names in axes.items():
        for glob in getattr(filters, axis):
            if not _passing(names, (glob,)):
                named = f"keep = {glob}" if axis == "keep" else f"{axis} {glob!r}"
                raise UsageError(f"suite {suite.name!r} has no {named}", did_you_mean(glob, {*names}))


def _passing(values: Iterable[str], globs: tuple[str, ...]) -> Names:
    return tuple(value for value in values if not globs or any(fnmatchcase(value, glob) for glob in globs))


def _narrowed(suite: Suite, registry: Registry, filters: Filters) -> Suite:
    """Return the suite with the methods that are added, and else with what passes the filters alone; the whole set is
    trained on whatever `keep` says."""
    added = tuple(name for name in filters.added if name != suite.unpruned)

    def chosen(*names: str) -> Names:
        passing = (n for n in names if n in filters.added or _passing((n, registry.method(n).scorer), filters.scorer))
        return tuple(dict.fromkeys(filter(None, passing)))

    compared = suite.agreement  # one that names no method wants none
    agreement = replace(
        compared,
        methods=chosen(*compared.methods, *added) if compared.methods else (),
        projectors=_passing(compared.projectors, filters.projector),
        backbones=_passing(compared.backbones, filters.backbone),
    )
    return replace(
        suite,
        methods=chosen(*suite.methods, *added),
        unpruned="".join(chosen(suite.unpruned)),
        backbones=_passing(suite.backbones, filters.backbone),
        projectors=_passing(suite.projectors, filters.projector),
        training=tuple(pair for pair in suite.training if _passing([pair.arch], filters.arch)),
        pruning_rates=tuple(map(complement, _passing(suite.keeps, filters.keep))),
        seeds=min(suite.seeds, filters.seeds or suite.seeds),
        agreement=agreement,
    )


def _cells(planner: Planner, name: str) -> Iterator[Goal]:
    """Yield the cells of a method; raises UsageError where it cannot run."""
    suite, method = planner.suite, planner.registry.method(name)
    if name not in (*suite.methods, suite.unpruned):
        return
    spec = planner.catalogue.scorer(method.scorer).spec
    whole = planner.registry.suite(suite.name)
    axes_read = zip(("backbones", "projectors"), cell_axes(whole, name, spec.needs), strict=False)
    if lacking := [axis for axis, names in axes_read if not names]:
        text = f"method {name!r} needs {' and '.join(lacking)}, and suite {suite.name!r} names none"
        raise UsageError(text, f"add {lacking[0]} = [...] to [suite.{suite.name}]")
    for rate in method.at:  # a fault at any of them is told now, and not where its cell comes
        _shared_axes(planner, there := method.at_keep(complement(rate)), NONE)
        planner.selector(there)
    at_keep = cache(method.at_keep)

    @cache
    def common(projector: str, keep: str) -> dict[str, Any]:
        selector, selector_params = planner.selector(at_keep(keep))
        return {
            "kind": "cell", **_shared_axes(planner, at_keep(keep), projector), "role": suite.role(name),
            "api": spec.api, "selector": selector.spec.name, "selector_params": selector_params, "keep": keep,
        }  # fmt: skip

    for backbone, projector, training, keep, seed in itertools.product(*cell_axes(suite, name, spec.needs)):
        task = planner.cell(at_keep(keep), backbone, projector, keep, training, seed)
        axes = {
            **common(projector, keep), "score_backbone": backbone, "train_arch": training.arch,
            "recipe": training.recipe, "seed": seed, **_made_of(task),
        }  # fmt: skip
        yield Goal({**axes, **_taught(task, axes["caveat"])}, task)


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


def _taught(cell: Task, caveat: str) -> dict[str, str]:
    """Return what a record says of a teacher: which one, and that it has seen what was pruned."""
    if "teacher" not in cell.config:
        return {}
    trained = [task.key for role, task in cell.upstream.items() if role == "weights"]
    key = digest([cell.config["teacher"], cell.config["weights"], trained])
    told = "taught by a network that was trained on the whole training set"
    return {"teacher_key": key, "caveat": "; ".join(filter(None, (caveat, told)))}


def _is_compared(planner: Planner, name: str) -> bool:
    method = planner.registry.method(name)
    spec = planner.catalogue.scorer(method.scorer).spec
    of_a_budget = spec.budget_dependent or any(there.params for there in method.at.values())
    return bool(FROM_BACKBONE & spec.needs) and not of_a_budget


def _agreements(planner: Planner, name: str) -> Iterator[Goal]:
    """Yield the comparisons of a method's scores between backbones and between seeds."""
    suite, method, network = planner.suite.agreement, planner.registry.method(name), planner.registry.network
    if name not in suite.methods or not _is_compared(planner, name):
        return
    seeds, spec = range(planner.suite.seeds), planner.catalogue.scorer(method.scorer).spec
    clean = [backbone for backbone in suite.backbones if not without_noise(backbone)[1]]
    pairs = [((a, s), (b, s)) for a, b in planner.suite.pairs for s in seeds]
    pairs += [((b, s), (b, t)) for b in clean for s, t in itertools.combinations(seeds, 2)]
    projectors = suite.projectors if "projection" in spec.needs else (NONE,)
    for projector, ((backbone_a, seed_a), (backbone_b, seed_b)) in itertools.product(projectors, pairs):
        a = planner.scores(method, backbone_a, projector, "", seed_a)
        b = planner.scores(method, backbone_b, projector, "", seed_b)
        axes = {
            "kind": "agreement", **_shared_axes(planner, method, projector), "backbone_a": backbone_a,
            "seed_a": seed_a, "backbone_b": backbone_b, "seed_b": seed_b, "scores_key_a": a.key,
            "scores_key_b": b.key, "backbone_control": network(backbone_a).control or network(backbone_b).control,
            **({"given": suite.given} if suite.given else {}),
        }  # fmt: skip
        sides = ((backbone_a, seed_a), (backbone_b, seed_b))
        yield Goal(axes, planner.agreement((a, b), method, projector, sides))
