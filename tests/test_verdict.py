"""The verdict on claims: every sentence follows from the records, and every interval from what was sampled."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from boards import METHODS, agreement, cell, registry_with, seeds_of, write_results
from prunebench.board import check_board, update_board
from prunebench.board.claims import FILE, load_claims, split
from prunebench.board.render.verdict import fragment
from prunebench.board.render.view import MINUS
from prunebench.errors import DataError
from prunebench.plugins import load_plugins
from prunebench.records import Record
from prunebench.registry import load_registry
from prunebench.stats.jackknife import jackknife
from prunebench.stats.unpaired import spread_ratio

ROOT = Path(__file__).parent.parent
NETWORKS = ("a1", "a2", "a3", "b1", "b2", "b3")
HEAD = """
[dataset.digits]
[recipe.short]
learner = "probe"
[suite.core]
summary = "A test."
dataset = "digits"
methods = ["random", "alpha", "beta", "gamma", "delta", "epsilon", "full"]
baseline = "random"
unpruned = "full"
backbones = ["a1", "a2"]
pruning_rates = ["0.9"]
seeds = 4
training = [{ arch = "a1", recipe = "short" }]
""" + "".join(f'[backbone.{name}]\ntimm = "test_resnet"\nweights = "random"\n' for name in NETWORKS)
CLAIMS = """
page = "verdict.md"
[source]
paper = "A paper"
[groups]
greek = ["alpha", "beta"]
[[claim]]
title = "Alpha wins"
source = "paper"
where = "Table 1"
says = "Alpha is better."
"""
AGREE = '[[claim.test]]\nrule = "agreement"\nsuites = ["core"]\na = ["alpha"]\n'
ACCURATE = '[[claim.test]]\nrule = "accuracy"\nsuites = ["core"]\na = ["alpha"]\n'


@pytest.fixture
def verdict(tmp_path: Path) -> Any:
    """Write the claims and the records, then return the section of the page."""

    def write(tests: str, records: list[Record]) -> str:
        registry = registry_with(tmp_path, HEAD)
        (tmp_path / FILE).write_text(CLAIMS + tests, encoding="utf-8")
        write_results(tmp_path / "results", records)
        update_board(tmp_path / "results", registry, load_plugins())
        assert check_board(tmp_path / "results", registry, load_plugins()) == []
        page = (tmp_path / "verdict.md").read_text(encoding="utf-8").replace(MINUS, "-")
        return page.partition("### Alpha wins\n")[2]

    return write


def pairs(method: str, values: dict[tuple[str, str], float], **changes: Any) -> list[Record]:
    """Return comparisons of networks at two seeds."""
    return [
        agreement(a, seed, b, seed, value, method=method, scorer=method, **changes)
        for (a, b), value in values.items()
        for seed in (0, 1)
    ]


def additive(names: tuple[str, ...], mean: float, effects: tuple[float, ...]) -> dict[tuple[str, str], float]:
    of = dict(zip(names, effects, strict=True))
    return {(a, b): mean + of[a] + of[b] for a, b in itertools.combinations(names, 2)}


# --------------------------------------------------------------------------------------------------------- intervals


@given(st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=2, max_size=9))
def test_for_independent_values_the_jackknife_is_students_t(values: list[float]) -> None:
    named = {str(place): value for place, value in enumerate(values)}
    found = jackknife(lambda out: math.fsum(v for k, v in named.items() if k != out) / (len(named) - (out in named)),
                      [named])  # fmt: skip
    assert found is not None
    if len(set(values)) == 1:
        assert found.low is None
        return
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    assert (found.low, found.high, found.n) == pytest.approx((expected.low, expected.high, len(values)), abs=1e-9)


def test_two_groups_have_welchs_interval() -> None:
    one, two = {"a": 1.0, "b": 2.0, "c": 4.0}, {"d": 0.5, "e": 3.0, "f": 2.5, "g": 9.0}

    def difference(out: str | None) -> float:
        sides = ([value for name, value in side.items() if name != out] for side in (one, two))
        return float(np.subtract(*map(np.mean, sides)))

    found = jackknife(difference, [one, two])
    assert found is not None
    expected = stats.ttest_ind([*one.values()], [*two.values()], equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_a_mean_over_pairs_is_as_uncertain_as_its_networks_are_few() -> None:
    """In a sum of two effects of networks the mean over pairs is twice the mean effect."""
    rng, of_five, covered = np.random.default_rng(0), NETWORKS[:5], 0
    for _ in range(400):
        effects = tuple(rng.normal(0, 0.1, 5))
        values = additive(of_five, 0.0, effects)
        found = jackknife(
            lambda out, of=values: float(np.mean([v for k, v in of.items() if out not in k])), [NETWORKS[:5]]
        )
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0 <= found.high
    assert 0.92 <= covered / 400 <= 0.98


def test_a_ratio_of_spreads_has_the_interval_of_the_f_distribution() -> None:
    found = spread_ratio(2.0, 6, 1.0, 4, 0.9)
    ends = 4 / stats.f(5, 3).ppf([0.95, 0.05])
    assert (found.low, found.mean, found.high) == pytest.approx((*np.sqrt(ends[:1]), 2.0, *np.sqrt(ends[1:])))


# ---------------------------------------------------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("alpha", "said", "numbers"),
    [
        (0.7, "Holds", "alpha: 0.70; beta: 0.40; +0.30 (+0.27 to +0.33, over 4 networks)"),
        (0.1, "Does not hold here", "alpha: 0.10; beta: 0.40; -0.30 (-0.33 to -0.27, over 4 networks)"),
        (0.41, "Not decided", "alpha: 0.41; beta: 0.40; +0.01 (-0.02 to +0.04, over 4 networks)"),
    ],
)
def test_a_changed_record_changes_the_sentence(verdict: Any, alpha: float, said: str, numbers: str) -> None:
    effects = (-0.012, -0.004, 0.004, 0.012)
    records = [*pairs("alpha", additive(NETWORKS[:4], alpha, effects)),
               *pairs("beta", additive(NETWORKS[:4], 0.4, (0.0,) * 4))]  # fmt: skip
    assert f"**{said}.** {numbers}." in verdict(AGREE + 'b = ["beta"]\n', records)


def test_two_networks_have_a_number_and_decide_nothing(verdict: Any) -> None:
    records = [*pairs("alpha", {("a1", "a2"): 0.9}), *pairs("beta", {("a1", "a2"): 0.1})]
    text = verdict(AGREE + 'b = ["beta"]\n', records)
    assert "**Not decided.** alpha: 0.90; beta: 0.10; +0.80 (no interval over 2 networks)." in text


def test_networks_of_two_kinds_are_two_samples(verdict: Any) -> None:
    names = {pair: 0.2 + 0.1 * len({pair[0][0], pair[1][0]}) for pair in itertools.combinations(NETWORKS, 2)}
    values = {pair: value + 0.01 * int(pair[0][1]) for pair, value in names.items()}
    text = verdict(AGREE + 'between = ["b*", "b*"]\nbeside = ["a*", "b*"]\nclaims = "less"\n', pairs("alpha", values))
    assert r"**Holds.** alpha, b\* and b\*: 0.31; a\* and b\*: 0.42; -0.11" in text
    assert "over 6 networks" in text


def test_a_method_that_lacks_a_pair_has_no_number(verdict: Any) -> None:
    whole = additive(NETWORKS[:4], 0.4, (0.0, 0.01, 0.02, 0.03))
    records = [*pairs("alpha", whole), *pairs("beta", dict(list(whole.items())[1:]))]
    assert "**Not decided.** No number: incomplete: beta." in verdict(AGREE + 'b = ["beta"]\n', records)


def test_ceiling_and_control_stand_beside_an_agreement(verdict: Any) -> None:
    records = [*pairs("alpha", additive(NETWORKS[:3], 0.5, (0.0, 0.01, 0.02))),
               *pairs("alpha", {("a1", "b1"): 0.03}, backbone_control=True),
               *(agreement(name, 0, name, 1, 0.81) for name in NETWORKS[:3])]  # fmt: skip
    assert "over 3 networks | 0.81 | 0.03 |" in verdict(AGREE, records)


def test_an_agreement_can_be_taken_as_a_share_of_its_ceiling(verdict: Any) -> None:
    records = [*pairs("alpha", additive(NETWORKS[:3], 0.4, (0.0, 0.0, 0.0))),
               *pairs("beta", additive(NETWORKS[:3], 0.6, (0.0, 0.01, 0.02)))]  # fmt: skip
    records += [agreement(name, 0, name, 1, 0.5, method="alpha", scorer="alpha") for name in NETWORKS[:3]]
    asked = AGREE + 'b = ["beta"]\nshare = true\n'
    assert "**Not decided.** No number: no ceiling: beta." in verdict(asked, records)
    records += [agreement(name, 0, name, 1, 1.0, method="beta", scorer="beta") for name in NETWORKS[:3]]
    text = verdict(asked, records)
    assert "**Holds.** alpha: 0.80; beta: 0.62; +0.18" in text  # of raw agreement alpha has less
    assert "Measured: share of the ceiling, of Spearman within class between networks" in text
    assert "**Does not hold here.** alpha: 0.40; beta: 0.62; -0.22" in verdict(AGREE + 'b = ["beta"]\n', records)


def test_accuracies_are_compared_at_equal_seeds_and_the_intervals_of_a_claim_hold_together(verdict: Any) -> None:
    values = {"random": (0.5, 0.52, 0.49, 0.51), "alpha": (0.55, 0.58, 0.53, 0.55), "beta": (0.50, 0.55, 0.52, 0.53)}
    roles = {"random": "baseline", "full": "unpruned"}
    shared = {"train_arch": "a1"}
    records = [one for name, found in values.items()
               for one in seeds_of(name, found, role=roles.get(name, "method"), **shared)]  # fmt: skip
    records += seeds_of("full", (0.9,) * 4, role="unpruned", keep="1", **shared)
    text = verdict(ACCURATE + 'b = ["random", "beta"]\neach = true\n', records)
    for name in ("random", "beta"):
        ends = stats.ttest_rel(values["alpha"], values[name]).confidence_interval(1 - 0.05 / 2)
        shown = " to ".join(f"{100 * end:+.1f}" for end in (ends.low, ends.high))
        assert f"{shown}, over 4 seeds | 90.0 | 50.5 |" in text
    assert "Of 2 measurements:" in text
    assert "`prunebench run core --seeds 4 --keep 0.1" in text


def test_a_claimed_size_is_refuted_by_a_smaller_effect(verdict: Any) -> None:
    records = [*seeds_of("alpha", (0.50, 0.52, 0.49, 0.51)), *seeds_of("beta", (0.51, 0.51, 0.50, 0.50))]
    assert verdict(ACCURATE + 'b = ["beta"]\n', records).lstrip().split("\n\n")[1].startswith("**Not decided.**")
    assert "**Does not hold here.**" in verdict(ACCURATE + 'b = ["beta"]\nsize = 0.054\n', records)


def test_a_spread_is_compared_as_a_ratio(verdict: Any) -> None:
    one, two = (0.5, 0.5001, 0.4999, 0.5002), (0.4, 0.6, 0.45, 0.52)
    tests = ACCURATE + 'b = ["beta"]\nstatistic = "spread"\nclaims = "less"\nbar = 1.0\n'
    found = spread_ratio(float(np.std(one, ddof=1)), 4, float(np.std(two, ddof=1)), 4)
    text = verdict(tests, [*seeds_of("alpha", one), *seeds_of("beta", two)])
    assert "**Holds.**" in text
    assert f"{found.low:.2g} to {found.high:.2g}, over 4 seeds" in text


def test_costs_are_a_ratio_of_geometric_means(verdict: Any) -> None:
    seconds = {"alpha": (2.2, 2.0, 2.5, 2.3), "beta": (8.0, 8.1, 7.9, 9.5)}
    records = [cell(name, seed, 0.5, seconds_score=one) for name, of in seconds.items() for seed, one in enumerate(of)]
    text = verdict(ACCURATE.replace("accuracy", "cost") + 'b = ["beta"]\nclaims = "less"\nbar = 1.0\n', records)
    assert "**Holds.**" in text
    found = stats.ttest_rel(*map(np.log, seconds.values())).confidence_interval()
    assert f"({np.exp(found.low):.2g} to {np.exp(found.high):.2g}, over 4 seeds)" in text


def test_orders_of_methods_and_diagnostics_are_measured(verdict: Any) -> None:
    records: list[Record] = []
    for place, method in enumerate(METHODS):
        for keep, accuracy in (("0.1", 0.3 + place / 10), ("0.5", 0.9 - place / 50)):
            records += seeds_of(method, [accuracy] * 2, keep=keep, diagnostics={"gate": 0.5 + place / 10})
    records += seeds_of("full", (0.95, 0.95), role="unpruned", keep="1")
    tests = (
        '[[claim.test]]\nrule = "order"\nsuites = ["core"]\nmetric = "integrated_fidelity"\na = ["0.1"]\nb = ["0.5"]\n'
    )
    assert "keep 0.1: 1.00; keep 0.5: -1.00; +2.00" in verdict(tests, records).lower()
    tests = '[[claim.test]]\nrule = "diagnostic"\nsuites = ["core"]\na = ["gamma"]\nname = "gate"\nbar = 0.9\n'
    assert "**Not decided.** gamma: 0.70" in verdict(tests, records)


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        (ACCURATE.replace("core", "later"), "the registry has no such suite"),
        (ACCURATE + 'b = ["beta"]\n', "not run or incomplete: beta"),
        (AGREE, "not run"),
        (ACCURATE.replace('"alpha"', '"@greek"').replace("core", "empty"), "the registry has no such suite"),
    ],
)
def test_a_claim_that_was_not_measured_says_why_and_names_the_command(verdict: Any, tests: str, reason: str) -> None:
    text = verdict(tests, seeds_of("alpha", (0.5, 0.6)))
    assert f"**Not decided.** No number: {reason}." in text
    assert re.search(r"- `prunebench run (core|later|empty)", text)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('source = "paper"', 'source = "papers"', "there is no source 'papers'"),
        ('a = ["alpha"]', 'a = ["@latin"]', "there is no group 'latin'"),
        ('rule = "agreement"', 'rule = "agree"', "claim"),
        ('suites = ["core"]', "suites = []", "length >= 1"),
        ('says = "Alpha', 'say = "Alpha', "say"),
    ],
)
def test_a_fault_in_the_claims_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = CLAIMS + AGREE
    assert old in text
    (tmp_path / FILE).write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(DataError, match=said) as caught:
        load_claims(registry_with(tmp_path, HEAD))
    assert FILE in caught.value.message


def test_a_folder_elsewhere_has_no_verdict(tmp_path: Path) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / FILE).write_text(CLAIMS + AGREE, encoding="utf-8")
    write_results(tmp_path / "results", seeds_of("alpha", (0.5, 0.6)))
    update_board(tmp_path / "results", registry_with(tmp_path / "beside", HEAD), load_plugins())
    assert not (tmp_path / "verdict.md").exists()
    assert not (tmp_path / "beside" / "verdict.md").exists()


# ---------------------------------------------------------------------------------------------------------- our claims


def test_our_claims_name_what_the_registry_and_the_plugins_have() -> None:
    registry = load_registry(ROOT / "registry.toml")
    claims, catalogue = load_claims(registry), load_plugins()
    assert claims is not None
    known = {*registry.methods, *catalogue.entries["scorers"]}
    labels = {label for claim in claims.claim for test in claim.test for label in (*test.a, *test.b)
              if not label.startswith("@") and not re.fullmatch(r"[0-9.]+", label)}  # fmt: skip
    named = [split(label) for label in (*labels, *(label for group in claims.groups.values() for label in group))]
    assert {method for method, _ in named} <= known
    assert {projector for _, projector in named} <= {"-", *catalogue.entries["projectors"]}
    assert {name for claim in claims.claim for test in claim.test for name in test.suites} <= set(registry.suites)
    assert {claim.source for claim in claims.claim} == set(claims.source)


def test_no_claim_of_ours_is_without_a_number_or_the_words_not_decided_and_a_command() -> None:
    page = (ROOT / "docs" / "verdict.md").read_text(encoding="utf-8")
    claims = load_claims(load_registry(ROOT / "registry.toml"))
    assert claims is not None
    sections = {fragment(part.partition("\n")[0]): part for part in page.split("\n### ")[1:]}
    assert list(sections) == [fragment(claim.title) for name in claims.source for claim in claims.claim
                              if claim.source == name]  # fmt: skip
    for section in sections.values():
        assert re.search(r"\*\*(Holds|Does not hold here|Not decided)\.\*\*", section)
        assert re.search(r"\d\.\d|No number: ", section)
        assert "\n- `prunebench run " in section
