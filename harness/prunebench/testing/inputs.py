"""Promises about the form of a result, kept for an ordinary problem and for such as make numbers break."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from prunebench.contexts import Embedding, Scores, Selection, TrainResult
from prunebench.errors import NotApplicable, PluginContractError, PrunebenchError
from prunebench.plugins import Entry
from prunebench.testing import problems
from prunebench.testing.cases import Case, call, context
from prunebench.testing.promises import promise
from prunebench.testing.results import CheckFailed, DoesNotApply


@promise("scorer projector backbone learner", stage=6)
def check_result_has_the_promised_form(entry: Entry[Any]) -> None:
    """What comes back has the type, the shape and the data type that its kind promises, and no NaN or infinity."""
    accepts(entry, problems.ordinary())


@promise("scorer projector")
def check_duplicates_are_accepted(entry: Entry[Any]) -> None:
    """A set in which every sample occurs twice."""
    accepts(entry, problems.duplicated(problems.ordinary()))


@promise("scorer projector selector")
def check_equal_samples_are_accepted(entry: Entry[Any]) -> None:
    """A set in which all samples look the same."""
    accepts(entry, problems.constant(problems.ordinary()))


@promise("scorer selector learner")
def check_one_class_is_accepted(entry: Entry[Any]) -> None:
    """A set with one label: with one class, and with other classes that have no sample."""
    accepts(entry, problems.ordinary(40, n_classes=1))
    accepts(entry, problems.one_label(problems.ordinary()))


@promise("scorer selector")
def check_small_classes_are_accepted(entry: Entry[Any]) -> None:
    """Classes of one, two and three samples beside a larger one."""
    for keep in ("0.05", "0.5", "0.95") if entry.spec.kind == "selector" else ("0.3",):
        accepts(entry, problems.small_classes(), keep)


@promise("scorer")
def check_collinear_features_are_accepted(entry: Entry[Any]) -> None:
    """Features of which all are multiples of one another."""
    accepts(entry, problems.collinear(problems.ordinary()))


@promise("scorer projector")
def check_half_precision_is_accepted(entry: Entry[Any]) -> None:
    """Evidence in float16, as large data sets are stored."""
    _reads_floats(entry)
    accepts(entry, problems.half_precision(problems.ordinary()))


@promise("scorer projector selector learner")
def check_few_samples_are_accepted(entry: Entry[Any]) -> Mapping[str, Any] | None:
    """From `min_samples` on, one to six samples (of a learner three), unless they are declined with NotApplicable."""
    declined, least = [], getattr(entry.spec, "min_samples", 1)
    sizes = (1, 2, 3) if entry.spec.kind == "learner" else (1, 2, 3, 6)
    for n in [n for n in sizes if n >= least] or [least]:
        try:
            accepts(entry, problems.take(problems.ordinary(max(12, n)), np.arange(n)), "0.5")
        except NotApplicable:
            declined.append(n)
    return {"declined": declined} if declined else None


@promise("scorer projector")
def check_nan_is_refused(entry: Entry[Any]) -> None:
    """NaN in the evidence ends in a PrunebenchError that says so, or in finite numbers; not in a crash or in NaN."""
    _reads_floats(entry)
    try:
        accepts(entry, problems.with_nan(problems.ordinary()))
    except PluginContractError:
        raise
    except PrunebenchError:
        return
    except Exception as error:
        text = f"NaN in the evidence: {type(error).__name__}: {error}; raise DataError with the number of bad rows"
        raise CheckFailed(text) from error


def accepts(entry: Entry[Any], problem: problems.Problem, keep: str = "0.3") -> Any:
    """Return what the implementation makes of a problem; raises CheckFailed where its form is not as promised."""
    with context(entry, Case(problem=problem, keep=keep)) as ctx:
        returned = call(entry, ctx)
        if wrong := _FORMS[entry.spec.kind](entry, ctx, returned):
            raise CheckFailed(f"{wrong}, for {problem.n} samples")
    return returned


def _reads_floats(entry: Entry[Any]) -> None:
    if entry.spec.kind == "scorer" and not entry.spec.needs & set(problems.FLOATS):
        raise DoesNotApply("it reads no floating-point evidence")


def _array(title: str, found: Any, dtype: Any, shape: tuple[int | None, ...]) -> str:
    """Return what is wrong with an array; None in a shape is any length."""
    expected = f"{title}: expected {np.dtype(dtype)} [{', '.join('any' if s is None else str(s) for s in shape)}]"
    if not isinstance(found, np.ndarray):
        return f"{expected}, got {type(found).__name__}"
    fits = found.ndim == len(shape) and all(s in (None, m) for s, m in zip(shape, found.shape, strict=False))
    if found.dtype != dtype or not fits:
        return f"{expected}, got {found.dtype} {list(found.shape)}"
    bad = int((~np.isfinite(found)).sum()) if found.dtype.kind == "f" else 0
    return f"{title}: {bad} of {found.size} values are not finite" if bad else ""


def _scores(entry: Entry[Any], ctx: Any, returned: Any) -> str:
    n, is_order = ctx.n, entry.spec.output == "order" and not isinstance(returned, Scores)
    if not isinstance(returned, Scores):
        wrong = _array("order" if is_order else "scores", returned, np.int64 if is_order else np.float64, (n,))
        if is_order and not wrong and not np.array_equal(np.sort(returned), np.arange(n)):
            return f"order: expected each of 0..{n - 1} once; {len(np.unique(returned))} distinct came"
        return wrong
    parts = (("scores", returned.values, np.float64), ("excluded", returned.excluded, np.bool_),
             ("refill", returned.refill, np.float64), ("extra", returned.extra, np.bool_))  # fmt: skip
    found = [_array(title, part, dtype, (n,)) for title, part, dtype in parts if part is not None]
    return next(filter(None, found), "")


def _projection(entry: Entry[Any], ctx: Any, returned: Any) -> str:
    return _array("projection", returned, np.float32, (len(ctx.features), ctx.params.get("n_components")))


def _selection(entry: Entry[Any], ctx: Any, returned: Any) -> str:
    chosen, n = np.asarray(returned.indices if isinstance(returned, Selection) else returned), len(ctx.scores)
    if wrong := _array("indices", chosen, np.int64, (ctx.n_keep,)):
        return wrong
    if (distinct := len(np.unique(chosen))) != len(chosen) or (chosen < 0).any() or (chosen >= n).any():
        return f"expected {ctx.n_keep} distinct indices in 0..{n - 1}, got {distinct} distinct ones"
    return "" if (np.diff(chosen) >= 0).all() else "expected sorted indices: return np.sort(indices)"


def _training(entry: Entry[Any], ctx: Any, returned: Any) -> str:
    if not isinstance(returned, TrainResult):
        return f"expected a TrainResult, got {type(returned).__name__}"
    accuracies = (returned.accuracy, returned.accuracy_best, *returned.accuracy_per_epoch)
    if not all(0 <= accuracy <= 1 for accuracy in accuracies):
        return f"accuracy {max(accuracies)} is not a fraction in [0, 1]"
    return "" if math.isfinite(returned.loss) else f"loss {returned.loss} is not finite"


def _embedding(entry: Entry[Any], ctx: Any, returned: Any) -> str:
    if not isinstance(returned, Embedding):
        return f"expected an Embedding, got {type(returned).__name__}"
    wrong = _array("features", returned.features, np.float32, (len(ctx.images), None))
    return wrong or _array("logits", returned.logits, np.float32, (len(ctx.images), ctx.n_classes))


_FORMS: Mapping[str, Callable[[Entry[Any], Any, Any], str]] = {
    "scorer": _scores,
    "projector": _projection,
    "selector": _selection,
    "learner": _training,
    "backbone": _embedding,
}
