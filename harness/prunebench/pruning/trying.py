"""A few methods tried on a person's own features, and a recommendation that may be "random"."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from prunebench.contexts import silent
from prunebench.errors import PrunebenchError, UsageError
from prunebench.pruning.assurance import ANEW, chooser, held_together
from prunebench.pruning.flow import Wanted, prune_features
from prunebench.pruning.probe import Fits
from prunebench.pruning.progress import Progress, part
from prunebench.pruning.proof import prove
from prunebench.pruning.scoring import Method
from prunebench.pruning.selecting import Choice
from prunebench.pruning.source import Source
from prunebench.pruning.verdict import ProofRow
from prunebench.registry import Registry
from prunebench.stages.bench import Bench
from prunebench.stats.moderated import Interval
from prunebench.stats.resampled import t_quantile

LARGEST = 20_000  # samples that take part in a trial, drawn by class


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One method: what its proof says of each budget, how long it took to choose, and why there is no proof."""

    method: str
    rows: tuple[ProofRow, ...] = ()
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """All methods, best first at the first budget, and the one to take for it.

    recommended: "random" where no method is better than random beyond what trying so many explains.  samples: that took
    part."""

    tried: tuple[Tried, ...]
    recommended: str
    because: str
    keep: tuple[str, ...]
    samples: int


def try_methods(
    bench: Bench, source: Source, registry: Registry, names: Sequence[str], keep: tuple[str, ...], *, seed: int = 0,
    progress: Progress = silent,
) -> Trial:  # fmt: skip
    """Try methods of the registry, or scorers, by a linear probe on features with labels.

    Each is compared with random parts of the same size on held-out samples; the level of 95 % is shared among the
    methods.  Raises UsageError for data without labels, or with one class."""
    check_judged(source)
    tried, fits = [], Fits()
    for number, name in enumerate(names):
        report = part(progress, number / len(names), (number + 1) / len(names))
        tried.append(_try(bench, source, registry, name, keep, seed, fits, report))
    known = [one for one in tried if one.rows]
    if not known:
        raise UsageError(f"no method could be tried: {tried[0].reason}", "see `prunebench list` for others")
    ordered = sorted(known, key=lambda one: -one.rows[0].kept.mean)
    better = [one for one in ordered if _low(one.rows[0].over_random, len(known)) > 0]
    failed = [one for one in tried if not one.rows]
    samples = min(len(source), LARGEST)
    recommended, because = _recommendation(better, ordered, keep[0])
    return Trial(tried=(*ordered, *failed), recommended=recommended, because=because, keep=keep, samples=samples)


def check_judged(source: Source) -> None:
    """Raise UsageError for data that no probe can be judged on: without labels, or with one class."""
    if source.labels is None or len(source.class_names) < 2:
        text = (
            f"{source.title} has {'no labels' if source.labels is None else 'one class'}, and a trial is judged by them"
        )
        raise UsageError(text, "give --labels FILE, or choose by `prunebench prune` without a trial")


def _recommendation(better: Sequence[Tried], ordered: Sequence[Tried], keep: str) -> tuple[str, str]:
    best = (better or ordered)[0]
    row = best.rows[0]
    gain = f"{100 * row.over_random.mean:+.1f} points"
    if not better:
        text = f"at keep {keep} no method is better than random beyond what trying {len(ordered)} of them explains"
        return "random", f"{text}; the best, {best.method}, has {gain}"
    lost = f"{100 * row.over_everything.mean:+.1f} points against everything"
    return best.method, f"at keep {keep} it has {gain} against random parts of the same size, and {lost}"


def _try(
    bench: Bench, source: Source, registry: Registry, name: str, keep: tuple[str, ...], seed: int, fits: Fits,
    progress: Progress,
) -> Tried:  # fmt: skip
    method = registry.method(name)
    wanted = Wanted(
        keep=keep,
        method=Method(scorer=method.scorer, params=method.params, projector=registry.own_data.projector, seed=seed),
        choice=Choice(selector=method.selector, params=method.selector_params),
    )
    started = time.monotonic()
    try:
        if method.at:
            text = f"method {name!r} has settings of its own at some pruning rates, and own data are kept in one order"
            raise UsageError(text, f"try {method.scorer!r}, or a method with one setting")
        outcome = prune_features(bench, source, wanted, part(progress, 0.0, 0.3))
        seconds = time.monotonic() - started
        whole = outcome.whole
        found = prove(
            whole.features, whole.labels, len(whole.class_names), {text: outcome.indices(text) for text in keep},
            choose=chooser(bench, whole, wanted) if len(source) <= ANEW else None,
            group=held_together(outcome.found.group, whole.labels),
            class_names=whole.class_names, seed=seed, at_most=LARGEST, fits=fits, progress=part(progress, 0.3, 1.0),
        )  # fmt: skip
    except PrunebenchError as error:
        return Tried(method=name, reason=error.message)
    return Tried(method=name, rows=found.rows, seconds=seconds, reason="" if found.rows else found.verdict)


def _low(difference: Interval, methods: int) -> float:
    """Return the lower end of a difference at a level that `methods` differences share (Bonferroni)."""
    if difference.half_width is None:
        return -math.inf
    df = difference.n - 1
    wider = t_quantile(df, 1 - 0.05 / methods) / t_quantile(df, 0.95)
    return difference.mean - float(difference.half_width) * wider
