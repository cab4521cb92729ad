"""What a run would meet, told before it starts: what cannot run, what will not apply, and how long it takes."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from itertools import takewhile
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from prunebench.discovery.installed import environment_digest
from prunebench.errors import DataError, Fault, StoreError
from prunebench.guard import read_plain
from prunebench.identify import data_of
from prunebench.keys import digest
from prunebench.plan import NONE, Goal, Plan
from prunebench.plugins import Catalogue
from prunebench.records import CellRecord, Record, read_items, write_text
from prunebench.registry import Network
from prunebench.request import Request
from prunebench.settings import Settings
from prunebench.stages.embed import find_weights
from prunebench.store import Store
from prunebench.tasks import Task

OUTPUTS = Path("plugins", "outputs.json")  # below the cache folder
_MOST = 5000  # answers that are kept
_TRAINED = ("train_arch", "recipe", "keep")
_SCORING = ("score_backbone", "backbone_a", "backbone_b")  # the axes of a goal that name networks that score


def obstacles(plan: Plan, asked: Request, missing: Iterable[Task]) -> list[str]:
    """Return what will keep networks from being built and methods from being applied, a sentence for each.  missing:
    tasks to compute; what only the others need is not looked at.  Providers of networks are imported, unless the cache
    holds what they said."""
    wanted = {task.key for task in missing}
    goals = [goal for goal in plan.goals if goal.key in wanted]
    names = {str(goal.axes[axis]) for goal in goals for axis in (*_SCORING, "train_arch") if axis in goal.axes}
    if plan.suite.proxy and any(goal.axes.get("proxy_key") for goal in goals):
        names.add(plan.suite.proxy.arch)
    problems, outputs = list[str](), dict[str, int | None]()
    for name in sorted(names - {NONE}):
        try:
            outputs[name] = _outputs(asked.registry.network(name), asked.plugins, asked.settings)
        except DataError as error:
            problems.append(f"network {name} cannot be had: {error.message}: {error.hint}")

    @cache
    def size() -> tuple[int, int] | None:
        """The number of training samples and of classes; None where the data are not here."""
        with suppress(DataError):
            data = data_of(asked)
            return len(data.train), data.n_classes
        return None

    for goal in goals:
        reasons = _reasons(goal, asked.plugins, outputs, size)
        problems += [f"{goal.axes['method']} will not apply: {reason}" for reason in reasons]
    return list(dict.fromkeys(problems))


def _outputs(network: Network, catalogue: Catalogue, settings: Settings) -> int | None:
    """Return how many classes a network predicts that comes with a head of its own; DataError where it is not here."""
    if network.head == "fitted":
        return None
    weights, entry, file, sha256 = network.weights, catalogue.backbone(network.arch.provider), None, ""
    if weights.source == "file":
        file, sha256 = find_weights(weights.file, weights.sha256, settings.data_roots, weights.package)
    asked = digest([asdict(network.arch), weights.source, sha256, str(entry), entry.version, environment_digest()])
    known = _kept_outputs(Path(settings.cache) / OUTPUTS)
    if asked not in known:
        provider = entry.load()
        found = provider.outputs(network.arch, weights.source, file) if hasattr(provider, "outputs") else None
        known[asked] = found
        with suppress(StoreError):  # a cache that cannot be written is no error; a plan makes none
            if Path(settings.cache).is_dir():
                newest = dict([*known.items()][-_MOST:])
                write_text(Path(settings.cache) / OUTPUTS, msgspec.json.encode(newest).decode())
    return known[asked]


def _kept_outputs(file: Path) -> dict[str, int | None]:
    """Return what providers said before; nothing where the file is not there, or damaged."""
    with suppress(DataError, UnicodeDecodeError, msgspec.MsgspecError):
        return msgspec.json.decode(read_plain(file), type=dict[str, int | None])
    return {}


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


def _readable(path: Path) -> Iterator[Record]:
    """Yield the records of a file up to the first line that is none."""
    with suppress(DataError):
        yield from takewhile(lambda item: not isinstance(item, Fault), read_items(path))


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
        if task.key not in missing and (meta := store.meta(task.stage, task.key)) is not None:
            record = meta.get("record", {})
            seconds = record.get("seconds_train", meta.get("seconds", 0.0))
            if machine_class in ("", record.get("machine_class", machine_class)) and isinstance(seconds, int | float):
                measured[task.kind].append(seconds)
    for path in sorted(results.glob(f"*/{plan.suite.dataset}/*.jsonl")):
        # An estimate does without what cannot be read; who needs the records names the file.
        for record in _readable(path):
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
