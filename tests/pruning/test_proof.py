"""A proof finds what is better, what is worse and what nobody can tell, with the numbers that scikit-learn finds."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from prunebench.errors import DataError
from prunebench.pruning.choose import nested_order
from prunebench.pruning.probe import PRIORS, Fits, fit, standardised
from prunebench.pruning.proof import prove
from prunebench.pruning.splits import Arms, Judged, splits
from prunebench.pruning.verdict import Proof, against_everything, against_random, proof_text
from prunebench.stats import Interval
from prunebench.stats.resampled import corrected_interval

Ints = np.ndarray[Any, np.dtype[np.int64]]


def blobs(n: int, n_classes: int = 3, d: int = 6, distance: float = 2.0, seed: int = 0) -> tuple[Any, Ints]:
    """Return features float32 [n, d] around one centre for each class, and labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    centres = distance * np.eye(n_classes, d)
    return (centres[labels] + rng.normal(size=(n, d))).astype(np.float32), labels


def first_of(order: Ints, labels: Ints) -> Any:
    """Return a method that takes samples in a fixed order, by class, wherever it is asked."""
    place = np.argsort(order)

    def choose(rows: Ints, counts: Mapping[str, int], seed: int) -> dict[str, Ints]:
        ranked = rows[nested_order(np.argsort(place[rows]), labels[rows])]
        return {keep: ranked[:count] for keep, count in counts.items()}

    return choose


def judged(features: Any, labels: Ints) -> Judged:
    n = len(labels)
    return Judged(rows=np.arange(n), features=features, labels=labels, units=np.arange(n),
                  copies=np.zeros(n, dtype=np.bool_), n_classes=int(labels.max()) + 1)  # fmt: skip


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_probe_is_the_minimum_that_another_solver_finds(n_classes: int) -> None:
    features, labels = blobs(80, n_classes, distance=1.0)
    x = standardised(features)
    d = x.shape[1]

    def loss(flat: Any) -> float:
        weights, biases = flat[: n_classes * d].reshape(n_classes, d), flat[n_classes * d :]
        z = x.astype(np.float64) @ weights.T + biases
        z = z - z.max(axis=1, keepdims=True)
        if n_classes == 2:  # what counts is the difference of the two rows: sklearn penalises it alone
            weights = weights - weights[0]
        entropy = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(labels)), labels]
        return float(entropy.sum() + d / (2 * PRIORS[1]) * (weights**2).sum())

    oracle = minimize(loss, np.zeros(n_classes * (d + 1)), method="BFGS", options={"gtol": 1e-4}).x
    probe = fit(x, labels)
    z = x @ probe.weights.T + probe.biases
    expected = x @ oracle[: n_classes * d].reshape(n_classes, d).T + oracle[n_classes * d :]
    assert z - z[:, :1] == pytest.approx(expected - expected[:, :1], abs=0.02)
    assert (probe.predict(x) == expected.argmax(axis=1)).mean() > 0.98


def test_a_part_of_one_class_predicts_it_and_a_part_of_nothing_is_never_right() -> None:
    features, labels = blobs(30)
    assert set(fit(features[labels == 2], labels[labels == 2]).predict(features)) == {2}
    assert not (fit(features[:0], labels[:0]).predict(features) == labels).any()


def test_a_class_that_a_part_lacks_is_never_predicted() -> None:
    features, labels = blobs(60, 4)
    some = labels != 1
    assert set(fit(features[some], labels[some]).predict(features)) == {0, 2, 3}


def test_standardised_features_have_mean_0_and_spread_1_or_are_0_where_they_are_constant() -> None:
    features = np.random.default_rng(0).normal(100, 5, (50, 3)).astype(np.float32)
    features[:, 1] = 7.3
    made = standardised(features)
    assert made.mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-5)
    assert made.std(axis=0) == pytest.approx([1, 0, 1], abs=1e-4)


@pytest.mark.parametrize("restricted", [True, False])
def test_accuracies_are_those_of_probes_that_scikit_learn_trains_on_the_same_splits(
    restricted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("probe", "proof"):  # one penalty, to know it
        monkeypatch.setattr(f"prunebench.pruning.{module}.PRIORS", (PRIORS[1],) * 3)
    features, labels = blobs(150, distance=1.2)
    order = np.random.default_rng(5).permutation(150)
    choose = first_of(order, labels)
    kept = choose(np.arange(150), {"0.2": 30, "60": 60}, 0)
    found = prove(features, labels, 3, kept, choose=None if restricted else choose, folds=3, repeats=2, seed=1)

    x = standardised(features).astype(np.float64)
    data = judged(x, labels)
    accuracy: dict[str, list[float]] = {"0.2": [], "60": [], "everything": []}
    for train, test in splits(data, kept, 3, 2, 1, restricted):
        made = choose(train, {"0.2": 20, "60": 40}, 0)
        parts = {keep: np.intersect1d(kept[keep], train) if restricted else made[keep] for keep in kept}
        for name, rows in {**parts, "everything": train}.items():
            model = LogisticRegression(C=PRIORS[1] / 6, solver="newton-cg", tol=1e-8).fit(x[rows], labels[rows])
            accuracy[name].append(model.score(x[test], labels[test]))
    for row in found.rows:
        assert row.kept.mean == pytest.approx(np.mean(accuracy[row.keep]), abs=0.007)
        assert row.everything.mean == pytest.approx(np.mean(accuracy["everything"]), abs=0.007)
        assert row.over_everything.mean == pytest.approx(row.kept.mean - row.everything.mean)
        assert row.over_random.mean == pytest.approx(row.kept.mean - row.random.mean)
    assert found.design == ("restricted" if restricted else "repeated")
    assert found.rows[0].next == found.rows[1].kept
    assert [row.trained_on for row in found.rows] == pytest.approx([20, 40], abs=1)


def test_the_penalty_is_chosen_by_what_is_right_on_samples_that_were_not_trained_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    features, labels = blobs(400, d=60, distance=2.0)
    labels = np.where(rng.random(400) < 0.3, rng.integers(0, 3, 400), labels)
    kept = {"150": np.arange(150)}
    chosen = prove(features, labels, 3, kept, repeats=2).rows[0]
    monkeypatch.setattr("prunebench.pruning.probe.PRIORS", (PRIORS[2],) * 3)
    monkeypatch.setattr("prunebench.pruning.proof.PRIORS", (PRIORS[2],) * 3)
    weak = prove(features, labels, 3, kept, repeats=2).rows[0]
    assert chosen.everything.mean > weak.everything.mean + 0.03
    assert chosen.random.mean > weak.random.mean


def test_a_repeated_selection_never_sees_a_held_out_sample_and_all_are_held_out_once() -> None:
    features, labels = blobs(101)
    choose, seen = first_of(np.arange(101), labels), []

    def watched(rows: Ints, counts: Mapping[str, int], seed: int) -> dict[str, Ints]:
        seen.append((np.setdiff1d(np.arange(101), rows), dict(counts), seed))
        return choose(rows, counts, seed)

    prove(features, labels, 3, choose(np.arange(101), {"0.2": 20}, 0), choose=watched, folds=5, repeats=2)
    assert sorted(np.concatenate([held for held, _, _ in seen[:5]])) == list(range(101))
    assert sorted(np.concatenate([held for held, _, _ in seen[5:]])) == list(range(101))
    assert all(counts == {"0.2": 16, "twice": 32} for _, counts, _ in seen)
    assert len({seed for _, _, seed in seen}) == 10


def test_a_selection_of_held_out_samples_is_refused() -> None:
    features, labels = blobs(60)
    everything = {"10": np.arange(10)}

    def careless(rows: Ints, counts: Mapping[str, int], seed: int) -> dict[str, Ints]:
        return {keep: np.arange(count) for keep, count in counts.items()}

    with pytest.raises(DataError, match=r"keep .*: the selection has samples that are held out"):
        prove(features, labels, 3, everything, choose=careless)


def test_near_duplicates_are_held_out_together_and_copies_are_left_to_everything() -> None:
    features, labels = blobs(90)
    features, labels = np.vstack([features, features[:60]]), np.concatenate([labels, labels[:60]])
    copy_of = np.concatenate([np.full(90, -1), np.arange(60)])
    group = np.where(np.arange(150) % 90 < 60, np.arange(150) % 90, -1)
    for kwargs in ({"copy_of": copy_of}, {"copy_of": copy_of, "group": group}):
        choose, seen = first_of(np.arange(150), labels), []

        def watched(
            rows: Ints, counts: Mapping[str, int], seed: int, choose: Any = choose, seen: Any = seen
        ) -> dict[str, Ints]:
            seen.append(rows)
            return choose(rows, counts, seed)  # type: ignore[no-any-return]

        found = prove(features, labels, 3, {"30": np.arange(30)}, choose=watched, repeats=1, **kwargs)
        assert found.samples == 90
        assert max(rows.max() for rows in seen) < 90
        assert found.without_duplicates is not None
        assert abs(found.without_duplicates.mean) < 0.05


def test_only_the_duplicates_can_go_where_every_budget_costs_accuracy_and_copies_do_not() -> None:
    features, labels = blobs(900, distance=1.5)
    features, labels = np.vstack([features, features[:300]]), np.concatenate([labels, labels[:300]])
    copy_of = np.concatenate([np.full(900, -1), np.arange(300)])
    kept = {"6": np.arange(6), "9": np.arange(9)}
    found = prove(features, labels, 3, kept, copy_of=copy_of, repeats=1, margin=0.03)
    assert [row.against_everything for row in found.rows] == ["worse", "worse"]
    assert found.verdict.startswith("Only the duplicates can go")
    assert "Without near-duplicates - everything" in proof_text(found)


def wrong_labels(n: int, share: float) -> tuple[Any, Ints, Ints]:
    """Return blobs of which some have a wrong label, and the order that has these at the end."""
    features, labels = blobs(n, distance=3.0)
    wrong = np.random.default_rng(1).random(n) < share
    labels = np.where(wrong, (labels + 1) % 3, labels)
    return features, labels, np.argsort(wrong, kind="stable")


def test_a_method_that_leaves_wrong_labels_out_is_better_than_random_and_one_that_keeps_them_is_worse() -> None:
    features, labels, order = wrong_labels(600, 0.3)
    for ranked, finding, words in (
        (order, "better", "the kept part is better than random by"),
        (order[::-1], "worse", "worse than random: do not use this method here"),
    ):
        choose = first_of(ranked, labels)
        found = prove(features, labels, 3, choose(np.arange(600), {"0.1": 60}, 0), choose=choose, repeats=1)
        assert found.rows[0].against_random == finding
        assert words in found.verdict


def test_a_random_selection_is_not_called_better_and_many_easy_samples_say_use_random() -> None:
    features, labels = blobs(1500, distance=6.0)
    choose = first_of(np.random.default_rng(3).permutation(1500), labels)
    found = prove(features, labels, 3, choose(np.arange(1500), {"0.3": 450}, 0), choose=choose, repeats=1)
    assert found.verdict.startswith("Keep 0.3: random does as well here: use random; it does as well as everything")


def test_few_samples_are_too_few_to_tell() -> None:
    features, labels = blobs(60, distance=0.6)
    choose = first_of(np.random.default_rng(3).permutation(60), labels)
    found = prove(features, labels, 3, choose(np.arange(60), {"0.5": 30}, 0), choose=choose, repeats=1)
    assert found.verdict.startswith("Too few samples to tell")
    tiny = prove(features, labels, 3, {"2": np.array([0, 1])})
    assert (tiny.rows, tiny.design) == ((), "")
    assert tiny.verdict == "Too few samples to tell: 60 take part and a budget keeps 2 of them; 30 and 5 are needed."
    one_class = prove(features, np.zeros(60, dtype=np.int64), 1, {"30": np.arange(30)})
    assert one_class.verdict == "Nothing to prove: there is one class."


def test_a_part_of_the_samples_takes_part_by_class_and_the_choice_still_counts_all_rows() -> None:
    features, labels = blobs(300)
    choose, seen = first_of(np.arange(300), labels), []

    def watched(rows: Ints, counts: Mapping[str, int], seed: int) -> dict[str, Ints]:
        seen.append(rows)
        return choose(rows, counts, seed)

    kept = choose(np.arange(300), {"0.3": 90}, 0)
    found = prove(features, labels, 3, kept, choose=watched, repeats=1, at_most=120)
    drawn = np.unique(np.concatenate(seen))
    assert np.bincount(labels[drawn]).tolist() == [40, 40, 40]
    assert found.samples == 120
    assert "120 of 300 samples, drawn by class, take part" in found.notes
    assert prove(features, labels, 3, kept, repeats=1, at_most=120).rows[0].trained_on == pytest.approx(29, abs=8)


def test_random_parts_follow_the_classes_only_where_the_method_does() -> None:
    labels = np.where(np.arange(400) < 300, 0, 1)
    data = judged(np.zeros((400, 2)), labels)
    counts: dict[bool, set[int]] = {}
    for by_class in (True, False):
        arms = Arms(data, {"20": np.arange(20)}, None, by_class, 20, 0).of(np.arange(400), 0)
        assert all(len(np.unique(rows)) == 20 for rows in arms["random", "20"])
        counts[by_class] = {int(labels[rows].sum()) for rows in arms["random", "20"]}
    assert counts[True] == {5}
    assert len(counts[False]) > 1


def test_the_class_known_least_is_named_with_its_accuracies() -> None:
    features, labels = blobs(300)
    features[labels == 1] = np.random.default_rng(0).normal(0.6, 1.2, (100, 6))
    found = prove(features, labels, 3, {"60": np.arange(60)}, repeats=1, class_names=("cat", "fog", "dog"))
    worst = found.rows[0].worst_class
    assert worst.name == "fog"
    assert worst.kept < found.rows[0].kept.mean
    assert 0 < worst.everything <= 1


@pytest.fixture(scope="module")
def proof() -> Proof:
    features, labels = blobs(200, distance=1.5)
    return prove(features, labels, 3, {"0.1": np.arange(20), "0.2": np.arange(40)}, folds=3, repeats=1)


@pytest.mark.parametrize("width", [24, 40, 80, 120])
def test_the_text_fits_the_terminal_and_says_each_number(proof: Proof, width: int) -> None:
    lines = proof_text(proof, width).splitlines()
    assert max(map(len, lines)) <= max(width, 43)  # a difference with its interval is not broken
    text = " ".join(" ".join(lines).split())
    assert proof.verdict in text
    for row in proof.rows:
        assert f"{100 * row.kept.mean:.1f}" in text
        assert f"{round(100 * row.over_everything.mean, 1) + 0.0:+.1f}" in text


def test_a_proof_comes_back_from_json_as_it_was_and_the_same_seed_gives_the_same(proof: Proof) -> None:
    assert msgspec.convert(json.loads(json.dumps(proof.as_json())), Proof) == proof
    features, labels = blobs(200, distance=1.5)
    again = prove(features, labels, 3, {"0.1": np.arange(20), "0.2": np.arange(40)}, folds=3, repeats=1)
    assert again == proof


@pytest.mark.parametrize(
    ("low", "high", "random", "everything"),
    [
        (0.01, 0.03, "better", "better"),
        (-0.03, -0.01, "worse", "worse"),
        (-0.05, 0.005, "as-well", "unclear"),
        (-0.005, 0.05, "unclear", "as-well"),
        (-0.005, 0.005, "as-well", "as-well"),
        (-0.05, 0.05, "unclear", "unclear"),
        (0.0, 0.0, "as-well", "as-well"),
        (None, None, "unclear", "unclear"),
    ],
)
def test_findings_follow_from_intervals_by_the_stated_rules(
    low: float | None, high: float | None, random: str, everything: str
) -> None:
    found = Interval(0.0, low, high, 5)
    assert (against_random(found, 0.01), against_everything(found, 0.01)) == (random, everything)


def test_the_corrected_interval_is_that_of_the_paper_and_never_of_width_0() -> None:
    values = [0.02, 0.05, -0.01, 0.03, 0.04]
    found = corrected_interval(values, 5, 500)
    error = np.sqrt((1 / 5 + 1 / 4) * np.var(values, ddof=1))
    expected = stats.t.interval(0.95, 4, np.mean(values), error)
    assert (found.low, found.high) == pytest.approx(expected)
    same = corrected_interval([0.0] * 5, 5, 100)
    assert same.low is not None
    assert -0.06 < same.low < -0.03  # about the rule of three: 3 / 100
    assert corrected_interval([0.1], 5, 100).low is None


def test_intervals_of_paired_differences_cover_the_truth_and_uncorrected_ones_do_not() -> None:
    """Two learners on repeated draws of data: nearest class mean on all of a training part, and on a third of it."""
    rng = np.random.default_rng(0)
    n, folds, trials = 60, 5, 500

    def draw(size: int) -> tuple[Any, Ints]:
        labels = np.arange(size) % 2
        return rng.normal(size=(size, 2)) + 0.8 * labels[:, None], labels

    def accuracy(x: Any, y: Ints, test_x: Any, test_y: Ints) -> float:
        low, high = x[y == 0].mean(axis=0), x[y == 1].mean(axis=0)
        return float((((test_x - (low + high) / 2) @ (high - low) > 0) == test_y).mean())

    far_x, far_y = draw(2000)
    truth, corrected, naive = [], [], []
    for _ in range(trials):
        x, y = draw(n)
        order = np.lexsort((rng.random(n), y))
        differences = []
        for fold in range(folds):
            test, train = np.sort(order[fold::folds]), np.setdiff1d(np.arange(n), order[fold::folds])
            part = train[: len(train) // 3]
            judge = x[test], y[test]
            differences.append(accuracy(x[part], y[part], *judge) - accuracy(x[train], y[train], *judge))
        truth.append(accuracy(x[part], y[part], far_x, far_y) - accuracy(x[train], y[train], far_x, far_y))
        corrected.append(corrected_interval(differences, folds, n))
        naive.append(stats.t.interval(0.95, folds - 1, np.mean(differences), stats.sem(differences) + 1e-12))
    mean = float(np.mean(truth))
    assert np.mean([found.low <= mean <= found.high for found in corrected]) > 0.93  # type: ignore[operator]
    assert np.mean([low <= mean <= high for low, high in naive]) < 0.93


def test_proofs_that_share_their_probes_say_what_each_says_alone_and_fit_fewer() -> None:
    features, labels = blobs(90)
    orders = [np.random.default_rng(seed).permutation(90) for seed in (3, 4)]
    fits, counts = Fits(), []
    for order in orders:
        choose = first_of(order, labels)
        kept = choose(np.arange(90), {"30": 30}, 0)
        alone = prove(features, labels, 3, kept, choose=choose, folds=3, repeats=2)
        assert prove(features, labels, 3, kept, choose=choose, folds=3, repeats=2, fits=fits) == alone
        counts.append(len(fits.known))
    assert counts[1] < 1.7 * counts[0]
