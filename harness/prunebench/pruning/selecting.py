"""Which samples are kept at each budget, and the code that says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import SelectContext
from prunebench.errors import UsageError
from prunebench.keys import seed_for
from prunebench.plugins import Entry
from prunebench.pruning.choose import nested_order
from prunebench.pruning.evidence import Evidence
from prunebench.pruning.scoring import Method, Scored, score
from prunebench.specs import SelectorSpec
from prunebench.stages.bench import Bench, guarded
from prunebench.toolbox import preference_order

Balance = Literal["", "none", "class"]
CHOSEN, PROTECTED, EXTRA, FILLED = "chosen", "protected", "extra", "filled-in"
LOWER, LEFT_OUT, DUPLICATE = "lower-score", "left-out-by-method", "duplicate"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How to choose from scores.  selector: by name, "" for the method's own; balance: "none" takes the best of all,
    "class" gives each class its share, "" leaves it to the selector."""

    selector: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    balance: Balance = ""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Samples of one budget: rows int64, sorted, and the order int64 [n] in which all samples are taken."""

    rows: NDArray[np.int64]
    order: NDArray[np.int64]
    scored: Scored
    filled: int = 0

    def reasons(self, protected: NDArray[np.bool_]) -> NDArray[np.object_]:
        """Return why each sample is kept or not, object [n]."""
        found = np.full(len(self.order), LOWER, dtype=object)
        found[self.scored.excluded] = LEFT_OUT
        found[self.rows] = CHOSEN
        kept = np.zeros(len(found), dtype=np.bool_)
        kept[self.rows] = True
        found[kept & self.scored.excluded] = FILLED
        found[kept & self.scored.extra] = EXTRA
        found[kept & protected] = PROTECTED
        return found


def select(
    bench: Bench,
    evidence: Evidence,
    method: Method,
    choice: Choice,
    budgets: Sequence[int],
    protected: NDArray[np.bool_],
) -> tuple[list[Kept], bool]:
    """Return what each budget keeps, and whether the smaller ones are inside the larger ones by construction.

    budgets: numbers of samples.  protected: bool [n], samples that are kept whatever their score, and count.  Raises
    UsageError for a method that these data cannot have."""
    spec = bench.catalogue.scorer(method.scorer).spec
    name = choice.selector or spec.selector
    entry = bench.catalogue.selector(name)
    given = dict(choice.params) if choice.selector else {**spec.selector_params, **choice.params}
    params = entry.spec.resolve_params(given)
    order = {"none": "all", "class": "class", "": entry.spec.order}[choice.balance]
    if choice.balance and choice.selector and not entry.spec.order:
        text = f"selector {name!r} has rules of its own, and balance = {choice.balance!r} would replace them"
        raise UsageError(text, "leave one of the two out")
    nested, made = bool(order) and (spec.greedy or not spec.budget_dependent), []
    # One order for all budgets; a class can have one sample more in it than its share of the largest budget.
    longest = min(max(budgets) + len(evidence.class_names), len(evidence)) if nested else 0
    for count in budgets:
        scored = score(bench, evidence, method, longest or count)
        if order:
            preference = _preference(evidence, scored, method)
            ranked = nested_order(preference, evidence.labels if order == "class" else None, protected)
            rows, filled = ranked[:count], 0
        else:
            ranked, rows, filled = _by_plugin(bench, evidence, entry, params, scored, method, count, protected)
        rows = np.union1d(rows, np.flatnonzero(scored.extra))
        made.append(Kept(rows=rows, order=ranked, scored=scored, filled=filled))
    return made, nested


def _preference(evidence: Evidence, scored: Scored, method: Method) -> NDArray[np.int64]:
    """Return the samples by their scores, best first, int64 [n]; the seed decides among equal ones, not their rows."""
    order, rng = evidence.order, np.random.default_rng([seed_for("select", method.seed), 0])
    refill = None if scored.refill is None else scored.refill[order]
    return order[preference_order(scored.scores[order], rng, ~scored.excluded[order], refill)]


def _by_plugin(
    bench: Bench, evidence: Evidence, entry: Entry[SelectorSpec], params: Mapping[str, Any], scored: Scored,
    method: Method, count: int, protected: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:  # fmt: skip
    """Return order, rows and number of filled samples by a selector with rules of its own; protected ones replace those
    that are preferred least."""
    order = _preference(evidence, scored, method)
    context = SelectContext(
        params=params, seed=seed_for("select", method.seed), device="cpu", threads=bench.settings.threads,
        workdir=bench.store.scratch(f"select-{evidence.fingerprint}"), scores=scored.scores,
        labels=evidence.labels, n_classes=len(evidence.class_names), n_keep=count, order=order,
        eligible=~scored.excluded,
    )  # fmt: skip
    with guarded(entry, context) as pick:
        chosen = pick(context)
    indices = np.asarray(getattr(chosen, "indices", chosen), dtype=np.int64)
    taken = np.zeros(len(evidence), dtype=np.bool_)
    taken[indices] = True
    ranked = np.concatenate([order[protected[order]], order[taken[order] & ~protected[order]]])
    rest = order[~taken[order] & ~protected[order]]
    return np.concatenate([ranked, rest]), ranked[:count], int(getattr(chosen, "filled", 0))
