"""What a run would meet, told before it starts: what cannot run, what will not apply, and how long it takes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from msgspec.structs import replace

from prunebench.errors import DataError, UsageError
from prunebench.plan import NONE, Filters, Goal, Plan, make_plan
from prunebench.planner import Contents
from prunebench.plugins import Catalogue
from prunebench.records import CellRecord, parse
from prunebench.registry import Network, Registry
from prunebench.store import Store
from prunebench.tasks import Task


def without_faults(
    registry: Registry, catalogue: Catalogue, suite_name: str, filters: Filters
) -> tuple[Registry, list[str]]:
    """Return the registry with a suite of the methods that can be planned, and why each of the others cannot.

    Raises UsageError where no method can be planned.
    """
    suite, contents = registry.suite(suite_name), Contents({registry.suite(suite_name).dataset: "0" * 32})

    def planned(methods: Iterable[str]) -> Registry:
        """Return the registry with these methods alone in the suite; raises UsageError for one that cannot run."""
        kept = {*methods}
        changed = replace(
            suite,
            methods=tuple(name for name in suite.methods if name in kept),
            agreement_methods=tuple(name for name in suite.agreement_methods if name in kept),
        )
        reduced = replace(registry, suites={**registry.suites, suite_name: changed})
        make_plan(reduced, catalogue, suite_name, filters, contents)
        return reduced

    names = dict.fromkeys((*suite.methods, *suite.agreement_methods))
    try:
        return planned(names), []
    except UsageError:
        faults = {}
        for name in names:
            try:
                planned([name])
            except UsageError as error:
                if not error.message.startswith("no cell"):  # the filters leave it out
                    faults[name] = f"{error.message}: {error.hint}"
        return planned(name for name in names if name not in faults), list(faults.values())


def obstacles(
    plan: Plan, registry: Registry, catalogue: Catalogue, roots: Iterable[str], missing: Iterable[Task]
) -> list[str]:
    """Return what will keep networks from being built and methods from being applied, a sentence for each.

    missing: tasks to compute; what only the others need is not looked at.  Providers of networks are imported.
    """
    wanted = {task.key for task in missing}
    goals = [goal for goal in plan.goals if goal.key in wanted]
    problems, outputs = _outputs(_networks(goals, plan, registry), catalogue, tuple(map(Path, roots)))
    entry = registry.datasets[plan.suite.dataset]

    @cache
    def size() -> tuple[int, int] | None:
        """Return the number of training samples and of classes, None where the data are not here."""
        from prunebench.stages.data import load_dataset

        plugin = catalogue.dataset(entry.spec)
        try:
            data = load_dataset(plugin, plugin.spec.resolve_params(entry.params), tuple(map(Path, roots)))
        except DataError:
            return None
        return len(data.train), data.n_classes

    for method, reason in _declined(goals, catalogue, outputs, size):
        problems.append(f"{method} will not apply: {reason}")
    return list(dict.fromkeys(problems))


def _networks(goals: Iterable[Goal], plan: Plan, registry: Registry) -> dict[str, Network]:
    axes = ("score_backbone", "train_arch", "backbone_a", "backbone_b")
    names = {str(goal.axes[axis]) for goal in goals for axis in axes if goal.axes.get(axis, NONE) != NONE}
    reads_proxy = any(goal.axes.get("proxy_key") for goal in goals)
    if plan.suite.proxy and reads_proxy:
        names.add(plan.suite.proxy[0])
    return {name: registry.networks[name] for name in sorted(names)}


def _outputs(
    networks: Mapping[str, Network], catalogue: Catalogue, roots: tuple[Path, ...]
) -> tuple[list[str], dict[str, int]]:
    """Return what is wrong with networks, and how many classes those that come with a head of their own predict."""
    problems, outputs = [], {}
    for name, network in networks.items():
        ask: Callable[..., int | None] | None = getattr(
            catalogue.backbone(network.arch.provider).load(), "outputs", None
        )
        try:
            file = _weights_file(network, roots)
            if ask is not None and (found := ask(network.arch, network.weights.source, file)) is not None:
                outputs[name] = found
        except DataError as error:
            problems.append(f"network {name} cannot be had: {error.message}: {error.hint}")
    return problems, outputs


def _weights_file(network: Network, roots: tuple[Path, ...]) -> Path | None:
    from prunebench.stages.embed import find_weights

    weights = network.weights
    return find_weights(weights.file, weights.sha256, roots)[0] if weights.source == "file" else None


def _declined(
    goals: Iterable[Goal], catalogue: Catalogue, outputs: Mapping[str, int], size: Callable[[], tuple[int, int] | None]
) -> Iterable[tuple[str, str]]:
    for goal in goals:
        spec, projector = catalogue.scorer(goal.axes["scorer"]).spec, goal.axes["projector"]
        least = [(spec.name, spec.min_samples)]
        if projector != NONE:
            least.append((projector, catalogue.projector(projector).spec.min_samples))
        for name, n in least:
            if n > 1 and (found := size()) and found[0] < n:
                yield goal.axes["method"], f"{name} needs at least {n} samples, and the data set has {found[0]}"
        for backbone in _backbones_whose_classes_count(goal, spec.needs):
            if backbone in outputs and (found := size()) and outputs[backbone] != found[1]:
                yield (
                    goal.axes["method"],
                    f"it reads class predictions, and {backbone} predicts {outputs[backbone]} classes where the data "
                    f"set has {found[1]}; train the backbone on the data set (weights = {{ train = RECIPE }}), or "
                    "choose a method without logits",
                )


def _backbones_whose_classes_count(goal: Goal, needs: frozenset[str]) -> list[str]:
    classified = any(t.stage == "projection" and t.config["rows"] == "classified" for t in goal.task.ancestors())
    if not needs & {"logits", "gradients"} and not classified:
        return []
    return [goal.axes[axis] for axis in ("score_backbone", "backbone_a", "backbone_b") if axis in goal.axes]


def expected_seconds(
    plan: Plan, missing: Mapping[str, Task], store: Store, results: Path
) -> tuple[float, Counter[str]]:
    """Return the time that the missing tasks take one worker, and by stage how many tasks no time is known of.

    Measured are the artefacts of the cache, by kind of task, and the committed records of the same data: scorings by
    scorer, trainings by network, recipe and fraction kept.
    """
    measured: dict[Any, list[float]] = defaultdict(list)
    for task in plan.tasks():
        if (meta := store.meta(task.stage, task.key)) is not None:
            measured[task.kind].append(meta.get("record", {}).get("seconds_train", meta.get("seconds", 0.0)))
    for path in sorted(results.glob(f"*/{plan.suite.dataset}/*.jsonl")):
        for record in parse(path.read_text(encoding="utf-8")):
            if isinstance(record, CellRecord) and record.status == "ok":
                data = record.dataset_fingerprint
                measured["scores", record.scorer, data].append(record.seconds_score)
                measured["cell", record.train_arch, record.recipe, record.keep, data].append(record.seconds_train)
    places = {goal.key: goal.axes for goal in plan.cells}
    total, unknown = 0.0, Counter[str]()
    for key, task in missing.items():
        times = measured.get(_as_recorded(task, places.get(key, {}))) or measured.get(task.kind)
        if times:
            total += fmean(times)
        elif task.stage not in ("subset", "agreement"):  # a blink
            unknown[task.stage] += 1
    return total, unknown


def _as_recorded(task: Task, axes: Mapping[str, Any]) -> tuple[str, ...]:
    data = task.config["dataset"]["fingerprint"]
    if task.stage == "scores":
        return ("scores", task.config["plugin"]["name"], data)
    return (task.stage, axes.get("train_arch", ""), axes.get("recipe", ""), axes.get("keep", ""), data)
