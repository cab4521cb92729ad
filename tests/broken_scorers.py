"""Scorers that break one promise each; named after what they do."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from prunebench import DataError, Scores

KEPT = []


def centred(ctx):
    """Minus the distance to the mean: keeps every promise, and is what the others start from."""
    features = ctx.features.astype(np.float64)
    if not np.isfinite(features).all():
        raise DataError("not finite", "a hint")
    return -np.linalg.norm(features - features.mean(axis=0), axis=1)


NOT_CALLABLE = 3


def copies_first(ctx):
    found = 0 * centred(ctx)
    for row in range(ctx.n):
        found[row] = -np.sort(np.linalg.norm(ctx.features - ctx.features[row], axis=1))[: ctx.n // 20 + 1].mean()
    return found


def thirds(ctx):
    """Pseudo-labels by the place of the first feature: a labeller that keeps every promise."""
    first = ctx.features[:, 0]
    if not np.isfinite(first).all():
        raise DataError("not finite", "a hint")
    return (np.argsort(np.argsort(first)) * 3 // ctx.n).astype(np.int64)


def thirds_as_float(ctx):
    return thirds(ctx).astype(np.float64)


def thirds_from_one(ctx):
    return np.where(thirds(ctx) == 2, ctx.n, 0)


def thirds_of_what_was_learnt(ctx):
    return ctx.dynamics[-1].argmax(axis=1)


def thirds_without_a_seed(ctx):
    return np.random.default_rng().permutation(thirds(ctx))


def doubts_its_labels(ctx):
    """The mean probability that the pseudo-label is wrong: keeps every promise."""
    own = ctx.dynamics[:, np.arange(ctx.n), ctx.pseudo_labels].astype(np.float64)
    if not np.isfinite(own).all():
        raise DataError("not finite", "a hint")
    return 1 - own.mean(axis=0)


def raises(ctx):
    raise KeyError("labels")


def hangs(ctx):
    while True:
        time.sleep(0.05)


def exits(ctx):
    sys.exit(3)


def exits_hard(ctx):
    os._exit(4)


def segfaults(ctx):
    ctypes.string_at(0)


def reads_undeclared_logits(ctx):
    return centred(ctx) + 0 * ctx.logits[:, 0]


def reads_the_budget(ctx):
    return centred(ctx) + 0 * ctx.n_keep


def writes_into_its_evidence(ctx):
    found = centred(ctx)
    ctx.features[:] = 0
    return found


def makes_its_evidence_writable(ctx):
    found = centred(ctx)
    ctx.features.flags.writeable = True
    ctx.features[0] = 0
    return found


def returns_a_view(ctx):
    return ctx.features[:, 0]


def returns_float32(ctx):
    return centred(ctx).astype(np.float32)


def returns_one_too_few(ctx):
    return centred(ctx)[1:]


def returns_a_column(ctx):
    return centred(ctx)[:, None]


def returns_a_list(ctx):
    return list(centred(ctx))


def returns_no_permutation(ctx):
    return np.zeros(ctx.n, dtype=np.int64)


def excludes_by_number(ctx):
    return Scores(values=centred(ctx), excluded=np.arange(ctx.n))


def returns_nan(ctx):
    found = centred(ctx)
    found[0] = np.nan
    return found


def draws_without_a_seed(ctx):
    return np.random.default_rng().random(ctx.n)


def depends_on_the_hash_seed(ctx):
    return centred(ctx) + np.arange(ctx.n) % 7 * (hash("a string") % 99991) * 1e-12


def draws(ctx):
    return ctx.rng.random(ctx.n)


def depends_on_the_row(ctx):
    return centred(ctx) + np.arange(ctx.n)


def depends_on_the_number_of_the_class(ctx):
    return ctx.labels.astype(np.float64)


def has_duplicates(features):
    return 1 < len(np.unique(features, axis=0)) < len(features)


def fails_for_duplicates(ctx):
    return centred(ctx) / (0 if has_duplicates(ctx.features) else 1)


def fails_for_constant_features(ctx):
    if ctx.n > 4 and np.ptp(ctx.features) == np.ptp(ctx.features[0]):
        raise np.linalg.LinAlgError("singular matrix")
    return centred(ctx)


def fails_for_small_classes(ctx):
    found, counts = centred(ctx), np.bincount(ctx.labels)
    if ctx.n > 6 and (counts > 0).sum() > 1:
        found /= counts[counts > 0].min() - 1
    return found


def draws_and_depends_on_the_row(ctx):
    return centred(ctx)[::-1] + 0.1 * ctx.rng.random(ctx.n)


def fails_for_one_class(ctx):
    if ctx.n > 4 and len(np.unique(ctx.labels)) == 1:
        raise ValueError("needs two classes")
    return centred(ctx)


def fails_for_half_precision(ctx):
    if ctx.features.dtype == np.float16:
        raise TypeError("no float16")
    return centred(ctx)


def fails_for_few_samples(ctx):
    return centred(ctx) + 0 * ctx.features[2, 0]


def crashes_for_nan(ctx):
    if np.isnan(ctx.features).any():
        raise np.linalg.LinAlgError("did not converge")
    return centred(ctx)


def passes_nan_on(ctx):
    return ctx.features.astype(np.float64).sum(axis=1)


def seeds_numpy(ctx):
    np.random.seed(0)  # noqa: NPY002
    return centred(ctx)


def draws_from_python(ctx):
    random.random()
    return centred(ctx)


def writes_beside_its_folder(ctx):
    Path("left.txt").write_text("x", encoding="utf-8")
    return centred(ctx)


def writes_into_an_open_folder(ctx):
    """Name a file within an open folder, which is not the current one."""
    opened = os.open(ctx.workdir.parent, os.O_RDONLY)
    os.mkdir("inner", dir_fd=opened)
    os.rmdir("inner", dir_fd=opened)
    os.close(opened)
    return centred(ctx)


def tidies_its_folder(ctx):
    """Claims to keep every promise: it writes a tree below its work folder, and a link, and removes both."""
    tree = ctx.workdir / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "below" / "plain").write_text("x", encoding="utf-8")
    (tree / "link").symlink_to("below")
    shutil.copyfile(__file__, tree / "copy")
    shutil.rmtree(tree)
    return centred(ctx)


def makes_a_temporary_folder(ctx):
    Path(tempfile.mkdtemp()).rmdir()
    return centred(ctx)


def opens_a_socket(ctx):
    socket.socket(socket.AF_INET).close()
    return centred(ctx)


def asks_for_an_address(ctx):
    try:
        socket.getaddrinfo("localhost", 80)
    except OSError:
        return centred(ctx)
    return centred(ctx)


def forks(ctx):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return centred(ctx)


def leaks(ctx):
    KEPT.append(np.ones(100_000))
    return centred(ctx)


def ignores_the_deadline(ctx):
    time.sleep(1.05 if ctx.n >= 1000 else 0)
    return centred(ctx)


def honours_the_deadline(ctx):
    for _ in range(21 if ctx.n >= 1000 else 0):
        ctx.check_deadline()
        time.sleep(0.05)
    return centred(ctx)
