"""Scores from predictions, gradients and dynamics against direct formulas, brute force and autograd."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import log_softmax, rel_entr, softmax
from scipy.stats import entropy as scipy_entropy
from scipy.stats import rankdata

import prunebench_uncertainty
from prunebench import DataError, NotApplicable, PluginContractError, ScoreContext, Scores
from prunebench.toolbox import class_quotas
from prunebench_uncertainty import evidence as steps
from prunebench_uncertainty.boundary import recover_head

SPECS = {spec.name: spec for spec in prunebench_uncertainty.prunebench_scorers()}
UNCERTAINTIES = ["least-confidence", "entropy", "margin"]
LOGITS = arrays(np.float32, (7, 4), elements=st.floats(-30, 30, width=32))


def run(
    name: str, evidence: Any, *, n_classes: int = 0, seed: int = 0, budget: int | None = None, **params: Any
) -> Any:
    """Run a scorer with the evidence that it declares and nothing else; check what the contract says."""
    for value in evidence.values():
        for array in value if isinstance(value, tuple) else (value,):
            array.setflags(write=False)
    spec = SPECS[name]
    first = next(iter(evidence.values()))
    n = len(evidence["labels"]) if "labels" in evidence else len(first[0] if isinstance(first, tuple) else first)
    context = ScoreContext(
        params=spec.resolve_params(params),
        seed=seed,
        n=n,
        n_classes=n_classes or int(max(evidence.get("labels", [0]))) + 1,
        scorer=name,
        evidence={key: value for key, value in evidence.items() if key in spec.needs},
        budget=budget,
    )
    module, function = spec.load.split(":")
    result = getattr(importlib.import_module(module), function)(context)
    if spec.output == "order":
        assert result.dtype == np.int64
        assert np.array_equal(np.sort(result), np.arange(n))
        return result
    values = result.values if isinstance(result, Scores) else result
    assert values.dtype == np.float64
    assert values.shape == (n,)
    assert np.isfinite(values).all()
    return values


def sample(n: int = 60, d: int = 6, classes: int = 4, epochs: int = 14, seed: int = 3) -> dict[str, Any]:
    """Every kind of evidence: features, a linear head's logits, gradients and dynamics of n samples."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    features = (generator.normal(size=(n, d)) + labels[:, None]).astype(np.float32)
    logits = (features @ generator.normal(size=(d, classes)) + generator.normal(size=classes)).astype(np.float32)
    residual = (softmax(logits, axis=1) - np.eye(classes)[labels]).astype(np.float32)
    dynamics = generator.dirichlet(np.ones(classes), size=(epochs, n)).astype(np.float16)
    return {
        "labels": labels,
        "features": features,
        "logits": logits,
        "gradients": (residual, features.copy()),
        "dynamics": dynamics,
    }


def moved(evidence: dict[str, Any], to: NDArray[np.int64]) -> dict[str, Any]:
    """The same samples in another order."""
    residual, z = evidence["gradients"]
    return {
        **{name: evidence[name][to] for name in ("labels", "features", "logits")},
        "gradients": (residual[to], z[to]),
        "dynamics": evidence["dynamics"][:, to],
    }


def logits_of(*rows: list[float]) -> dict[str, Any]:
    with np.errstate(divide="ignore"):
        log_p = np.log(np.array(rows, dtype=np.float64))
    return {"logits": np.maximum(log_p, -3e4).astype(np.float32), "labels": np.zeros(len(rows), dtype=np.int64)}


# ------------------------------------------------------------------------------------------ all of them


@pytest.mark.parametrize("name", SPECS)
def test_a_scorer_reads_only_what_it_declares(name: str) -> None:
    with pytest.raises(PluginContractError, match="did not declare"):
        run(name, {"labels": np.zeros(4, dtype=np.int64)}, budget=2)


@pytest.mark.parametrize("name", sorted(set(SPECS) - {"contextual-diversity"}))
def test_scores_follow_the_samples_into_class_sorted_and_shuffled_order(name: str) -> None:
    evidence = sample()
    straight = run(name, evidence)
    for to in (np.argsort(evidence["labels"], kind="stable"), np.random.default_rng(0).permutation(60)):
        assert run(name, moved(evidence, to)) == pytest.approx(straight[to], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", SPECS)
def test_a_seed_gives_the_same_bytes_and_the_global_random_state_stays(name: str) -> None:
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what is checked
    torch_before = torch.get_rng_state()
    first, second = (run(name, sample(), budget=20) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert np.array_equal(numpy_before, np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(torch_before, torch.get_rng_state())


@pytest.mark.parametrize("name", SPECS)
def test_the_size_of_a_block_does_not_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(name, sample(), budget=20)
    monkeypatch.setattr(steps, "_BLOCK_VALUES", 70)
    assert run(name, sample(), budget=20) == pytest.approx(whole, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("kind", ["features", "logits", "dynamics", "gradients"])
def test_values_that_are_not_finite_are_refused_with_their_count(kind: str) -> None:
    evidence = sample()
    array = evidence[kind][0] if kind == "gradients" else evidence[kind]
    (array[4] if kind == "dynamics" else array)[[5, 9, 9], [0, 0, 1]] = [np.nan, np.inf, np.nan]
    for name, spec in SPECS.items():
        if kind in spec.needs:
            with pytest.raises(DataError, match="2 of 60 rows"):
                run(name, evidence, budget=20)


@pytest.mark.parametrize("dtype", ["f2", "f4"])
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("name", sorted(set(SPECS) - {"deepfool-last-layer"}))
def test_tiny_and_constant_input_gives_equal_scores(name: str, n: int, dtype: str) -> None:
    for classes in (1, 3):
        evidence = {
            "labels": np.zeros(n, dtype=np.int64),
            "features": np.ones((n, 2), dtype),
            "logits": np.ones((n, classes), dtype),
            "gradients": (np.zeros((n, classes), dtype), np.ones((n, 2), dtype)),
            "dynamics": np.full((4, n, classes), 1 / classes, "f2"),
        }
        values = run(name, evidence, n_classes=classes, budget=n)
        assert name == "contextual-diversity" or np.ptp(values) == 0


# ------------------------------------------------------------------------------------------ predictions


@given(LOGITS)
@settings(max_examples=50, deadline=None)
def test_uncertainties_match_their_formulas(logits: NDArray[np.float32]) -> None:
    p = softmax(logits.astype(np.float64), axis=1)
    ranked = np.sort(p, axis=1)
    evidence = {"logits": logits}
    assert run("least-confidence", evidence) == pytest.approx(1 - p.max(axis=1), abs=1e-12)
    assert run("entropy", evidence) == pytest.approx(scipy_entropy(p, axis=1), abs=1e-12)
    assert run("margin", evidence) == pytest.approx(1 - (ranked[:, -1] - ranked[:, -2]), abs=1e-12)
    assert run("least-confidence", evidence, mode="release").tolist() == (-logits.max(axis=1)).tolist()
    released = -(p * np.log(p + 1e-6)).sum(axis=1)
    assert run("entropy", evidence, mode="release") == pytest.approx(released, abs=1e-12)


@given(arrays(np.float32, (9, 2), elements=st.floats(-40, 40, width=32)))
@settings(max_examples=50, deadline=None)
def test_all_uncertainties_order_two_classes_alike(logits: NDArray[np.float32]) -> None:
    least, spread, between = (run(name, {"logits": logits}) for name in UNCERTAINTIES)
    assert between == pytest.approx(2 * least, rel=1e-12)
    assert rankdata(least).tolist() == rankdata(between).tolist()
    assert (np.diff(spread[np.argsort(least)]) >= -1e-12).all()


@pytest.mark.parametrize("name", UNCERTAINTIES)
def test_the_most_uncertain_sample_comes_first_and_certain_samples_are_not_tied(name: str) -> None:
    values = run(name, {"logits": np.array([[0, 0, 0], [200, 0, 0], [90, 0, 0], [90.5, 0, 0], [2, 1, 0]], "f4")})
    assert np.argsort(-values).tolist() == [0, 4, 2, 3, 1]
    assert (np.diff(np.sort(values)) > 0).all()


@pytest.mark.parametrize("name", UNCERTAINTIES)
def test_a_constant_added_to_all_logits_changes_nothing_but_the_largest_logit(name: str) -> None:
    logits = np.array([[3, 1, 0], [1, 2, 1], [5, 5, 0]], dtype=np.float32)
    lifted = (logits + np.array([[64], [0], [-64]])).astype(np.float32)
    assert run(name, {"logits": lifted}) == pytest.approx(run(name, {"logits": logits}), rel=1e-12)
    released = [run("least-confidence", {"logits": given}, mode="release") for given in (logits, lifted)]
    assert np.argsort(released[0]).tolist() != np.argsort(released[1]).tolist()


@pytest.mark.parametrize("name", UNCERTAINTIES)
def test_the_preference_for_confident_samples_inverts_the_order(name: str) -> None:
    evidence = sample()
    assert (run(name, evidence, prefer="confident") == -run(name, evidence)).all()


def test_huge_logits_do_not_overflow() -> None:
    logits = np.array([[3e38, -3e38, 0], [0, 0, 0]], dtype=np.float32)
    assert [run(name, {"logits": logits})[0] for name in UNCERTAINTIES] == [0, 0, 0]


# -------------------------------------------------------------------------------------------------- CAL


def brute_cal(evidence: dict[str, Any], k: int, *, scope: str, divergence: str) -> list[float]:
    """The definition, sample by sample, over the full matrix of distances."""
    features, labels = evidence["features"].astype(np.float64), evidence["labels"]
    p, distance = softmax(evidence["logits"].astype(np.float64), axis=1), cdist(features, features)
    scores = []
    for i in range(len(labels)):
        pool = [j for j in range(len(labels)) if j != i and (scope == "global" or labels[j] == labels[i])]
        near = sorted(pool, key=lambda j: distance[i, j])[:k]
        towards = [rel_entr(p[j], p[i]).sum() for j in near]
        back = [rel_entr(p[i], p[j]).sum() for j in near]
        pairs = towards if divergence == "neighbour" else [(a + b) / 2 for a, b in zip(towards, back, strict=True)]
        scores.append(float(np.mean(pairs)))
    return scores


@pytest.mark.parametrize("divergence", ["symmetric", "neighbour"])
@pytest.mark.parametrize("scope", ["class", "global"])
@pytest.mark.parametrize("k", [1, 10, 40])
def test_cal_is_the_mean_divergence_from_the_nearest_neighbours(k: int, scope: str, divergence: str) -> None:
    expected = brute_cal(sample(), k, scope=scope, divergence=divergence)
    params = {"k": k, "graph_scope": scope, "divergence": divergence}
    assert run("cal", sample(), **params) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert (run("cal", sample(), mode="release", **params) == -run("cal", sample(), **params)).all()


def test_a_planted_contrastive_sample_comes_first_and_in_the_release_last() -> None:
    features = np.arange(20, dtype=np.float32)[:, None]
    logits = np.tile(np.array([4, 0], dtype=np.float32), (20, 1))
    logits[7] = [0, 4]
    evidence = {"features": features, "logits": logits, "labels": np.zeros(20, dtype=np.int64)}
    assert run("cal", evidence, k=2).argmax() == 7
    assert run("cal", evidence, k=2, mode="release").argmin() == 7


def test_cal_is_finite_where_probabilities_underflow_to_zero() -> None:
    logits = np.array([[2000, 0], [0, 2000], [2000, 0]], dtype=np.float32)
    evidence = {"features": np.eye(3, dtype="f4"), "logits": logits, "labels": np.zeros(3, dtype=np.int64)}
    assert run("cal", evidence).tolist() == [1000, 2000, 1000]


def test_a_sample_alone_in_its_class_contrasts_with_nothing() -> None:
    evidence = {"features": np.eye(3, dtype="f4"), "logits": np.eye(3, dtype="f4"), "labels": np.array([0, 0, 1])}
    values = run("cal", evidence)
    assert values[2] == 0
    assert (values[:2] > 0).all()


def test_neighbours_at_equal_distance_are_chosen_by_the_seed() -> None:
    evidence = {**sample(), "features": np.ones((60, 3), "f4")}
    assert not np.array_equal(run("cal", evidence, k=1, seed=0), run("cal", evidence, k=1, seed=1))


# ---------------------------------------------------------------------------------- contextual diversity


def divergences(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Symmetric KL between all pairs of softmax outputs, clipped at 1e-12."""
    p = np.maximum(softmax(logits.astype(np.float64), axis=1), 1e-12)
    return np.array([[((a - b) * (np.log(a) - np.log(b))).sum() / 2 for b in p] for a in p])


def is_greedy(order: list[int], distance: NDArray[np.float64]) -> bool:
    """Whether every pick is the farthest from the picks before it."""
    for step in range(1, len(order)):
        reach = distance[:, order[:step]].min(axis=1)
        left = [i for i in range(len(distance)) if i not in order[:step]]
        if reach[order[step]] < reach[left].max() - 1e-9:
            return False
    return True


@pytest.mark.parametrize("seed", range(4))
def test_contextual_diversity_is_k_centre_greedy(seed: int) -> None:
    evidence = sample(n=14)
    order = run("contextual-diversity", evidence, seed=seed, budget=9, per_class=False)
    assert is_greedy(order[:9].tolist(), divergences(evidence["logits"]))
    reach = divergences(evidence["logits"])[:, order[:9]].min(axis=1)
    assert order[9:].tolist() == sorted(order[9:], key=lambda i: -reach[i])


def test_contextual_diversity_is_greedy_in_every_class_with_proportional_budgets() -> None:
    evidence = sample(n=50, classes=3)
    order = run("contextual-diversity", evidence, budget=17)
    chosen, labels = order[:17], evidence["labels"]
    assert np.bincount(labels[chosen]).tolist() == class_quotas(labels, 3, 17).tolist()
    for label in range(3):
        members = np.flatnonzero(labels == label)
        picks = [int(np.flatnonzero(members == i)[0]) for i in chosen if labels[i] == label]
        assert is_greedy(picks, divergences(evidence["logits"][members]))


def test_contextual_diversity_survives_probabilities_of_zero() -> None:
    evidence = logits_of([1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [0.5, 0.5, 0], [1, 0, 0])
    for seed in range(5):
        order = run("contextual-diversity", evidence, seed=seed, budget=4, per_class=False)
        assert is_greedy(order[:4].tolist(), divergences(evidence["logits"]))
        assert len({0, 2, 5} & set(order[:3].tolist())) <= 1


def test_a_clipped_probability_does_not_outweigh_a_different_prediction() -> None:
    logits = np.array([[0, -5000, -100], [np.log(4), 0, -20], [-20, -20, 0]], dtype=np.float32)
    evidence = {"logits": logits, "labels": np.zeros(3, dtype=np.int64)}
    orders = [run("contextual-diversity", evidence, seed=s, budget=3, per_class=False) for s in range(12)]
    assert {tuple(order.tolist()) for order in orders if order[0] == 0} == {(0, 2, 1)}


def test_the_first_centre_follows_the_seed() -> None:
    firsts = {int(run("contextual-diversity", sample(), seed=s, budget=5, per_class=False)[0]) for s in range(20)}
    assert len(firsts) > 10


def test_contextual_diversity_of_a_shuffled_file_is_greedy_as_well() -> None:
    evidence = moved(sample(n=14), np.random.default_rng(4).permutation(14))
    order = run("contextual-diversity", evidence, budget=6, per_class=False)
    assert is_greedy(order[:6].tolist(), divergences(evidence["logits"]))


# ------------------------------------------------------------------------------------------------ GraNd


@pytest.mark.parametrize("bias", [True, False])
def test_grand_is_the_norm_of_the_gradient_that_autograd_finds(bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    z, y = torch.randn(12, 5, generator=generator), torch.arange(12) % 3
    weight = torch.randn(3, 5, generator=generator, requires_grad=True)
    offset = torch.randn(3, generator=generator, requires_grad=True)
    expected = []
    for i in range(12):
        loss = torch.nn.functional.cross_entropy((z[i] @ weight.T + offset)[None], y[i : i + 1])
        gradients = torch.autograd.grad(loss, [weight, offset])
        expected.append(float(torch.cat([g.flatten() for g in gradients[: 2 if bias else 1]]).norm()))
    with torch.no_grad():
        residual = torch.softmax(z @ weight.T + offset, 1) - torch.eye(3)[y]
    values = run("grand", {"gradients": (residual.numpy(), z.numpy())}, bias=bias)
    assert values == pytest.approx(expected, rel=1e-5)


@given(arrays(np.float32, (5, 3), elements=st.floats(-1, 1, width=32)), st.booleans())
@settings(max_examples=30, deadline=None)
def test_grand_is_the_norm_of_the_outer_product(residual: NDArray[np.float32], bias: bool) -> None:
    z = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    extended = np.hstack([z, np.full((5, 1), float(bias))]).astype(np.float64)
    outer = np.einsum("ic,id->icd", residual.astype(np.float64), extended)
    expected = np.linalg.norm(outer.reshape(5, -1), axis=1)
    assert run("grand", {"gradients": (residual, z)}, bias=bias) == pytest.approx(expected, rel=1e-9, abs=1e-30)


# ------------------------------------------------------------------------------------------------- TDDS


def slow_tdds(dynamics: NDArray[Any], length: int, window: int, decay: float, *, absolute: bool = True) -> list[float]:
    """The definition, number by number: every window by itself, with its explicit weight."""
    scores = []
    for i in range(dynamics.shape[1]):
        total = 0.0
        for k in range(length - window + 1):
            changes = []
            for t in range(k, k + window - 1):
                before, after = (dynamics[e, i].astype(np.float64) for e in (t, t + 1))
                terms = [a * (np.log(a + 1e-8) - np.log(b + 1e-8)) for a, b in zip(after, before, strict=True)]
                changes.append(sum(map(abs, terms)) if absolute else sum(terms))
            mean = sum(changes) / len(changes)
            spread = np.sqrt(sum((change - mean) ** 2 for change in changes))
            total += spread * decay * (1 - decay) ** (length - window - k)
        scores.append(float(total))
    return scores


@pytest.mark.parametrize(("length", "window", "decay"), [(14, 10, 0.9), (10, 10, 0.9), (9, 3, 0.5), (14, 4, 1.0)])
def test_tdds_matches_the_slow_definition(length: int, window: int, decay: float) -> None:
    evidence = sample(n=9)
    values = run("tdds", evidence, epochs=length, window=window, decay=decay)
    assert values == pytest.approx(slow_tdds(evidence["dynamics"], length, window, decay), rel=1e-9)
    kl = run("tdds", evidence, epochs=length, window=window, decay=decay, divergence="kl")
    expected = slow_tdds(evidence["dynamics"], length, window, decay, absolute=False)
    assert kl == pytest.approx(expected, rel=1e-9)


def test_tdds_reads_the_first_epochs_and_shortens_the_window_of_a_short_recording() -> None:
    evidence = sample(n=9)
    default = run("tdds", evidence)
    assert default == pytest.approx(slow_tdds(evidence["dynamics"], 10, 10, 0.9), rel=1e-9)
    short = {"dynamics": evidence["dynamics"][:5].copy(), "labels": evidence["labels"]}
    assert run("tdds", short) == pytest.approx(slow_tdds(short["dynamics"], 5, 5, 0.9), rel=1e-9)
    assert run("tdds", evidence, epochs=5) == pytest.approx(run("tdds", short), rel=1e-12)


def test_a_sample_that_keeps_flipping_unevenly_comes_before_a_steady_one() -> None:
    steady, flips = [[0.9, 0.1]] * 6, [[0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1]]
    evidence = {"dynamics": np.array([steady, flips], "f2").transpose(1, 0, 2).copy(), "labels": np.zeros(2, "i8")}
    values = run("tdds", evidence)
    assert values[0] == 0
    assert values[1] > 0


def test_tdds_is_finite_for_probabilities_of_zero_and_one() -> None:
    dynamics = np.zeros((5, 2, 2), "f2")
    dynamics[[0, 2, 4], :, 0] = dynamics[[1, 3], :, 1] = 1
    expected = slow_tdds(dynamics, 5, 4, 0.9)
    values = run("tdds", {"dynamics": dynamics, "labels": np.zeros(2, "i8")}, window=4)
    assert values == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("epochs", [0, 1, 2])
def test_tdds_declines_fewer_than_three_epochs(epochs: int) -> None:
    with pytest.raises(NotApplicable, match="epochs"):
        run("tdds", {"labels": np.zeros(3, "i8"), "dynamics": np.full((epochs, 3, 2), 0.5, "f2")})


@pytest.mark.parametrize("shape", [(4, 2, 2), (3, 2)])
def test_dynamics_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="shape"):
        run("tdds", {"labels": np.zeros(3, "i8"), "dynamics": np.zeros(shape, "f2")})


# ------------------------------------------------------------------------------------ DeepFool, last layer


def linear(n: int = 200, d: int = 8, classes: int = 5, seed: int = 0) -> tuple[dict[str, Any], Any, Any]:
    """Evidence of a known linear head, with its weights [c, d] and its constant [c]."""
    generator = np.random.default_rng(seed)
    weight, offset = generator.normal(size=(classes, d)), generator.normal(size=classes)
    features = generator.normal(size=(n, d)).astype(np.float32)
    logits = (features.astype(np.float64) @ weight.T + offset).astype(np.float32)
    return {"features": features, "logits": logits}, weight, offset


def closed_form(features: NDArray[Any], weight: NDArray[Any], offset: NDArray[Any]) -> list[float]:
    """The distance of each sample to the nearest boundary, class by class."""
    distances = []
    for z in features.astype(np.float64):
        f = weight @ z + offset
        k = int(f.argmax())
        others = [j for j in range(len(f)) if j != k]
        distances.append(min((f[k] - f[j]) / np.linalg.norm(weight[k] - weight[j]) for j in others))
    return distances


def test_the_head_is_recovered_from_what_it_maps() -> None:
    evidence, weight, _ = linear()
    head = recover_head(**evidence)
    assert np.abs(head.slopes.T - weight).max() < 1e-5
    assert head.rank == 8
    assert head.residual < 1e-6
    assert head.slope_error < 1e-5


@pytest.mark.parametrize("classes", [2, 5])
def test_deepfool_is_the_distance_to_the_nearest_boundary_of_a_linear_classifier(classes: int) -> None:
    evidence, weight, offset = linear(classes=classes)
    expected = closed_form(evidence["features"], weight, offset)
    assert -run("deepfool-last-layer", evidence) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_a_move_by_that_distance_reaches_the_boundary_and_a_shorter_one_in_any_direction_does_not() -> None:
    evidence, weight, offset = linear(n=60)
    distance = -run("deepfool-last-layer", evidence)
    generator = np.random.default_rng(9)
    for z, far in zip(evidence["features"].astype(np.float64), distance, strict=True):
        f = weight @ z + offset
        k = int(f.argmax())
        normals = np.delete(weight - weight[k], k, axis=0)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        crossed = (z + 1.001 * far * normals) @ weight.T + offset
        assert (crossed.argmax(axis=1) != k).any()
        turns = generator.normal(size=(200, 8))
        turns /= np.linalg.norm(turns, axis=1, keepdims=True)
        inside = (z + 0.999 * far * np.vstack([turns, normals])) @ weight.T + offset
        assert (inside.argmax(axis=1) == k).all()


def test_deepfool_ignores_a_rotation_and_scales_with_the_features() -> None:
    evidence, _, _ = linear()
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    turned = {**evidence, "features": (3 * evidence["features"] @ turn + 2).astype(np.float32)}
    base = run("deepfool-last-layer", evidence)
    assert run("deepfool-last-layer", turned) == pytest.approx(3 * base, rel=1e-4, abs=1e-5)


def test_directions_in_which_features_do_not_vary_are_outside_the_distance() -> None:
    evidence, weight, offset = linear()
    hum = 1e-8 * np.random.default_rng(5).normal(size=(200, 1))
    features = np.hstack([evidence["features"], np.zeros((200, 2)), np.full((200, 1), 4), hum]).astype(np.float32)
    values = run("deepfool-last-layer", {**evidence, "features": features})
    assert -values == pytest.approx(closed_form(evidence["features"], weight, offset), rel=1e-4, abs=1e-5)


def test_half_precision_logits_are_still_linear() -> None:
    evidence, weight, offset = linear(n=2000)
    rounded = {**evidence, "logits": evidence["logits"].astype(np.float16).astype(np.float32)}
    expected = closed_form(evidence["features"], weight, offset)
    assert -run("deepfool-last-layer", rounded) == pytest.approx(expected, rel=1e-2, abs=1e-2)


def test_collinear_features_share_the_weight_of_their_direction() -> None:
    evidence, weight, offset = linear()
    features = np.hstack([evidence["features"], evidence["features"][:, :1]])
    halved = np.hstack([weight[:, :1] / 2, weight[:, 1:], weight[:, :1] / 2])
    values = run("deepfool-last-layer", {**evidence, "features": features})
    assert -values == pytest.approx(closed_form(features, halved, offset), rel=1e-4, abs=1e-5)


def test_a_head_whose_weights_are_lost_in_rounding_is_declined() -> None:
    generator = np.random.default_rng(0)
    features = (generator.normal(size=(10, 2)) * [1, 1e-4]).astype(np.float32)
    logits = features @ np.array([[1, -1, 0], [2, 0, 1]]) + 3e-4 * generator.normal(size=(10, 3))
    with pytest.raises(NotApplicable, match="weights of the head are known to"):
        run("deepfool-last-layer", {"features": features, "logits": logits.astype(np.float32)})


def test_two_classes_of_equal_weights_have_no_boundary_between_them() -> None:
    evidence, weight, offset = linear(classes=3)
    ulps = np.where(np.arange(200) % 2, np.inf, -np.inf).astype(np.float32)[:, None]
    logits = np.hstack([evidence["logits"], np.nextafter(evidence["logits"][:, :1], ulps)])
    values = run("deepfool-last-layer", {**evidence, "logits": logits})
    assert -values == pytest.approx(closed_form(evidence["features"], weight, offset), rel=1e-4, abs=1e-5)


def test_a_head_that_is_not_linear_is_declined() -> None:
    evidence, _, _ = linear()
    bent = {**evidence, "logits": np.tanh(evidence["logits"])}
    with pytest.raises(NotApplicable, match="not linear"):
        run("deepfool-last-layer", bent)


@pytest.mark.parametrize("n", [1, 2, 8, 9])
def test_too_few_samples_to_know_the_head_are_declined(n: int) -> None:
    evidence, _, _ = linear(n=n)
    with pytest.raises(NotApplicable, match="undetermined"):
        run("deepfool-last-layer", evidence)


@pytest.mark.parametrize("logits", [np.zeros((20, 3), "f4"), np.ones((20, 1), "f4")])
def test_logits_without_a_boundary_are_declined(logits: NDArray[np.float32]) -> None:
    features = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    with pytest.raises(NotApplicable, match="no decision boundary"):
        run("deepfool-last-layer", {"features": features, "logits": logits})


def test_constant_features_are_declined() -> None:
    evidence = {"features": np.ones((20, 3), "f4"), "logits": sample(n=20)["logits"]}
    with pytest.raises(NotApplicable, match="not linear"):
        run("deepfool-last-layer", evidence)


def test_log_probabilities_of_the_head_keep_the_distance() -> None:
    evidence, _, _ = linear()
    base = run("deepfool-last-layer", evidence)
    with pytest.raises(NotApplicable, match="not linear"):
        run("deepfool-last-layer", {**evidence, "logits": log_softmax(evidence["logits"], axis=1)})
    lifted = (evidence["logits"] + evidence["features"][:, :1]).astype(np.float32)
    assert run("deepfool-last-layer", {**evidence, "logits": lifted}) == pytest.approx(base, rel=1e-4, abs=1e-5)
