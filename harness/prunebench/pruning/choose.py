"""Scores to one order of all samples, of which every budget is a beginning: 5 % is inside 10 %."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prunebench.errors import UsageError
from prunebench.toolbox import n_keep

Balance = Literal["none", "class"]


def budget(keep: str, n: int) -> int:
    """Return how many of `n` samples to keep: "0.1" and "10%" are fractions, "1" is everything, "500" is a number.

    Fractions are rounded as everywhere, floor(keep * n + 1/2) and at least 1.  Raises UsageError for anything else.
    """
    text = keep.strip()
    try:
        value = _number(text)
    except ArithmeticError:
        value = Decimal("NaN")
    if not value.is_finite():
        raise UsageError(f"keep = {keep!r} is no number", "write a fraction such as 0.1, or a number such as 500")
    if value > 1 and value == value.to_integral_value() and not text.endswith("%"):
        if value > n:
            raise UsageError(f"keep = {keep} is more than there is: {n} samples", "write a smaller number")
        return int(value)
    if not 0 < value <= 1:
        raise UsageError(f"keep = {keep} is outside (0, 1]", "0.1 keeps 10 %, 500 keeps 500 samples")
    return n_keep(value, n)


def nested_order(
    preference: NDArray[np.int64], labels: NDArray[np.int64] | None, protected: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Return the order int64 [n] in which samples are taken: protected ones first, then by preference.

    preference: int64 [n], best first.  labels: int64 [n] to take classes in proportion to their sizes, or None.
    Place r of a class of m samples has the turn (r + 1/2) / m, so each beginning of the order gives each class its
    share (Webster's method of apportionment), and no beginning gives a class less than a shorter one does.  Protected
    samples hold the first places of their class.  Turns of two classes that are equal go to the sample that is
    preferred.
    """
    n = len(preference)
    first = np.zeros(n, dtype=np.bool_) if protected is None else protected
    ranked = np.concatenate([preference[first[preference]], preference[~first[preference]]])
    turn = np.empty(n)
    turn[ranked] = np.arange(n, dtype=np.float64)
    if labels is not None:
        by_class = ranked[np.argsort(labels[ranked], kind="stable")]
        sizes = np.bincount(labels)
        starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
        turn[by_class] = (np.arange(n) - starts + 0.5) / np.repeat(sizes, sizes)
    turn[first] = -1
    order: NDArray[np.int64] = ranked[np.argsort(turn[ranked], kind="stable")]
    return order


def budgets_of(keep: str | float | Iterable[str | float]) -> tuple[str, ...]:
    """Return budgets as they are written: of one or several numbers or texts."""
    several = [keep] if isinstance(keep, str) or not isinstance(keep, Iterable) else keep
    return tuple(map(str, several))


def named_budget(keep: str | float | None, known: Iterable[str]) -> str:
    """Return which of the budgets, as they were written, is meant: "0.1", 0.10 and "10%" are one; None is the first.
    Raises UsageError for one that is not among them."""
    names = list(known)
    if keep is None:
        return names[0]
    for name in names:
        with contextlib.suppress(ArithmeticError):
            if name == str(keep).strip() or _number(name) == _number(str(keep)):
                return name
    raise UsageError(f"keep = {keep} was not asked for", f"there is {', '.join(names)}")


def _number(text: str) -> Decimal:
    text = text.strip()
    return Decimal(text.removesuffix("%")) / (100 if text.endswith("%") else 1)


def check_budgets(keeps: Sequence[str], n: int, n_protected: int) -> dict[str, int]:
    """Return the number of samples of each budget as it was written, in that order.  Raises UsageError for a budget
    that is no number, is there twice, or is smaller than what is protected."""
    budgets = {keep.strip(): budget(keep, n) for keep in keeps}
    if not budgets:
        raise UsageError("no budget is given", "keep = 0.1 keeps 10 %, 500 keeps 500 samples")
    if len(budgets) < len(keeps):
        raise UsageError(f"a budget is there twice: {', '.join(keeps)}", "name each once")
    for keep, count in budgets.items():
        if count < n_protected:
            text = f"{n_protected} samples are protected, and keep = {keep} is {count} samples"
            raise UsageError(text, "keep more, or protect fewer")
    return budgets
