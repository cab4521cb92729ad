"""A linear head on frozen features in closed form, by which no sample is judged that it was fitted on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import silent
from prunebench.errors import DataError
from prunebench.pruning.cells import checked
from prunebench.pruning.parallel import in_order

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Progress = Callable[[float, str], None]

_BLOCK_VALUES = 1 << 21  # 16 MiB in double precision: above 32, every block is asked of the system anew
_UNSEEN = 0.5  # of a sample: the weight of a class of which a head saw none, at the mean of all
_CALIBRATION_ROWS = 20_000


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What the heads say of samples that they did not see.

    logits: float32 [n, n_classes], log posteriors in nats; `out` where it was given.  folds: int64
    [n], whose head judged which sample.  accuracy: of the labelled samples, the share whose label has the highest
    logit.  log_loss: the mean of minus the log posterior of the label, in nats.  shrinkage: float64 [folds], 0..1.
    temperature: by which the discriminants were divided, 1..50, above 1 where they were too sure."""

    logits: Floats
    folds: Ints
    accuracy: float
    log_loss: float
    shrinkage: Doubles
    temperature: float


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Sums over some samples: counts float64 [c], class sums [c, d] and products of features [d, d] about a shift."""

    counts: Doubles
    sums: Doubles
    products: Doubles

    def __sub__(self, other: Moments) -> Moments:
        return Moments(
            counts=self.counts - other.counts, sums=self.sums - other.sums, products=self.products - other.products
        )


@dataclass(frozen=True, kw_only=True)
class Head:
    """Linear discriminants about the shift: weights float64 [d, c], biases float64 [c]."""

    weights: Doubles
    biases: Doubles
    shrinkage: float


def cross_fitted_logits(
    features: NDArray[np.floating],
    labels: Ints,
    n_classes: int,
    *,
    ids: Sequence[str] | None = None,
    folds: int = 5,
    seed: int = 0,
    shrinkage: float | None = None,
    calibrate: bool = True,
    out: Floats | None = None,
    workers: int = 2,
    progress: Progress = silent,
) -> Judged:
    """Judge each sample by linear discriminant analysis of the samples in the other folds.

    features: floating [n, d], may be mapped into memory; labels: int64 [n] in 0..n_classes-1, below 0 for samples that
    are judged by the head of the other folds and fit none.  One covariance for all classes, S = (1 - a) W + a tr(W)/d I
    with W the pooled covariance within classes; a is `shrinkage`, or by default the oracle approximating shrinkage of
    Chen, Wiesel, Eldar and Hero (2010), which needs no second pass.  Priors are the shares of the classes; a class of
    which a head saw no sample stands at the mean of all with half a sample.  Folds are balanced within classes, and
    drawn by the seed and the ids, or the content of the rows, never by their places.  calibrate: divide all
    discriminants by one temperature of 1 or more, which minimises the log loss (Guo et al. 2017).  out: float32 [n,
    n_classes] to write the logits to, such as an array that is mapped from a file.
    Raises DataError for labels out of range, fewer than two labelled samples, and features that are not finite.
    """
    rows, labels = checked(features), np.asarray(labels, dtype=np.int64)
    if len(labels) != len(rows) or labels.max(initial=-1) >= n_classes:
        text = f"there are {len(labels)} labels up to {labels.max(initial=-1)} for {len(rows)} samples of {n_classes}"
        raise DataError(f"{text} classes", "give one label below the number of classes for each sample")
    if (n_labelled := int((labels >= 0).sum())) < 2:
        raise DataError(f"a head needs two samples with labels, and {n_labelled} has one", "label more samples")
    if shrinkage is not None and not 0 <= shrinkage <= 1:
        raise DataError(f"a shrinkage of {shrinkage:g} is not between 0 and 1", "give one, or leave it out")
    drawn = digests(rows, ids, seed)
    assigned = fold_of(drawn, labels, min(folds, n_labelled))
    scaling = _scaling(rows, workers)
    parts = _moments(rows, labels, assigned, n_classes, scaling, workers, lambda part: progress(0.4 * part, "head"))
    total = Moments(
        counts=sum(part.counts for part in parts),  # type: ignore[arg-type]
        sums=sum(part.sums for part in parts),  # type: ignore[arg-type]
        products=sum(part.products for part in parts),  # type: ignore[arg-type]
    )
    heads = [fit(total - part, shrinkage) for part in parts]
    temperature = 1.0
    if calibrate:
        by_draw = np.argsort(drawn, kind="stable")
        sample = by_draw[labels[by_draw] >= 0][: min(_CALIBRATION_ROWS, max(1, _BLOCK_VALUES // n_classes))]
        temperature = _temperature(_judge(rows[sample], assigned[sample], heads, scaling), labels[sample])
    logits = np.empty((len(rows), n_classes), np.float32) if out is None else out
    right, loss = 0, 0.0

    def judge(part: slice) -> tuple[int, float]:
        posteriors = _log_softmax(_judge(rows[part], assigned[part], heads, scaling) / temperature)
        logits[part] = posteriors
        return _tally(posteriors, labels[part])

    tasks = _slices(len(rows), max(n_classes, rows.shape[1]))
    for done, (hits, lost) in enumerate(in_order(judge, tasks, workers, [rows, logits])):
        right, loss = right + hits, loss + lost
        progress(0.4 + 0.6 * (done + 1) / len(tasks), "head")
    return Judged(
        logits=logits, folds=assigned, accuracy=right / n_labelled, log_loss=loss / n_labelled,
        shrinkage=np.array([head.shrinkage for head in heads]), temperature=temperature,
    )  # fmt: skip


def digests(rows: Floats, ids: Sequence[str] | None, seed: int) -> NDArray[np.uint64]:
    """Return a number uint64 [n] drawn for each sample by the seed and its id, or its content without ids."""
    salt = seed.to_bytes(8, "little", signed=True)
    content: Iterable[bytes] = (row.tobytes() for row in rows)
    if ids is not None:
        content = (name.encode("utf-8", "surrogatepass") for name in ids)
    found = b"".join(hashlib.blake2b(part, digest_size=8, salt=salt).digest() for part in content)
    return np.frombuffer(found, dtype="<u8").astype(np.uint64)


def fold_of(drawn: NDArray[np.uint64], labels: Ints, folds: int) -> Ints:
    """Return the fold of each sample, int64 [n]; classes, and all, are split as evenly as can be."""
    assigned = np.empty(len(labels), dtype=np.int64)
    assigned[np.lexsort((drawn, labels))] = np.arange(len(labels)) % folds
    return assigned


def _slices(n: int, width: int) -> list[slice]:
    step = max(1, _BLOCK_VALUES // width)
    return [slice(start, min(n, start + step)) for start in range(0, n, step)]


def _scaling(rows: Floats, workers: int) -> tuple[Doubles, float]:
    """Return the mean of the features float64 [d] and the power of two above their largest distance from it."""

    def block(part: slice) -> tuple[Doubles, Floats, Floats]:
        own = rows[part]
        return own.sum(axis=0, dtype=np.float64), own.min(axis=0), own.max(axis=0)

    sums, low, high = zip(*in_order(block, _slices(len(rows), rows.shape[1]), workers, [rows]), strict=True)
    shift: Doubles = np.sum(sums, axis=0) / len(rows)
    largest = max(float((np.max(high, axis=0) - shift).max()), float((shift - np.min(low, axis=0)).max()))
    return shift, float(np.ldexp(1.0, int(np.frexp(largest)[1])))


def _moments(
    rows: Floats, labels: Ints, assigned: Ints, n_classes: int, scaling: tuple[Doubles, float], workers: int,
    progress: Callable[[float], None],
) -> list[Moments]:  # fmt: skip
    """Return the moments of each fold, in one pass."""
    from scipy.sparse import csr_matrix

    n_folds, d = int(assigned.max()) + 1, rows.shape[1]
    shift, scale = scaling

    def block(part: slice) -> list[tuple[int, Doubles, Doubles, Doubles]]:
        found = []
        for fold in range(n_folds):
            own = part.start + np.flatnonzero((assigned[part] == fold) & (labels[part] >= 0))
            x = (rows[own] - shift) / scale
            members = csr_matrix((np.ones(len(own)), (labels[own], np.arange(len(own)))), shape=(n_classes, len(own)))
            counts = np.bincount(labels[own], minlength=n_classes).astype(np.float64)
            found.append((fold, counts, members @ x, x.T @ x))
        return found

    shapes = (n_classes,), (n_classes, d), (d, d)
    total = [tuple(np.zeros(shape) for shape in shapes) for _ in range(n_folds)]
    parts = _slices(len(rows), d)
    for done, found in enumerate(in_order(block, parts, workers, [rows])):
        for fold, *sums in found:
            for whole, more in zip(total[fold], sums, strict=True):
                whole += more
        progress((done + 1) / len(parts))
    return [Moments(counts=counts, sums=sums, products=products) for counts, sums, products in total]


def fit(moments: Moments, shrinkage: float | None) -> Head:
    """Return the discriminants of the samples with these moments."""
    counts, n, d = moments.counts, moments.counts.sum(), moments.sums.shape[1]
    means = moments.sums / np.maximum(counts, 1)[:, None]
    within = (moments.products - (means * counts[:, None]).T @ means) / max(1.0, n)
    alpha = oracle_approximating(within, n) if shrinkage is None else shrinkage
    trace = float(np.trace(within)) / d
    covariance = (1 - alpha) * within
    # where classes have no spread, all directions count alike
    covariance[np.diag_indices(d)] += alpha * trace if trace > 0 else 1.0
    means[counts == 0] = moments.sums.sum(axis=0) / max(1.0, n)
    weights = _solve(covariance, means.T)
    priors = np.log(np.maximum(counts, _UNSEEN) / np.maximum(counts, _UNSEEN).sum())
    return Head(weights=weights, biases=priors - np.einsum("cd,dc->c", means, weights) / 2, shrinkage=float(alpha))


def oracle_approximating(covariance: Doubles, n: float) -> float:
    """Return the shrinkage of Chen, Wiesel, Eldar and Hero (2010), eq. 23, of a covariance of n samples."""
    d = len(covariance)
    square, mean = float(np.mean(covariance**2)), float(np.trace(covariance)) / d
    spread = (n + 1) * (square - mean**2 / d)
    return 1.0 if spread <= 0 else min(1.0, (square + mean**2) / spread)


def _solve(covariance: Doubles, right: Doubles) -> Doubles:
    """Return covariance^-1 @ right, by the pseudo-inverse where the covariance is singular."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve, lstsq

    try:
        solved: Doubles = cho_solve(cho_factor(covariance, lower=True), right)
    except LinAlgError:
        solved = lstsq(covariance, right)[0]
    return solved


def _judge(rows: Floats, assigned: Ints, heads: Sequence[Head], scaling: tuple[Doubles, float]) -> Doubles:
    """Return the log posteriors up to a constant, float64 [m, c], of each row by the head of its fold."""
    shift, scale = scaling
    scores = np.empty((len(rows), len(heads[0].biases)))
    for fold, head in enumerate(heads):
        own = np.flatnonzero(assigned == fold)
        scores[own] = ((rows[own] - shift) / scale) @ head.weights + head.biases
    return scores


def _log_softmax(scores: Doubles) -> Doubles:
    """Turn scores float64 [m, c] into log posteriors, in place."""
    scores -= scores.max(axis=1, keepdims=True)
    scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return scores


def _tally(posteriors: Doubles, labels: Ints) -> tuple[int, float]:
    """Return how many labels have the highest log posterior, and the sum of minus those of the labels."""
    own = np.flatnonzero(labels >= 0)
    hits = int((posteriors[own].argmax(axis=1) == labels[own]).sum())
    return hits, -float(posteriors[own, labels[own]].sum())


def _temperature(scores: Doubles, labels: Ints) -> float:
    """Return the temperature in 1..50 at which the log loss is least; below 1, separable classes would have none."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return _tally(_log_softmax(scores / np.exp(log_temperature)), labels)[1]

    found = minimize_scalar(loss, bounds=(0.0, np.log(50)), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0
