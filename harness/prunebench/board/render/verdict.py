"""The words of the verdict: what was measured and what came of it, said from the numbers."""

import re
from collections import Counter

from prunebench.board.cells import NONE
from prunebench.board.claims import Accuracy, Agreement, Cost, Diagnostic, Measurement, Order
from prunebench.board.render.view import MINUS, number, rate
from prunebench.board.verdict import Finding, Judged
from prunebench.records import complement

QUANTITIES = {
    "score_rho": "Spearman within class", "score_rho_pooled": "Spearman of all samples",
    "score_pearson": "Pearson of all samples", "score_given": "rank correlation that densities leave",
    "score_left": "share of the ranks that densities leave",
    "score_wasserstein": "Wasserstein distance of the scores in [0, 1]",
    "score_wasserstein_raw": "Wasserstein distance of the scores as they are",
    "score_kolmogorov_smirnov": "Kolmogorov-Smirnov distance of the scores in [0, 1]",
    "score_kolmogorov_smirnov_raw": "Kolmogorov-Smirnov distance of the scores as they are",
}  # fmt: skip
COMPARISONS = {"cross_backbone": "between networks", "seed_to_seed": "between seeds of one network"}


def units(test: Measurement) -> tuple[str, str]:
    """Return the units of one side, and of what is found."""
    if isinstance(test, Cost):
        return "s", "times"
    if isinstance(test, Accuracy):
        return ("points", "times") if test.statistic == "spread" else ("%", "points")
    return "", ""


def shown(value: float | None, unit: str, *, signed: bool = False) -> str:
    """Return a number in its unit, with a true minus sign."""
    if value is None:
        return "-"
    sign = "+" if signed and value > 0 else ""
    if unit in ("%", "points"):
        return f"{sign}{value * 100:.1f}".replace("-", MINUS)
    return (f"{value:.2g}" if value < 100 else f"{value:,.0f}") if unit else sign + number(value)


def with_unit(text: str, unit: str) -> str:
    """Return a number and its unit."""
    return f"{text} {unit}".rstrip()


def measured(one: Finding) -> str:
    """Return what was measured, and where."""
    match one.test:
        case Agreement(quantity=quantity, comparison=comparison, between=between, beside=beside, share=share):
            of_kept = f"overlap of what is kept, beyond chance, at {quantity.removeprefix('score_overlap_')}"
            noise = f"under noise of {comparison.removeprefix('noise_')} standard deviations"
            how = f"{QUANTITIES.get(quantity, of_kept)} {COMPARISONS.get(comparison, noise)}"
            how = f"share of the ceiling, of {how}" if share else how
            how += f", {' and '.join(between)}" if between and not beside else ""
        case Accuracy(keep=keep, read=read, statistic=statistic):
            spread = "spread over seeds of the " if statistic == "spread" else ""
            others = {"mean": "", "other": ", scored by other networks than the trained one"}
            how = f"{spread}accuracy with {rate(complement(keep))} pruned{others.get(read, f', scored by {read}')}"
        case Cost():
            how = "seconds of scoring"
        case Order(metric=metric):
            how = f"Kendall's tau of the orders by {metric} and by accuracy"
        case Diagnostic(name=name):
            how = name
        case _:
            raise TypeError(f"{type(one.test).__name__} is no rule")
    dataset = "" if one.suite.dataset == NONE else f" on {one.suite.dataset}"
    where = f", {one.sample.where}" if one.sample and one.sample.where else ""
    return f"{how}; {one.suite.name}{dataset}{where}{_named(one.test)}"


def _named(test: Measurement) -> str:
    """Return the methods of the sides that are called otherwise."""
    if isinstance(test, Order):
        return ""
    sides = zip(test.called, (test.a, test.b), strict=True)
    return "".join(f"; {called}: {', '.join(side)}" for called, side in sides if side and called != ", ".join(side))


def _sides(test: Measurement) -> tuple[str, str]:
    """Return what the sides are called; with the networks where each side is measured between others."""
    a, b = test.called
    if isinstance(test, Agreement) and test.beside:
        own = " and ".join(test.between or ("all networks",))
        return f"{a}, {own}", ", ".join(filter(None, (b, " and ".join(test.beside))))
    return a, b


def claimed(one: Finding) -> str:
    """Return what the claim says of the number."""
    test, (_, unit) = one.test, units(one.test)
    a, b = _sides(test)
    bar = with_unit(shown(test.bar, unit), unit)
    if unit == "times":
        return f"{a} {test.claims} than {bar} {b}" if test.bar != 1 else f"{a} {test.claims} than {b}"
    by = f" by {test.claims} than {bar}" if test.bar else ""
    if b:
        return f"{a} {test.claims} than {b}{by}"
    return f"{a} {test.claims} than {bar}"


def interval(one: Finding) -> str:
    """Return the interval and what it is over, or why there is none."""
    if one.found is None or one.sample is None or one.found.low is None or one.found.high is None:
        return one.reason
    ends = (shown(end, units(one.test)[1], signed=bool(one.sample.b)) for end in (one.found.low, one.found.high))
    return f"{' to '.join(ends)}, over {one.found.n} {one.sample.over}"


def result(one: Finding) -> str:
    """Return the numbers of both sides, what they differ by, and the interval; or why there is no number."""
    if one.found is None or one.sample is None:
        return f"no number: {one.reason}"
    of_a, of_found = units(one.test)
    a, b = _sides(one.test)
    text = f"{a}: {with_unit(shown(one.a, of_a), of_a)}"
    if one.sample.b:
        text += f"; {b}: {with_unit(shown(one.b, of_a), of_a)}; "
        text += with_unit(shown(one.found.mean, of_found, signed=of_found != "times"), of_found)
    return f"{text} ({interval(one)})"


def sentence(one: Judged) -> str:
    """Return what came of a claim: its decisive finding, and how many others say what."""
    text = f"{result(one.decisive)}. Measured: {measured(one.decisive)}."
    counts = Counter(found.verdict for found in one.findings if found.found)
    named = (("in favour", counts["holds"]), ("against", counts["does not hold here"]),
             ("open", counts["not decided"]), ("not run", len(one.findings) - counts.total()))  # fmt: skip
    told = ", ".join(f"{count} {name}" for name, count in named if count)
    text += f" Of {len(one.findings)} measurements: {told}." if len(one.findings) > 1 else ""
    return text.replace("no number", "No number", 1) if text.startswith("no number") else text


def fragment(title: str) -> str:
    """Return the fragment that a heading has on GitHub."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
