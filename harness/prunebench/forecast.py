"""What a run would meet, told before it starts: what cannot run, what will not apply, and how long it takes."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from prunebench.errors import DataError
from prunebench.identify import load_registered
from prunebench.plan import NONE, Goal, Plan
from prunebench.plugins import Catalogue
from prunebench.records import CellRecord, parse
from prunebench.registry import Network, Registry
from prunebench.stages.embed import find_weights
from prunebench.store import Store
from prunebench.tasks import Task

_TRAINED = ("train_arch", "recipe", "keep")
_SCORING = ("score_backbone", "backbone_a", "backbone_b")  # the axes of a goal that name networks that score


def obstacles(
    plan: Plan, registry: Registry, catalogue: Catalogue, roots: tuple[str, ...], missing: Iterable[Task]
) -> list[str]:
    """Return what will keep networks from being built and methods from being applied, a sentence for each.  missing:
    tasks to compute; what only the others need is not looked at.  Providers of networks are imported."""
    wanted = {task.key for task in missing}
    goals = [goal for goal in plan.goals if goal.key in wanted]
    names = {str(goal.axes[axis]) for goal in goals for axis in (*_SCORING, "train_arch") if axis in goal.axes}
    if plan.suite.proxy and any(goal.axes.get("proxy_key") for goal in goals):
        names.add(plan.suite.proxy.arch)
    problems, outputs = list[str](), dict[str, int | None]()
    for name in sorted(names - {NONE}):
        try:
            outputs[name] = _outputs(registry.network(name), catalogue, roots)
        except DataError as error:
            problems.append(f"network {name} cannot be had: {error.message}: {error.hint}")

    @cache
    def size() -> tuple[int, int] | None:
        """The number of training samples and of classes; None where the data are not here."""
        with suppress(DataError):
            data = load_registered(registry.datasets[plan.suite.dataset], catalogue, roots)
            return len(data.train), data.n_classes
        return None

    for goal in goals:
        reasons = _reasons(goal, catalogue, outputs, size)
        problems += [f"{goal.axes['method']} will not apply: {reason}" for reason in reasons]
    return list(dict.fromkeys(problems))


def _outputs(network: Network, catalogue: Catalogue, roots: tuple[str, ...]) -> int | None:
    """Return how many classes a network predicts that comes with a head of its own; DataError where it is not here."""
    if network.head == "fitted":
        return None
    weights, provider = network.weights, catalogue.backbone(network.arch.provider).load()
    file = None
    if weights.source == "file":
        file, _ = find_weights(weights.file, weights.sha256, roots, weights.package)
    found: int | None = provider.outputs(network.arch, weights.source, file) if hasattr(provider, "outputs") else None
    return found


def _reasons(
    goal: Goal, catalogue: Catalogue, outputs: Mapping[str, int | None], size: Callable[[], tuple[int, int] | None]
) -> Iterator[str]:
    axes, scorer = goal.axes, catalogue.scorer(goal.axes["scorer"]).spec
    projectors: list[Any] = [] if axes["projector"] == NONE else [catalogue.projector(axes["projector"]).spec]
    for spec in (scorer, *projectors):
        if spec.min_samples > 1 and (found := size()) and found[0] < spec.min_samples:
            yield f"{spec.name} needs at least {spec.min_samples} samples, and the data set has {found[0]}"
    classified = any(t.stage == "projection" and t.config["rows"] == "classified" for t in goal.task.ancestors())
    if scorer.needs & {"logits", "gradients"} or classified:
        for backbone in (axes[axis] for axis in _SCORING if axis in axes):
            if outputs.get(backbone) is not None and (found := size()) and outputs[backbone] != found[1]:
                heads = f"{backbone} predicts {outputs[backbone]} classes where the data set has {found[1]}"
                advice = "train the backbone on the data set (weights = { train = RECIPE })"
                yield f"it reads class predictions, and {heads}; {advice}, or choose a method without logits"


def expected_seconds(
    plan: Plan, missing: Mapping[str, Task], store: Store, results: Path
) -> tuple[float, Counter[str]]:
    """Return the time that the missing tasks take one worker, and by stage how many tasks no time is known of."""
    known = measured_seconds(plan, missing, store, results)
    blink = ("subset", "agreement")
    unknown = Counter(t.stage for key, t in missing.items() if key not in known and t.stage not in blink)
    return sum(known.values()), unknown


def measured_seconds(
    plan: Plan, missing: Mapping[str, Task], store: Store, results: Path, machine_class: str = ""
) -> dict[str, float]:
    """Return the time that missing tasks took before, by their keys; tasks that were never met are left out.  Measured
    are the artefacts of the cache, by kind of task, and the records of the same data: scorings by scorer, trainings by
    network, recipe and fraction kept.  machine_class: only of what was measured on such machines; default: on any."""
    measured: dict[Any, list[float]] = defaultdict(list)
    for task in plan.tasks():
        if (meta := store.meta(task.stage, task.key)) is not None:
            record = meta.get("record", {})
            if machine_class in ("", record.get("machine_class", machine_class)):
                measured[task.kind].append(record.get("seconds_train", meta.get("seconds", 0.0)))
    for path in sorted(results.glob(f"*/{plan.suite.dataset}/*.jsonl")):
        # An estimate does without what cannot be read; who needs the records names the file.
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        for record in parse(text):
            if not isinstance(record, CellRecord) or record.status != "ok":
                continue
            if machine_class in ("", record.machine_class):
                data = record.dataset_fingerprint
                measured["scores", record.scorer, data].append(record.seconds_score)
                measured["cell", record.train_arch, record.recipe, record.keep, data].append(record.seconds_train)
    cells, found = {goal.key: [goal.axes[axis] for axis in _TRAINED] for goal in plan.cells}, dict[str, float]()
    for key, task in missing.items():
        read = [task.config["plugin"]["name"]] if task.stage == "scores" else cells.get(key, [])
        recorded = (task.stage, *read, task.config["dataset"]["fingerprint"])
        if times := measured.get(recorded) or measured.get(task.kind):
            found[key] = fmean(times)
    return found
