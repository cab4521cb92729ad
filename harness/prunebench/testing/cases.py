"""Run an implementation on a small problem, as a worker would."""

import hashlib
import json
import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, is_dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench import contexts
from prunebench.contexts import ScoreContext, SelectContext
from prunebench.errors import NotApplicable
from prunebench.plugins import Entry
from prunebench.stages.bench import broken_promise
from prunebench.stages.score import label_problem
from prunebench.testing.problems import SIDE, Problem, ordinary, read_only, relearnt
from prunebench.toolbox import n_keep, preference_order
from prunebench.wire import from_json, to_json

Shared = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Case:
    """How an implementation is run: on what, with which seed, and what else is allowed.
    everything: all evidence, the budget and a teacher are readable, whatever was declared.  keep: the budget as a
    fraction.  seconds: time until the deadline."""

    problem: Problem = field(default_factory=ordinary, repr=False)
    seed: int = 0
    everything: bool = False
    keep: str = "0.3"
    seconds: float = math.inf


@contextmanager
def context(entry: Entry[Any], case: Case) -> Iterator[Any]:
    """Yield the context for an entry of any kind that computes; its work folder is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="work-", ignore_cleanup_errors=True) as folder:
        params = entry.spec.resolve_params(getattr(entry.spec, "check_params", {}))
        deadline = None if math.isinf(case.seconds) else time.time() + case.seconds
        shared = {"params": params, "seed": case.seed, "workdir": Path(folder), "deadline": deadline}
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
    implementation, home = entry.load(), os.getpid()
    implementation = implementation.embed if entry.spec.kind == "backbone" else implementation
    try:
        return implementation(_labelled(entry, ctx) if getattr(entry.spec, "labeller", "") else ctx)
    finally:
        if os.getpid() != home:
            os._exit(70)


def _labelled(entry: Entry[Any], ctx: ScoreContext) -> ScoreContext:
    """Return `ctx` with pseudo-labels, and with the dynamics of a run that learnt these."""
    evidence = {name: value for name, value in ctx.evidence.items() if name in entry.spec.label_needs}
    labels = entry.load("labeller")(replace(ctx, evidence=evidence, budget=None))
    if came := label_problem(labels, ctx.n):
        raise broken_promise(entry, f"pseudo-labels int64 [{ctx.n}] in 0..{ctx.n - 1}", came)
    moved = {"dynamics": relearnt(ctx.evidence["dynamics"], labels)} if "dynamics" in ctx.evidence else {}
    return replace(ctx, evidence={**ctx.evidence, "pseudo_labels": labels, **moved})


def arrays_of(ctx: Any) -> list[tuple[str, NDArray[Any]]]:
    """Return every array that a context shows to the implementation, each with its name."""
    shown = ctx.evidence if isinstance(ctx, ScoreContext) else vars(ctx)
    parts = [(name, part) for name, value in shown.items() for part in (value if isinstance(value, tuple) else [value])]
    return [(name, part) for name, part in parts if isinstance(part, np.ndarray)]


def _score_context(entry: Entry[Any], case: Case, shared: Shared) -> ScoreContext:
    problem, spec = case.problem, entry.spec
    return ScoreContext(
        **shared, scorer=spec.name, n=problem.n, n_classes=problem.n_classes,
        evidence={name: found for name, found in problem.evidence.items() if case.everything or name in spec.needs},
        budget=n_keep(case.keep, problem.n) if case.everything or spec.budget_dependent else None,
    )  # fmt: skip


def _select_context(entry: Entry[Any], case: Case, shared: Shared) -> SelectContext:
    problem = case.problem
    # Whole numbers, so that there are ties; every sixth sample is excluded, and every class has enough others.
    scores, eligible = np.floor(3 * problem.evidence["features"][:, 0], dtype=np.float64), np.arange(problem.n) % 6 != 5
    order = preference_order(scores, np.random.default_rng(1), eligible)
    return SelectContext(
        **shared, scores=read_only(scores), labels=problem.labels, order=read_only(order),
        eligible=read_only(eligible), n_classes=problem.n_classes, n_keep=n_keep(case.keep, problem.n),
    )  # fmt: skip


def _data_context(entry: Entry[Any], case: Case, shared: Shared) -> contexts.DataContext:
    roots = tuple(Path(part) for part in os.environ.get("PRUNEBENCH_DATA", "").split(os.pathsep) if part)
    return contexts.DataContext(params=shared["params"], roots=roots, obtain=entry.spec.obtain)


def _embed_context(entry: Entry[Any], case: Case, shared: Shared) -> contexts.EmbedContext:
    if not entry.spec.check_model:
        raise NotApplicable("its spec names no check_model, a small network to try it with")
    images = case.problem.evidence["pixels"].repeat(4, axis=1).repeat(4, axis=2)  # networks halve the sides
    return contexts.EmbedContext(
        **shared, **_CHANNELS, images=read_only(images), n_classes=case.problem.n_classes, batch_size=50,
        arch=contexts.Arch(name="small", provider=entry.spec.name, model=entry.spec.check_model), source="random",
    )  # fmt: skip


def _train_context(entry: Entry[Any], case: Case, shared: Shared) -> contexts.TrainContext:
    train, test = case.problem, ordinary(90, seed=1, n_classes=case.problem.n_classes)
    kinds = {"images": "pixels", "labels": "labels", **{name: name for name in entry.spec.needs & {"features"}}}
    parts = {"train": train.evidence, "test": test.evidence}
    arrays: dict[str, Any] = {f"{part}_{name}": parts[part][kinds[name]] for part in parts for name in kinds}
    is_taught = case.everything or "teacher" in entry.spec.needs
    return contexts.TrainContext(
        **shared, **_CHANNELS, **arrays, n_classes=train.n_classes, keep_weights=True,
        arch=contexts.Arch(name="small", provider="testing", model="small"), build=partial(_network, train.n_classes),
        teacher=partial(_teacher, train) if is_taught else partial(contexts.undeclared_teacher, str(entry)),
        used=entry.load("uses") if entry.spec.uses else None,
    )  # fmt: skip


def _teacher(problem: Problem) -> Any:
    """Return the small network with a classifier that is fitted to the problem by least squares, frozen."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _network(problem.n_classes).eval().requires_grad_(False)
    pixels = torch.tensor(problem.evidence["pixels"]).permute(0, 3, 1, 2) / 255
    hidden = network[:-1]((pixels - _CHANNELS["mean"][0]) / _CHANNELS["std"][0]).double()
    wanted = hidden.T @ (8 * torch.eye(problem.n_classes, dtype=torch.float64)[torch.tensor(problem.labels)] - 4)
    network[-1].weight.copy_(torch.linalg.solve(hidden.T @ hidden + torch.eye(hidden.shape[1]), wanted).T)
    network[-1].bias.zero_()
    return network


def _network(n_classes: int) -> Any:
    from torch import nn

    layers = (nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    return nn.Sequential(*layers, nn.Linear(4 * SIDE * SIDE, n_classes))


_CHANNELS: Shared = {"mean": (0.5,), "std": (0.25,)}
_MAKERS = {
    "projector": lambda _, case, shared: contexts.ProjectContext(**shared, features=case.problem.evidence["features"]),
    "scorer": _score_context, "selector": _select_context, "dataset": _data_context, "backbone": _embed_context,
    "learner": _train_context,
}  # fmt: skip


def fingerprint(returned: Any) -> str:
    """Return a digest of everything in a result that has to be equal when two results are: types, shapes, bytes."""
    if is_dataclass(returned):  # without what is told beside the numbers, such as the memory that was used
        told = ("diagnostics", "peak_gpu_bytes", "oom_retries")
        returned = {name: value for name, value in vars(returned).items() if name not in told}
    if isinstance(returned, Mapping):
        content = "".join(f"{name} {fingerprint(returned[name])} " for name in sorted(returned)).encode()
    else:
        array = np.asarray(returned)
        values = array.tobytes() if array.dtype != object else repr(returned).encode()
        content = f"{array.dtype}{array.shape}".encode() + values
    return hashlib.blake2b(content, digest_size=16).hexdigest()
