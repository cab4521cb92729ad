"""Run an implementation on a small problem, as a worker would."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prunebench import contexts
from prunebench.contexts import ScoreContext, Scores, SelectContext, Selection, TrainContext
from prunebench.errors import PluginContractError
from prunebench.labelling import label_problem
from prunebench.plugins import Entry
from prunebench.testing.problems import Problem, mapped, ordinary, relearnt
from prunebench.testing.results import DoesNotApply
from prunebench.toolbox import n_keep, preference_order
from prunebench.wire import from_json, to_json

if TYPE_CHECKING:
    import torch

FORKED = 70  # exit code of a copy of the process that came back from a plugin
KEEP = "0.3"


@dataclass(frozen=True, kw_only=True)
class Case:
    """How an implementation is run: on what, with which seed, and what else is allowed.

    writable: give it private copies that it may scribble on.  everything: all evidence and the budget are
    readable, whatever was declared.  keep: the budget as a fraction.  seconds: time until the deadline.
    """

    problem: Problem = field(default_factory=ordinary, repr=False)
    seed: int = 0
    writable: bool = False
    everything: bool = False
    keep: str = KEEP
    seconds: float = math.inf


@contextmanager
def context(entry: Entry[Any], case: Case) -> Iterator[Any]:
    """Yield the context for an entry of any kind that computes; its work folder is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="work-", ignore_cleanup_errors=True) as folder:
        shared = {
            "params": entry.spec.resolve_params(getattr(entry.spec, "check_params", {})),
            "seed": case.seed,
            "workdir": Path(folder),
            "deadline": None if math.isinf(case.seconds) else time.time() + case.seconds,
        }
        yield _MAKERS[entry.spec.kind](entry, case, shared)


def run(entry: Entry[Any], case: Case | None = None) -> Any:
    """Return what the implementation returns; its exceptions pass through."""
    with context(entry, case or Case()) as ctx:
        return call(entry, ctx)


def ordinary_run(entry: Entry[Any]) -> Any:
    """Return what an ordinary run with seed 0 gave, the first time that it was asked for."""
    return _first_run(json.dumps(to_json(entry)))


@lru_cache(maxsize=1)
def _first_run(described: str) -> Any:
    return run(from_json(json.loads(described)))


def call(entry: Entry[Any], ctx: Any) -> Any:
    """Return what the implementation makes of a context; a copy of this process that comes back ends here."""
    labeller = entry.load_labeller() if getattr(entry.spec, "labeller", "") else None
    implementation, home = entry.load(), os.getpid()
    implementation = implementation.embed if entry.spec.kind == "backbone" else implementation
    try:
        return implementation(ctx if labeller is None else _labelled(entry, ctx, labeller(label_context(entry, ctx))))
    finally:
        if os.getpid() != home:
            os._exit(FORKED)


def label_context(entry: Entry[Any], ctx: ScoreContext) -> ScoreContext:
    """Return the context of the labeller of a scorer whose context is `ctx`."""
    evidence = {name: value for name, value in ctx.evidence.items() if name in entry.spec.label_needs}
    return replace(ctx, evidence=evidence, budget=None)


def _labelled(entry: Entry[Any], ctx: ScoreContext, labels: Any) -> ScoreContext:
    """Return `ctx` with pseudo-labels, and with the dynamics of a run that learnt these."""
    if came := label_problem(labels, ctx.n):
        raise PluginContractError(
            f"the labeller of scorer {entry.spec.name!r} returned {came}",
            f"return pseudo-labels int64 [{ctx.n}] in 0..{ctx.n - 1}",
        )
    evidence = {**ctx.evidence, "pseudo_labels": labels}
    if "dynamics" in evidence:
        evidence["dynamics"] = relearnt(evidence["dynamics"], labels)
    return replace(ctx, evidence=evidence)


def arrays_of(ctx: Any) -> dict[str, NDArray[Any]]:
    """Return every array that a context shows to the implementation, by name."""
    shown = dict(ctx.evidence) if isinstance(ctx, ScoreContext) else {f.name: getattr(ctx, f.name) for f in fields(ctx)}
    found = {}
    for name, value in shown.items():
        parts = value if isinstance(value, tuple) else (value,)
        found.update({f"{name}[{i}]" if i else name: p for i, p in enumerate(parts) if isinstance(p, np.ndarray)})
    return found


def _score_context(entry: Entry[Any], case: Case, shared: Mapping[str, Any]) -> ScoreContext:
    problem = prepared(case)
    budget = n_keep(case.keep, problem.n) if case.everything or entry.spec.budget_dependent else None
    evidence = {name: v for name, v in problem.evidence.items() if case.everything or name in entry.spec.needs}
    more = {"scorer": entry.spec.name, "evidence": evidence, "budget": budget}
    return ScoreContext(**shared, **more, n=problem.n, n_classes=problem.n_classes)


def _select_context(entry: Entry[Any], case: Case, shared: Mapping[str, Any]) -> SelectContext:
    problem = case.problem
    # Whole numbers, so that there are ties; every sixth sample is excluded, and every class has enough others.
    scores = np.floor(3 * problem.evidence["features"][:, 0]).astype(np.float64)
    eligible = np.arange(problem.n) % 6 != 5
    order = preference_order(scores, np.random.default_rng(1), eligible)
    arrays = {"scores": scores, "labels": problem.labels.copy(), "order": order, "eligible": eligible}
    for array in arrays.values():
        array.flags.writeable = case.writable
    return SelectContext(**shared, **arrays, n_classes=problem.n_classes, n_keep=n_keep(case.keep, problem.n))


def _data_context(entry: Entry[Any], case: Case, shared: Mapping[str, Any]) -> contexts.DataContext:
    roots = tuple(Path(part) for part in os.environ.get("PRUNEBENCH_DATA", "").split(os.pathsep) if part)
    # As in a run: a data set is loaded without a seed and without a folder of its own.
    return contexts.DataContext(params=shared["params"], roots=roots, obtain=entry.spec.obtain)


def _embed_context(entry: Entry[Any], case: Case, shared: Mapping[str, Any]) -> contexts.EmbedContext:
    if not entry.spec.check_model:
        raise DoesNotApply("its spec names no check_model, a small network to try it with")
    arch = contexts.Arch(name="small", provider=entry.spec.name, model=entry.spec.check_model)
    images = prepared(case).evidence["pixels"]
    images = np.kron(images, np.ones((1, 4, 4, 1), dtype=np.uint8))  # networks halve the sides several times
    images.flags.writeable = case.writable
    more: dict[str, Any] = {"arch": arch, "source": "random", "mean": (0.5,), "std": (0.25,)}
    return contexts.EmbedContext(**shared, **more, images=images, n_classes=case.problem.n_classes, batch_size=50)


def _train_context(entry: Entry[Any], case: Case, shared: Mapping[str, Any]) -> TrainContext:
    """Return the context for training on a problem and testing on another one of the same kind."""
    problem = prepared(case)
    test = ordinary(90, seed=1, n_classes=problem.n_classes)
    has_features = "features" in entry.spec.needs
    return TrainContext(
        **shared,
        train_images=problem.evidence["pixels"],
        train_labels=problem.evidence["labels"],
        test_images=test.evidence["pixels"],
        test_labels=test.labels,
        n_classes=problem.n_classes,
        mean=(0.5,),
        std=(0.25,),
        arch=contexts.Arch(name="small", provider="testing", model="small"),
        build=lambda: _network(test.evidence["pixels"].shape[1:], problem.n_classes),
        train_features=problem.evidence["features"] if has_features else None,
        test_features=test.evidence["features"] if has_features else None,
        keep_weights=True,
    )


def _network(image_shape: tuple[int, ...], n_classes: int) -> torch.nn.Module:
    from torch import nn

    height, width, channels = image_shape
    convolution = nn.Conv2d(channels, 4, 3, padding=1)
    return nn.Sequential(
        convolution, nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * height * width, n_classes)
    )


_MAKERS = {
    "scorer": _score_context,
    "projector": lambda entry, case, shared: contexts.ProjectContext(
        **shared, features=prepared(case).evidence["features"]
    ),
    "selector": _select_context,
    "dataset": _data_context,
    "backbone": _embed_context,
    "learner": _train_context,
}


def prepared(case: Case) -> Problem:
    """Return the problem with arrays of its own, read-only unless the case says otherwise."""

    def own(name: str, array: NDArray[Any]) -> NDArray[Any]:
        copy = array.copy()
        copy.flags.writeable = case.writable
        return copy

    return mapped(case.problem, own)


def as_scores(entry: Entry[Any], returned: Any) -> NDArray[np.float64]:
    """Return scores float64 [n], whether the scorer gave an array, an order or `Scores`."""
    values = np.asarray(returned.values if isinstance(returned, Scores) else returned)
    if entry.spec.output == "order" and not isinstance(returned, Scores):
        ranks = np.empty(len(values), dtype=np.float64)
        ranks[values] = -np.arange(len(values), dtype=np.float64)
        return ranks
    return values.astype(np.float64)


def fingerprint(returned: Any) -> str:
    """Return a digest of everything in a result that has to be equal when two results are: types, shapes, bytes."""
    state = hashlib.blake2b(digest_size=16)
    for part in _parts(returned):
        array = np.ascontiguousarray(part)
        text = array.tobytes() if array.dtype != object else repr(part).encode()
        state.update(f"{array.dtype}{np.shape(part)}".encode() + text)
    return state.hexdigest()


def _parts(returned: Any) -> Iterator[Any]:
    if isinstance(returned, Selection):
        yield from (np.sort(returned.indices), returned.filled)
    elif isinstance(returned, Mapping):
        yield from (part for name in sorted(returned) for part in (name, *_parts(returned[name])))
    elif is_dataclass(returned):
        # Not what is told beside the numbers, such as the memory that was used.
        names = [f.name for f in fields(returned) if f.name not in ("diagnostics", "peak_gpu_bytes", "oom_retries")]
        yield from (part for name in names for part in _parts(getattr(returned, name)))
    else:
        yield returned
