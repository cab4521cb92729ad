"""Facility location, graph cut and log-determinant against naive greedy, torch, numpy and apricot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from coreset_problems import Array, cosine, cover, material, naive, naive_by_class, picks_of, problem, run, values_of
from prunebench import NotApplicable
from prunebench_coresets.groups import factor_space
from prunebench_coresets.kernels import Factors, cosine_rows, softmax, softmax_twice, with_one
from prunebench_coresets.lazy import facility_location, lazy_greedy
from prunebench_coresets.similarity import graph_cut_order, log_det_order

# gradients and similarities


def test_factored_inner_products_are_those_of_the_gradients_written_out() -> None:
    evidence = problem(n=25)
    rows = np.arange(25)
    residual, features = evidence["gradients"]
    factors = Factors(left=residual.astype(np.float64), right=with_one(features))
    g = material(evidence, rows)
    assert factors.inner(rows) == pytest.approx(g @ g.T)
    assert factors.squared_norms() == pytest.approx(np.square(g).sum(axis=1))
    assert factors.mean().ravel() == pytest.approx(g.mean(axis=0))
    assert factors.against(factors.mean()) == pytest.approx(g @ g.mean(axis=0))
    assert cosine_rows(factors.unit())(rows) == pytest.approx(cosine(g))


def test_the_factors_of_the_gradient_are_those_of_automatic_differentiation() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(9, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.arange(9) % 4
    onehot = np.eye(4)[labels.numpy()]
    once, twice = (
        torch.autograd.grad(torch.nn.functional.cross_entropy(seen, labels, reduction="sum"), logits)[0].numpy()
        for seen in (logits, logits.softmax(dim=1))
    )
    p = softmax(logits.detach().numpy())
    assert p - onehot == pytest.approx(once)
    assert softmax_twice(p, onehot) == pytest.approx(twice)


def test_softmax_twice_reaches_the_scores() -> None:
    evidence = problem()
    p = evidence["gradients"][0] + np.eye(3)[evidence["labels"]]
    residual = softmax_twice(p.astype(np.float64), np.eye(3)[evidence["labels"]]).astype(np.float32)
    changed = {**evidence, "gradients": (residual, evidence["features"])}
    for name in ("facility-location", "craig", "gradmatch"):
        assert picks_of(run(name, evidence, 30, softmax="twice")).tolist() == picks_of(run(name, changed, 30)).tolist()
        assert picks_of(run(name, evidence, 30)).tolist() != picks_of(run(name, changed, 30)).tolist()


# facility location


@given(st.integers(0, 10**6), st.integers(1, 30), st.booleans())
def test_lazy_greedy_is_naive_greedy(seed: int, n: int, ties: bool) -> None:
    generator = np.random.default_rng(seed)
    steps = 4 if ties else 2**12  # sums of such numbers are exact: equal gains are equal, and others far apart
    half = generator.integers(0, steps, (n, n)) / steps
    similarity = np.maximum(half, half.T).astype(np.float32)
    n_picks = int(generator.integers(0, n + 1))
    found = facility_location(lambda rows: similarity[rows], n, n_picks)
    assert found.picks.tolist() == naive(lambda a: cover(similarity.astype(np.float64), a), n, n_picks)


def test_lazy_greedy_computes_fewer_gains_than_naive_greedy() -> None:
    generator = np.random.default_rng(6)
    points = generator.normal(size=(400, 2))
    similarity, asked = np.exp(-cdist(points, points)).astype(np.float32), 0
    best = np.zeros(400, dtype=np.float32)

    def gains(rows: Array) -> Array:
        nonlocal asked
        asked += len(rows)
        return np.maximum(similarity[rows] - best, 0).sum(axis=1, dtype=np.float64)

    lazy_greedy(gains(np.arange(400)), 40, gains, lambda pick: np.maximum(best, similarity[pick], out=best))
    assert asked < 400 * 40 / 4


@pytest.mark.parametrize("name", ["facility-location", "facility-location-embeddings"])
def test_facility_location_matches_naive_greedy_on_written_out_vectors(name: str) -> None:
    evidence = problem()

    def value(members: Array, picks: list[int]) -> float:
        vectors = material(evidence, members) if name == "facility-location" else evidence["features"][members]
        return cover(cosine(vectors.astype(np.float64)), picks)

    expected = naive_by_class(evidence, 24, value)
    assert picks_of(run(name, evidence, 24)).tolist() == expected


# graph cut and log-determinant


@pytest.mark.parametrize("lam", [0.5, 1.0, 2.5])
def test_graph_cut_maximises_its_closed_form(lam: float) -> None:
    evidence = problem(n=30)
    g = material(evidence, np.arange(30))
    s = cosine(g)
    unit = Factors(left=evidence["gradients"][0].astype(np.float64), right=with_one(evidence["features"])).unit()
    expected = naive(lambda a: lam * float(s[:, a].sum()) - float(s[np.ix_(a, a)].sum()), 30, 12)
    found = graph_cut_order(unit, 12, lam)
    assert found[:12].tolist() == expected
    gains = lam * s.sum(axis=0) - 2 * s[found[:12]].sum(axis=0)
    assert (np.diff(gains[found[12:]]) <= 1e-5).all()


@pytest.mark.parametrize("name", ["graph-cut", "graph-cut-embeddings"])
def test_graph_cut_by_class_matches_naive_greedy(name: str) -> None:
    evidence = problem()

    def value(members: Array, picks: list[int]) -> float:
        vectors = material(evidence, members) if name == "graph-cut" else evidence["features"][members]
        s = cosine(vectors.astype(np.float64))
        return float(s[:, picks].sum() - s[np.ix_(picks, picks)].sum())

    assert picks_of(run(name, evidence, 24)).tolist() == naive_by_class(evidence, 24, value)


def test_log_det_of_embeddings_takes_the_largest_determinant_of_each_class() -> None:
    evidence = problem()
    scores = values_of(run("log-det-embeddings", evidence, 12))
    for label in range(3):
        members = np.flatnonzero(evidence["labels"] == label)
        ranked = members[np.argsort(-scores[members], kind="stable")]
        mine = [int(pick) for pick in ranked if scores[pick] > 0]
        assert len(mine) > 2
        s = cosine(evidence["features"][members].astype(np.float64))
        assert mine[0] == members[int(s.sum(axis=0).argmax())]  # all single samples have determinant 1
        place = {int(member): k for k, member in enumerate(members)}
        for size in range(1, len(mine)):
            chosen = [place[pick] for pick in mine[:size]]
            others = [k for k in range(len(members)) if k not in chosen]
            values = [np.linalg.det(s[np.ix_([*chosen, k], [*chosen, k])]) for k in others]
            assert place[mine[size]] == others[int(np.argmax(values))]


def test_log_det_matches_greedy_by_slogdet() -> None:
    generator = np.random.default_rng(8)
    unit = Factors(left=generator.normal(size=(30, 4)), right=generator.normal(size=(30, 6))).unit()
    s = cosine_rows(unit)(np.arange(30))
    found = log_det_order(unit, 12)[0][:12].tolist()
    expected = [int(s.sum(axis=0).argmax())]  # all single samples have determinant 1
    while len(expected) < 12:
        values = [
            -np.inf if e in expected else np.linalg.slogdet(s[np.ix_([*expected, e], [*expected, e])])[1]
            for e in range(30)
        ]
        expected.append(int(np.argmax(values)))
    assert found == expected


def test_log_det_takes_distinct_samples_before_copies_and_stops_where_they_span() -> None:
    points = np.tile(np.random.default_rng(9).normal(size=(5, 8)), (4, 1))
    order, spanning = log_det_order(Factors(left=np.ones((20, 1)), right=points).unit(), 12)
    assert spanning == 5
    assert sorted(order[:5] % 5) == [0, 1, 2, 3, 4]
    assert sorted(order) == list(range(20))


def test_a_factor_beyond_memory_is_declined() -> None:
    with pytest.raises(NotApplicable, match=r"need .* GiB"):
        factor_space(25_000, 50_000)


# another library


@pytest.mark.parametrize("seed", range(2))
def test_facility_location_and_graph_cut_pick_as_apricot_does(seed: int) -> None:
    from apricot import FacilityLocationSelection, GraphCutSelection  # compiles for seconds, each time

    generator = np.random.default_rng(seed)
    unit = Factors(left=generator.normal(size=(80, 4)), right=generator.normal(size=(80, 6))).unit()
    table = cosine_rows(unit)(np.arange(80)).astype(np.float64)
    settings: dict[str, Any] = {"metric": "precomputed", "optimizer": "naive"}
    # later picks of one seed tie to the last digit, and ties go to different samples
    theirs = FacilityLocationSelection(15, **settings).fit(table).ranking
    assert facility_location(cosine_rows(unit), 80, 15).picks.tolist() == theirs.tolist()
    theirs = GraphCutSelection(20, alpha=2.0, **settings).fit(table).ranking
    assert graph_cut_order(unit, 20, lam=2.0)[:20].tolist() == theirs.tolist()
