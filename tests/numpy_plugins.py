"""A data set, a network and a learner of numpy alone, for tests that are about neither: processes that import no torch,
no scikit-learn and no pandas start in a fraction of the time.

`Sandbox.register` installs this file as a distribution of its own, in the folder of the test."""

from __future__ import annotations

from prunebench import BackboneSpec, Dataset, DatasetSpec, Embedding, LearnerSpec, Split, TrainResult, hookimpl


@hookimpl
def prunebench_datasets():
    return [DatasetSpec(name="numpy-digits", summary="Ten noisy pictures.", load="numpy_plugins:load", n_classes=10)]


@hookimpl
def prunebench_backbones():
    fields = {"load": "numpy_plugins:NETWORK", "pictures": "numpy_plugins:Pictures"}
    return [BackboneSpec(name="numpy", summary="Random features of pixels.", **fields)]


@hookimpl
def prunebench_learners():
    about = {"summary": "The nearest mean of a class.", "stochastic": False, "needs": frozenset({"features"})}
    return [LearnerSpec(name="nearest-mean", load="numpy_plugins:train", **about)]


def load(ctx):
    """As many pictures as scikit-learn's digits, of the same size."""
    import numpy as np

    drawn = np.random.default_rng(0)
    means = drawn.uniform(0, 255, size=(10, 8, 8, 1))

    def split(name, n):
        labels = np.arange(n) % 10
        images = np.clip(means[labels] + drawn.normal(scale=200, size=(n, 8, 8, 1)), 0, 255).astype(np.uint8)
        return Split(images=images, labels=labels, ids=tuple(f"{name}/{number}" for number in range(n)))

    names = tuple(map(str, range(10)))
    return Dataset(name="numpy-digits", train=split("train", 1438), test=split("test", 359), class_names=names)


class RandomFeatures:
    """The positive part of a seeded random projection of the pixels, and a seeded linear classifier."""

    def embed(self, ctx):
        import numpy as np

        pixels = ctx.images.reshape(len(ctx.images), -1) / np.float32(255)
        drawn = np.random.default_rng(ctx.seed)
        features = np.maximum(pixels @ drawn.normal(size=(pixels.shape[1], 32)), 0)
        logits = features @ drawn.normal(size=(32, ctx.n_classes)) / 8
        return Embedding(features=features.astype(np.float32), logits=logits.astype(np.float32))

    def outputs(self, arch, source, weights):
        return None


class Pictures:
    """The network for pictures of any size; it knows one model."""

    batch_size, origin = 8, {}

    def __init__(self, ctx):
        if ctx.arch.model != "random-features":
            raise ValueError(f"there is no model {ctx.arch.model}")
        self.facts = {"model": ctx.arch.model, "seed": ctx.seed}

    def prepare(self, picture):
        import numpy as np

        return np.asarray(picture.resize((8, 8)))

    def run(self, batch):
        import numpy as np

        drawn = np.random.default_rng(self.facts["seed"]).normal(size=(batch[0].size, 16))
        return (batch.reshape(len(batch), -1) @ drawn).astype(np.float32), None


def train(ctx):
    import numpy as np

    x, classes = ctx.train_features, np.unique(ctx.train_labels)
    means = np.stack([x[ctx.train_labels == one].mean(axis=0) for one in classes])
    far = np.square(ctx.test_features[:, None] - means).sum(axis=2)
    right = classes[far.argmin(axis=1)] == ctx.test_labels
    by_class = [float(right[ctx.test_labels == one].mean()) for one in range(ctx.n_classes)]
    accuracy = float(right.mean())
    return TrainResult(
        accuracy=accuracy, accuracy_best=accuracy, loss=float(far.min(axis=1).mean()), epochs=1,
        accuracy_per_epoch=(accuracy,), class_accuracy=tuple(by_class),
        weights={"means": means} if ctx.keep_weights else None,
    )  # fmt: skip


NETWORK = RandomFeatures()
