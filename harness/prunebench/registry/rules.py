"""What the keys of one table ask of each other, beyond the type of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prunebench.registry.model import Listing, NetworkTable, SuiteTable, Weights

Broken = tuple[tuple[str | int, ...], str, str]  # key below the table, reason, hint
Given = Mapping[str, Any]  # the keys that are written; the value is None where it is not of its type
ISOLATED = ("scorer", "projector")  # kinds that one plugin computes alone


def network_rules(given: Given) -> Iterator[Broken]:
    """Exactly one of `timm` or `provider` and `model`; means and deviations of the same channels."""
    if "timm" in given:
        if twice := sorted(given.keys() & {"provider", "model"}):
            yield (twice[0],), "timm names the network already", "write timm, or provider and model"
    elif not given.keys() >= {"provider", "model"}:
        yield (), "expected timm, or provider and model", 'add timm = "NAME OF A TIMM MODEL"'
    mean, std = given.get("mean", ()), given.get("std", ())
    if mean is not None and std is not None and len(mean) != len(std):
        yield ("std",), f"expected one deviation per mean, got {len(std)} and {len(mean)}", "write both, or neither"


def weights_rules(given: Given) -> Iterator[Broken]:
    """Exactly one of `file` and `train`."""
    if given.keys() >= {"file", "train"}:
        yield ("file",), "weights come from a file or from a recipe, not from both", "remove one of the two"
    elif not given.keys() & {"file", "train"}:
        yield (), "expected file or train", "write { file = ... } or { train = RECIPE }"


def suite_rules(given: Given) -> Iterator[Broken]:
    """One way to write the budgets, nothing twice, a baseline that is run, and something to compute."""
    if given.keys() >= {"keep", "pruning_rates"}:
        yield ("keep",), "says the same as pruning_rates", "write one of the two: keep = 1 - pruning rate"
    for axis in ("methods", "backbones", "projectors", "training", "keep", "pruning_rates"):
        values = [float(v) if axis in ("keep", "pruning_rates") else v for v in given.get(axis) or ()]
        for place, value in enumerate(values):
            if value in values[:place]:
                yield (axis, place), f"{given[axis][place]!r} is there twice", "remove one"
    baseline, methods = given.get("baseline"), given.get("methods")
    if baseline and methods and baseline not in methods:
        yield ("baseline",), f"{baseline!r} is not among the methods", "add it to methods"
    if given.get("training", ()) == () or given["training"] == []:
        if not _compares_scores(given):
            yield (
                (),
                "has nothing to compute: neither training nor scores of two backbones to compare",
                ("add training = [{ arch = ..., recipe = ... }], with names of this file"),
            )
    elif [] in (given.get("keep"), given.get("pruning_rates")):
        yield (
            ("keep" if "keep" in given else "pruning_rates",),
            "names no budget",
            'write keep = ["0.1"], or leave it out',
        )


def _compares_scores(given: Given) -> bool:
    agreement = given.get("agreement", {})
    if agreement is None or None in (given.get("backbones", ()), given.get("seeds", 3)):
        return True  # what is wrong there is told already
    backbones = agreement.get("backbones", given.get("backbones", ()))
    enough = 1 if agreement and given.get("seeds", 3) > 1 else 2  # seeds alone, where that is asked for
    return agreement.get("methods") != [] and len(backbones) >= enough


def listing_rules(given: Given) -> Iterator[Broken]:
    """A range and requirements that packaging reads, a reason for a quarantine."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        SpecifierSet(given.get("version") or "")
    except InvalidSpecifier:
        yield ("version",), f"{given['version']!r} is no version range", 'write a PEP 440 range, such as ">=1,<2"'
    if given.get("tier") == "quarantine" and given.get("reason", "") == "":
        yield ("reason" if "reason" in given else "tier",), "a quarantine needs a reason", 'add reason = "ONE LINE"'
    requirements = given.get("environment") or ()
    if requirements and given.get("kind") not in (*ISOLATED, None):
        hint = f"only a {' or '.join(ISOLATED)} can have its own"
        yield ("environment",), f"a {given['kind']} runs beside others", hint
    for place, text in enumerate(requirements):
        try:
            Requirement(text)
        except InvalidRequirement as error:
            yield ("environment", place), f"{text!r} is no requirement: {error}", "write PEP 508 requirements"


RULES: Mapping[type, Callable[[Given], Iterator[Broken]]] = {
    NetworkTable: network_rules, Weights: weights_rules, SuiteTable: suite_rules, Listing: listing_rules,
}  # fmt: skip
