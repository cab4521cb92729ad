"""Neighbours, near-duplicates, leaks and votes against brute force and other libraries."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import NearestNeighbors

from prunebench.errors import DataError, UsageError
from prunebench.pruning import cells, duplicates, neighbours
from prunebench.pruning import search as search_module
from prunebench.pruning.duplicates import Duplicates, near_duplicates
from prunebench.pruning.neighbours import id_order, leaks, nearest, nearest_kept
from prunebench.pruning.search import Search
from prunebench.pruning.votes import label_votes

Array = NDArray[Any]
ALL_PAIRS = st.sampled_from(["exact", "clusters"])  # one cluster, for so few
PYNNDESCENT = pytest.param("pynndescent", marks=pytest.mark.thorough)  # it compiles for a minute
SEARCHES = ("exact", "clusters", "faiss", PYNNDESCENT)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small inputs take several blocks and clusters, as large ones do."""
    monkeypatch.setattr(cells, "BLOCK_ROWS", 64)
    monkeypatch.setattr(neighbours, "BLOCK_ROWS", 64)
    monkeypatch.setattr(duplicates, "BLOCK_ROWS", 64)


def cloud(n: int, d: int = 16, seed: int = 0) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(7, d))
    rows: NDArray[np.float32] = (centres[np.arange(n) % 7] + generator.normal(size=(n, d))).astype(np.float32)
    return rows


def planted(n: int = 900, n_copies: int = 80) -> NDArray[np.float32]:
    """Return features of which the last `n_copies` are slightly changed rows from the start, some of them twice."""
    generator = np.random.default_rng(1)
    rows = cloud(n, 24)
    source = rows[generator.integers(0, n_copies // 2, n_copies)]
    rows[-n_copies:] = source + 0.05 * generator.normal(size=source.shape)
    return rows


def cosines(left: Array, right: Array) -> NDArray[np.float64]:
    def unit(rows: Array) -> Array:
        lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        return rows.astype(np.float64) / np.where(lengths == 0, 1, lengths)

    product: NDArray[np.float64] = unit(left) @ unit(right).T
    return product


def best(similarities: Array, k: int) -> Array:
    """Return the k highest of each row, padded by -inf."""
    found = -np.sort(-similarities, axis=1)[:, :k]
    return np.pad(found, ((0, 0), (0, k - found.shape[1])), constant_values=-np.inf)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 150), st.integers(1, 9), st.integers(1, 20), st.integers(0, 9))
def test_the_nearest_by_cosine_are_those_of_brute_force(n: int, d: int, k: int, seed: int) -> None:
    rows = cloud(n, d, seed)
    rows[: n // 4] = rows[n // 2]
    found, truth = nearest(rows, k=k), cosines(rows, rows)
    np.fill_diagonal(truth, -np.inf)
    np.testing.assert_allclose(found.similarities, best(truth, k), atol=2e-6)
    present = found.indices >= 0
    assert (present.sum(axis=1) == min(k, n - 1)).all()
    assert not (found.indices == np.arange(n)[:, None]).any()
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in found.indices)
    i, c = np.nonzero(present)
    np.testing.assert_allclose(found.similarities[i, c], truth[i, found.indices[i, c]], atol=2e-6)


@pytest.mark.parametrize(("factor", "offset"), [(1, 0), (1e19, 0), (1, 1e5), (1e-42, 0)])
def test_the_nearest_by_distance_are_those_of_scikit_learn_at_any_scale_and_place(factor: float, offset: float) -> None:
    rows = (cloud(300).astype(np.float64) * factor + offset).astype(np.float32)
    found = nearest(rows, k=5, metric="euclidean")
    wide = (rows.astype(np.float64) - offset) / factor
    search = NearestNeighbors(n_neighbors=6, algorithm="kd_tree").fit(wide)
    distances, indices = search.kneighbors(wide)
    np.testing.assert_allclose(
        -found.similarities.astype(np.float64) / factor, distances[:, 1:], rtol=1e-5 if factor >= 1 else 1e-3
    )
    if factor >= 1 and not offset:
        assert (found.indices == indices[:, 1:]).all()


@pytest.mark.parametrize("factor", [2.0**62, 2.0**-100])
def test_a_factor_does_not_change_the_neighbours_by_cosine(factor: float) -> None:
    rows = cloud(200)
    plain, scaled = nearest(rows, k=5), nearest((rows * factor).astype(np.float32), k=5)
    assert (plain.indices == scaled.indices).all()
    assert (plain.similarities == scaled.similarities).all()


def test_each_row_may_have_a_magnitude_of_its_own() -> None:
    rows, exponents = cloud(200), np.random.default_rng(0).integers(-120, 120, 200)
    plain, scaled = nearest(rows, k=5), nearest(np.ldexp(rows, exponents[:, None]).astype(np.float32), k=5)
    assert (plain.indices == scaled.indices).all()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_neighbours_within_a_class_are_those_of_the_class_alone(metric: Any) -> None:
    rows, labels = cloud(400), np.random.default_rng(0).integers(-1, 5, 400)
    labels[labels == 4] = 3
    labels[17] = 4
    found = nearest(rows, k=6, labels=labels, metric=metric)
    for label in range(5):
        own = np.flatnonzero(labels == label)
        alone = nearest(rows[own], k=6, metric=metric)
        assert (found.indices[own] == np.where(alone.indices >= 0, own[alone.indices], -1)).all()
        np.testing.assert_allclose(found.similarities[own], alone.similarities, rtol=1e-6)
    assert (found.indices[(labels < 0) | (labels == 4)] == -1).all()


def test_the_base_may_be_another_set_with_labels_of_its_own() -> None:
    queries, base = cloud(90, seed=1), cloud(200, seed=2)
    truth = cosines(queries, base)
    np.testing.assert_allclose(nearest(queries, base, 4).similarities, best(truth, 4), atol=2e-6)
    labels, base_labels = np.arange(90) % 4, np.arange(200) % 3
    truth[labels[:, None] != base_labels] = -np.inf
    found = nearest(queries, base, 4, labels=labels, base_labels=base_labels)
    np.testing.assert_allclose(found.similarities, best(truth, 4), atol=2e-6)


@pytest.mark.parametrize("search", SEARCHES)
def test_the_order_of_the_file_and_the_number_of_threads_do_not_matter(search: Search) -> None:
    rows, shuffle = planted(), np.random.default_rng(5).permutation(900)
    ids = [f"{i * 7919 % 900:03d}" for i in range(900)]
    plain = nearest(rows, k=5, order=id_order(ids), search=search, workers=1)
    order = id_order([ids[i] for i in shuffle])
    other = nearest(rows[shuffle], k=5, order=order, search=search, workers=2)
    assert (shuffle[other.indices] == plain.indices[shuffle]).all()
    assert (other.similarities == plain.similarities[shuffle]).all()
    groups = [near_duplicates(rows, order=id_order(ids), search=search, workers=1)]
    groups.append(near_duplicates(rows[shuffle], order=order, search=search))
    assert (groups[1].groups == groups[0].groups[shuffle]).all()
    assert (shuffle[groups[1].copy_of] == groups[0].copy_of[shuffle]).all()


def test_equal_similarities_go_to_the_first_in_the_order() -> None:
    rows = np.tile(cloud(3), (4, 1))
    order = np.random.default_rng(0).permutation(12)
    rank = np.argsort(order)
    for i, found in enumerate(nearest(rows, k=3, order=order).indices):
        assert found.tolist() == sorted((j for j in range(12) if j != i and j % 3 == i % 3), key=lambda j: rank[j])


def test_features_mapped_into_memory_and_other_precisions_are_read(tmp_path: Any) -> None:
    rows = cloud(130)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    plain = nearest(rows, k=3)
    assert (nearest(mapped, k=3).indices == plain.indices).all()
    assert (nearest(rows.astype(np.float64), k=3).indices == plain.indices).all()
    assert (nearest(np.asfortranarray(rows), k=3).indices == plain.indices).all()
    halves = rows.astype(np.float16)
    assert (nearest(halves, k=3).indices == nearest(halves.astype(np.float32), k=3).indices).all()


def test_the_search_near_clusters_says_how_much_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "_CLUSTER_ROWS", 32)
    monkeypatch.setattr(neighbours, "_PROBES", 4)
    rows = cloud(1500, 8)
    found, truth = nearest(rows, k=5, search="clusters"), nearest(rows, k=5, search="exact")
    share = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found.indices, truth.indices, strict=True)])
    assert found.recall == pytest.approx(share, abs=0.03)
    assert 0.6 < found.recall < 1
    assert truth.recall == 1


@pytest.mark.parametrize("labels", [None, np.arange(300) % 7])
def test_a_dropped_sample_is_stood_for_by_the_most_similar_kept_one(labels: Any) -> None:
    rows, kept = cloud(300), np.random.default_rng(0).permutation(300)[:40]
    if labels is not None:
        kept = kept[labels[kept] != 3]
    found, truth = nearest_kept(rows, kept, labels=labels), cosines(rows, rows[kept])
    if labels is not None:
        truth[labels[:, None] != labels[kept]] = -np.inf
    np.testing.assert_allclose(found.similarities[:, 0], truth.max(axis=1), atol=2e-6)
    assert (found.indices[kept, 0] == kept).all()
    there = found.indices[:, 0] >= 0
    assert set(found.indices[there, 0]) <= set(kept.tolist())
    assert there.all() == (labels is None)


def oracle(rows: Array, cosine: float) -> Array:
    """Return the component of each sample in the graph of all pairs; that of a sample of its own is -1."""
    pairs = cosines(rows, rows).astype(np.float32) >= np.float32(cosine)
    component: Array = connected_components(pairs, directed=False)[1]
    return np.where(np.bincount(component)[component] > 1, component, -1)


def holds(found: Duplicates, rows: Array) -> None:
    """Assert what is promised of the groups and of who stands for whom."""
    copies = found.copy_of != np.arange(len(rows))
    assert (found.copy_of[found.copy_of] == found.copy_of).all()
    assert (found.groups[copies] == found.groups[found.copy_of[copies]]).all()
    assert (found.groups[copies] >= 0).all()
    assert (found.cosines[copies] >= np.float32(found.cosine)).all()
    near = np.diag(cosines(rows, rows[found.copy_of]))
    assert near[copies] == pytest.approx(found.cosines[copies], abs=1e-6)
    assert (found.groups[found.representatives] == np.arange(len(found.representatives))).all()
    assert (found.copy_of[found.representatives] == found.representatives).all()
    assert not copies[found.groups < 0].any()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.integers(1, 6), st.sampled_from([0.5, 0.9, 0.95, 0.999, 1.0]), ALL_PAIRS)
def test_groups_of_near_duplicates_are_the_components_of_all_pairs(
    n: int, d: int, cosine: float, search: Search
) -> None:
    rows = cloud(n, d, n)
    rows[: n // 5] = rows[n // 2]
    found, truth = near_duplicates(rows, cosine, search=search), oracle(rows, cosine)
    assert ((found.groups[:, None] == found.groups) == (truth[:, None] == truth)).all()
    assert ((found.groups < 0) == (truth < 0)).all()
    assert (np.diff(found.representatives) > 0).all()
    holds(found, rows)


def test_near_duplicates_are_found_within_clusters_and_the_recall_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "_CLUSTER_ROWS", 50)
    rows = planted()
    found, truth = near_duplicates(rows, search="clusters"), near_duplicates(rows, search="exact")
    assert not found.exact
    assert found.recall >= 0.95
    assert found.pairs > 50
    assert (found.groups >= 0).sum() >= 0.95 * (truth.groups >= 0).sum() > 0
    holds(found, rows)
    assert truth.exact
    assert truth.recall == 1
    monkeypatch.setattr(cells, "_CLUSTER_ROWS", 4)
    monkeypatch.setattr(duplicates, "_PROBES", 1)
    assert near_duplicates(rows, 0.7, search="clusters").recall < 0.95


@pytest.mark.parametrize("search", ["faiss", PYNNDESCENT])
def test_an_index_finds_nearly_what_all_pairs_find_and_says_how_much(search: Search) -> None:
    rows = planted(1500)
    rows[7] = 0
    found, truth = nearest(rows, k=5, search=search), nearest(rows, k=5, search="exact")
    share = np.mean([len(set(one) & set(other)) / 5 for one, other in zip(found.indices, truth.indices, strict=True)])
    assert found.recall == pytest.approx(share, abs=0.03)
    assert found.recall > 0.9
    assert (found.exact, truth.exact) == (False, True)
    assert not (found.indices == np.arange(len(rows))[:, None]).any()
    for row in range(0, len(rows), 50):
        assert cosines(rows[[row]], rows[found.indices[row]])[0] == pytest.approx(found.similarities[row], abs=1e-6)
    assert (np.diff(found.similarities, axis=1) <= 0).all()
    copies, exact = near_duplicates(rows, search=search), near_duplicates(rows, search="exact")
    assert copies.recall >= 0.95
    assert (copies.groups >= 0).sum() >= 0.95 * (exact.groups >= 0).sum() > 0
    holds(copies, rows)
    kept = np.arange(0, len(rows), 10)
    near, best = nearest_kept(rows, kept, search=search), nearest_kept(rows, kept, search="exact")
    assert (near.indices == best.indices).mean() > 0.9
    assert (near.indices[kept, 0] == kept).all()
    leaked = leaks(rows, rows[:20] + np.float32(1e-3), search=search)
    assert set(leaked.train) >= set(range(20)) - {7}


@pytest.mark.parametrize("n", [1, 4, 40])
@pytest.mark.parametrize("search", ["faiss", "pynndescent"])
def test_few_rows_need_no_index(search: Search, n: int) -> None:
    found, truth = (nearest(cloud(n), k=6, search=one) for one in (search, "exact"))
    np.testing.assert_array_equal(found.indices, truth.indices)
    np.testing.assert_array_equal(found.similarities, truth.similarities)
    assert found.exact
    assert near_duplicates(cloud(n), search=search).exact


@pytest.mark.parametrize(("search", "words"), [("faiss", "prunebench\\[faiss\\]"), ("nearby", "no search is named")])
def test_a_search_that_cannot_be_had_says_what_to_do(monkeypatch: pytest.MonkeyPatch, search: Any, words: str) -> None:
    monkeypatch.setattr(search_module, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        nearest(cloud(40), k=2, search=search)
    assert re.search(words, caught.value.message + caught.value.hint)


def test_faiss_and_torch_compute_in_one_process_and_end() -> None:
    program = (
        "import numpy as np\n"
        "from prunebench.pruning.neighbours import nearest\n"
        "import torch\n"
        "rows = np.random.default_rng(0).normal(size=(3000, 32)).astype(np.float32)\n"
        "for _ in range(2):\n"
        "    product = torch.from_numpy(rows) @ torch.from_numpy(rows).T\n"
        "    assert nearest(rows, k=3, search='faiss').recall > .5 and torch.isfinite(product).all()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_recall_that_has_no_pair_to_be_measured_on_is_not_a_number() -> None:
    found = near_duplicates(cloud(300, 64), 0.999, search="clusters")
    assert np.isnan(found.recall)
    assert found.pairs == 0


def test_a_chain_is_one_group_and_a_copy_is_near_the_one_that_stays() -> None:
    angles = np.arange(40) * 0.2  # neighbours at cosine .98, the next but one at .92
    rows = np.stack([np.cos(angles / 4), np.sin(angles / 4)], axis=1).astype(np.float32)[:30]
    found = near_duplicates(rows, 0.99)
    assert (found.groups == 0).all()
    assert 1 < len(set(found.copy_of.tolist())) < 30
    holds(found, rows)


def test_the_first_in_the_order_stands_for_its_copies() -> None:
    rows = np.tile(cloud(5, 64), (3, 1))
    order = np.random.default_rng(2).permutation(15)
    found = near_duplicates(rows, order=order)
    first = {int(i % 5): int(i) for i in order[::-1]}
    assert found.copy_of.tolist() == [first[i % 5] for i in range(15)]
    assert found.representatives.tolist() == [i for i in order if i in first.values()]


def test_rows_of_zeros_are_at_cosine_zero_and_nobodys_duplicates() -> None:
    rows = cloud(20)
    rows[[3, 8]] = 0
    found = nearest(rows, k=19)
    assert (found.similarities[3] == 0).all()
    duplicates = near_duplicates(rows)
    assert (duplicates.groups[[3, 8]] == -1).all()


def test_many_equal_rows_are_one_group_without_a_search_of_all_pairs() -> None:
    rows = np.tile(cloud(3, 512), (20_000, 1))
    found = near_duplicates(rows)
    assert found.exact
    assert np.bincount(found.groups).tolist() == [20_000] * 3
    assert (found.cosines == 1).all()


def test_train_rows_that_are_near_a_reference_row_are_listed() -> None:
    train, reference = cloud(300, 24, 1), cloud(100, 24, 2)
    train[:10] = reference[:10] * 3
    train[10] = reference[0] + 0.01
    found, truth = leaks(train, reference, 0.97), cosines(train, reference)
    rows, columns = np.nonzero(truth >= 0.97)
    assert sorted(zip(found.train.tolist(), found.reference.tolist(), strict=True)) == list(
        zip(rows.tolist(), columns.tolist(), strict=True)
    )
    assert found.cosines == pytest.approx(truth[found.train, found.reference], abs=1e-6)
    assert len(rows) == 11


def votes_by_loops(indices: Array, labels: Array, groups: Array) -> list[tuple[int, float]]:
    answers = []
    for i, row in enumerate(indices):
        seen, given = {int(groups[i])} - {-1}, []
        for j in row:
            if j < 0 or int(groups[j]) in seen:
                continue
            seen |= {int(groups[j])} - {-1}
            given.append(int(labels[j]))
        given = [label for label in given if label >= 0]
        winner = max(given, key=lambda label: (given.count(label), -given.index(label)), default=-1)
        answers.append((winner, given.count(winner) / len(given) if given else 0.0))
    return answers


@given(st.integers(0, 10**6))
def test_votes_are_counted_as_by_hand(seed: int) -> None:
    generator = np.random.default_rng(seed)
    n, k = int(generator.integers(2, 30)), int(generator.integers(1, 8))
    labels, groups = generator.integers(-1, 4, n), generator.integers(-1, 6, n)
    indices = np.stack([np.resize(np.append(generator.permutation(n), [-1]), k) for _ in range(n)])
    votes, truth = label_votes(indices, labels, groups), votes_by_loops(indices, labels, groups)
    assert votes.voted.tolist() == [winner for winner, _ in truth]
    assert votes.share == pytest.approx(np.array([share for _, share in truth]))
    assert votes.suspected.tolist() == [
        share > 0.5 and winner != label and label >= 0 for (winner, share), label in zip(truth, labels, strict=True)
    ]


def test_planted_label_errors_are_suspected_although_their_copies_repeat_them() -> None:
    generator = np.random.default_rng(3)
    truth = np.arange(600) % 6
    rows = (6 * np.eye(6, 24)[truth] + generator.normal(size=(600, 24))).astype(np.float32)
    wrong = generator.permutation(600)[:30]
    labels = truth.copy()
    labels[wrong] = (truth[wrong] + 1) % 6
    rows, labels = np.append(rows, np.tile(rows[wrong], (12, 1)), axis=0), np.append(labels, np.tile(labels[wrong], 12))
    groups = near_duplicates(rows, 0.999).groups
    votes = label_votes(nearest(rows, k=30).indices, labels, groups)
    found = wrong[votes.suspected[wrong]]
    assert len(found) >= 28
    assert votes.suspected[:600].sum() <= 33
    assert (votes.voted[found] == truth[found]).all()
    blind = label_votes(nearest(rows, k=15).indices, labels)
    assert not blind.suspected[wrong].any()


def test_more_neighbours_than_samples_and_no_samples_at_all_are_answered() -> None:
    found = nearest(cloud(3), k=5)
    assert (found.indices >= 0).sum() == 6
    assert np.isneginf(found.similarities[found.indices < 0]).all()
    assert nearest(cloud(1), k=2).indices.tolist() == [[-1, -1]]
    assert nearest(np.empty((0, 4), np.float32), k=2).indices.shape == (0, 2)
    assert near_duplicates(np.empty((0, 4), np.float32)).groups.shape == (0,)
    assert near_duplicates(cloud(1)).groups.tolist() == [-1]
    assert nearest_kept(cloud(4), np.empty(0, np.int64)).indices.tolist() == [[-1]] * 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rows: nearest(np.where(np.arange(10)[:, None] == 4, np.nan, rows), k=2), "1 of 10 samples .* row 4"),
        (lambda rows: nearest((rows.astype(np.float64) * 1e39), k=2), "10 of 10 samples are not finite"),
        (lambda rows: near_duplicates(np.where(np.arange(10)[:, None] > 6, np.inf, rows)), "3 of 10 samples .* row 7"),
        (lambda rows: nearest(rows[0], k=2), r"float32 \[16\], not floating"),
        (lambda rows: nearest(rows.astype(np.int64), k=2), r"int64 \[10, 16\], not floating"),
        (lambda rows: nearest(rows, rows[:, :3], 2), "16 dimensions and the base has 3"),
        (lambda rows: nearest(rows, k=0), "k is 0"),
        (lambda rows: nearest(rows, k=2, labels=np.zeros(9, np.int64)), "9 labels for 10 samples"),
        (lambda rows: nearest(rows, rows, 2, labels=np.zeros(10, np.int64)), "one of queries and base"),
        (lambda rows: nearest(rows, k=2, metric="euclidean", search="clusters"), "by clusters is for cosines"),
        (lambda rows: near_duplicates(rows, 1.5), "cosine of 1.5"),
        (lambda rows: leaks(rows, rows, 0.0), "cosine of 0"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_a_sentence(call: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        call(cloud(10))
    assert caught.value.hint


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("work", [near_duplicates, nearest])
def test_progress_never_falls_and_ends_at_the_whole(work: Any, search: Search) -> None:
    seen: list[float] = []
    work(cloud(300), search=search, progress=lambda part, text: seen.append(part))
    assert seen == sorted(seen)
    assert seen[-1] == 1
