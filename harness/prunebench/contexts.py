"""What an implementation receives and returns: frozen contexts and the small types that cross the border."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar, cast

from prunebench.errors import CellTimeout, DatasetMissing, PluginContractError
from prunebench.remote import fetched
from prunebench.specs import API, ParamValue

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL.Image import Image

T = TypeVar("T")


def silent(fraction: float, text: str = "") -> None:
    """Discard a report of progress."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """One split of a data set, in its canonical order.
    images: uint8 [n, height, width, channels], or None where a data set is features only.
    features: float32 [n, d], or None.  labels: int64 [n] in 0..n_classes-1.  ids: n stable, unique strings."""

    images: NDArray[np.uint8] | None
    labels: NDArray[np.int64]
    ids: tuple[str, ...]
    features: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Train and test images with labels, ids, class names and channel statistics (fractions of 1)."""

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def n_classes(self) -> int:
        """The number of classes, of samples present or not."""
        return len(self.class_names)


@dataclass(frozen=True, kw_only=True)
class Arch:
    """A network by name: the provider, its model name, and how images enter it.
    image_size: pixels a side, None for the native size of the data (or of the weights, if they have one).
    mean, std: normalisation; empty = that of the weights for pretrained ones, of the data set otherwise.
    dtype: in which CUDA computes features: "float32", "float16", "bfloat16", or "half", which is bfloat16 where the
    device has it and float16 elsewhere; other devices compute in float32.  They are stored as float32."""

    name: str
    provider: str
    model: str
    image_size: int | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    interpolation: str = ""
    dtype: str = "float32"
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores with what a plain array cannot say.
    values: float64 [n], higher = keep first.  excluded: bool [n], samples to take only where a class would
    fall short of its budget.  refill: float64 [n], the order in which excluded samples return, higher first.
    extra: bool [n], samples that are trained on beside those that the selector picks, on top of the budget; the
    caveat must then say how many images that makes.  diagnostics: JSON-able facts to store beside the scores.
    caveat: why these scores should not be trusted, a few words that the board prints beside them; empty where
    there is nothing to say."""

    values: NDArray[np.float64]
    excluded: NDArray[np.bool_] | None = None
    refill: NDArray[np.float64] | None = None
    extra: NDArray[np.bool_] | None = None
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    caveat: str = ""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Chosen indices int64 [m], sorted, and how many of them were filled in because the method fell short."""

    indices: NDArray[np.int64]
    filled: int = 0


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """Penultimate features float32 [n, d] and logits float32 [n, c], with the preprocessing that was used."""

    features: NDArray[np.float32]
    logits: NDArray[np.float32]
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    batch_size_used: int = 0
    oom_retries: int = 0


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a learner reports: fractions, not percent; last epoch first, best beside it.
    accuracy_per_epoch: test accuracy where it was measured.  class_accuracy: test accuracy of each class at the last
    epoch, fractions [n_classes], None for a class without test samples; empty where it was not measured.
    iterations: updates of the weights; 0 for a learner that does not count them.
    weights: name to array, where they were asked for.  dynamics: float16 [epochs, n, classes] class probabilities of
    the training samples as they were seen in training, where they were asked for."""

    accuracy: float
    accuracy_best: float
    loss: float
    epochs: int
    iterations: int = 0
    accuracy_per_epoch: tuple[float, ...] = ()
    class_accuracy: tuple[float | None, ...] = ()
    weights: Mapping[str, NDArray[Any]] | None = None
    dynamics: NDArray[np.float16] | None = None
    batch_size_used: int = 0
    oom_retries: int = 0
    peak_gpu_bytes: int = 0


class Backbone(Protocol):
    """What the `load` of a BackboneSpec points to."""

    def build(self, arch: Arch, n_classes: int, channels: int, image_size: int) -> torch.nn.Module:
        """Return an untrained network with a classifier of `n_classes`; uses the global torch generator."""

    def embed(self, ctx: EmbedContext) -> Embedding:
        """Return penultimate features and logits of `ctx.images`, in eval mode."""

    def outputs(self, arch: Arch, source: str, weights: Path | None) -> int | None:
        """Return how many classes given weights predict, None for a head made here; WeightsMissing if unknown."""


class PictureNetwork(Protocol):
    """A network that is ready for pictures of any size: what the `pictures` of a BackboneSpec makes.  Its methods are
    called by several threads at once, each of which computes with one thread of its own.
    batch_size: how many pictures `run` takes, always.  It does not change with the data: the rows of a picture are then
    the same beside any others.  facts: JSON of all that decides the rows, such as the model, a digest of its
    parameters, the preprocessing, and versions of libraries; rows of equal facts are stored as one.  origin: JSON of
    where the weights come from, which decides nothing: the name of the file and its SHA-256."""

    batch_size: int
    facts: Mapping[str, Any]
    origin: Mapping[str, Any]

    def prepare(self, picture: Image) -> NDArray[np.uint8]:
        """Return what the network sees of a picture (RGB, upright, any size): [height, width, channels], always of one
        shape.  Raises ValueError where nothing can be seen of it."""

    def run(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return features [batch_size, d] and the logits [batch_size, c] of the network's own head, None without one,
        for prepared pictures uint8 [batch_size, height, width, channels]."""


@dataclass(frozen=True, kw_only=True)
class _Context:
    """Shared by all contexts: parameters, seed, device, the only writable folder, and the deadline.
    params: all parameters of the spec, defaults filled in.  device: "cpu", "cuda" or "mps".  threads: how many
    to compute with.  deadline: seconds since the epoch, or None.  progress: report a fraction and a text.
    api: the number of the plugin API of this harness."""

    params: Mapping[str, ParamValue] = field(default_factory=dict)
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    workdir: Path = field(default_factory=Path)
    deadline: float | None = None
    progress: Callable[[float, str], None] = silent
    api: int = API

    @cached_property
    def rng(self) -> np.random.Generator:
        """The seeded NumPy generator of this piece of work."""
        import numpy as np

        return np.random.default_rng(self.seed)

    def torch_generator(self, device: str = "cpu") -> torch.Generator:
        """Return a fresh torch generator with this seed."""
        import torch

        return torch.Generator(device=device).manual_seed(self.seed)

    def check_deadline(self) -> None:
        """Raise CellTimeout when the deadline (seconds since the epoch) has passed."""
        if self.deadline is not None and time.time() > self.deadline:
            raise CellTimeout("the time limit of the cell has passed", "raise it with --timeout SECONDS")


@dataclass(frozen=True, kw_only=True)
class DataContext(_Context):
    """For a data set: the folders in which to look for files, most specific first."""

    roots: tuple[Path, ...] = ()
    obtain: str = ""

    def find(self, *candidates: str) -> Path:
        """Return the first existing path among `candidates`: below the roots in their order, then the absolute ones.
        Raises DatasetMissing with where it looked and how to obtain the files."""
        relative = [(root, name) for root in self.roots for name in candidates if not Path(name).is_absolute()]
        for root, name in (*relative, *((Path(), name) for name in candidates if Path(name).is_absolute())):
            if (root / name).exists() or fetched(root, name):
                return root / name
        looked = ", ".join(str(root) for root in self.roots) or "no data root is set"
        hint = self.obtain or "set PRUNEBENCH_DATA or --data to the folder that holds it"
        raise DatasetMissing(f"not found: {' or '.join(candidates)} (looked in: {looked})", hint)


@dataclass(frozen=True, kw_only=True)
class EmbedContext(_Context):
    """For a backbone: images uint8 [n, h, w, c], the network, and its weights.
    weights: a safetensors or torch file (trained here or given), or None to use the hub's.
    source: "hub", "file", "trained" or "random".  mean, std: the channel statistics of the data set."""

    images: NDArray[np.uint8]
    n_classes: int
    arch: Arch
    source: str
    weights: Path | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    batch_size: int = 256


@dataclass(frozen=True, kw_only=True)
class PictureContext(_Context):
    """For the `pictures` of a backbone: the network and its weights.
    source: "hub", "file" or "random" (by the seed).  weights: the file, a safetensors or a torch one, where source is
    "file"; the order of the classes in its head is unknown."""

    arch: Arch
    source: str
    weights: Path | None = None


@dataclass(frozen=True, kw_only=True)
class ProjectContext(_Context):
    """For a projector: features float32 [n, d], read-only."""

    features: NDArray[np.float32]


class _Evidence(Generic[T]):
    """Evidence of a ScoreContext; read it on a context whose scorer declared it, PluginContractError otherwise."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, ctx: ScoreContext | None, owner: type) -> T:
        if ctx is not None and self._name not in ctx.evidence:
            text = f"scorer {ctx.scorer!r} read {self._name!r}, which it did not declare"
            raise PluginContractError(text, f"add {self._name!r} to `needs` in its ScorerSpec")
        return cast(T, self if ctx is None else ctx.evidence[self._name])  # of the class: its documentation


@dataclass(frozen=True, kw_only=True)
class ScoreContext(_Context):
    """For a scorer: the evidence that it declared, and nothing else.
    n_keep: the budget; readable by budget-dependent scorers alone.  n, n_classes: always readable."""

    n: int
    n_classes: int
    scorer: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    budget: int | None = None

    features: ClassVar[_Evidence[NDArray[np.float32]]] = _Evidence("Penultimate features float32 [n, d].")
    logits: ClassVar[_Evidence[NDArray[np.float32]]] = _Evidence("Logits float32 [n, n_classes] of the backbone.")
    labels: ClassVar[_Evidence[NDArray[np.int64]]] = _Evidence("Labels int64 [n] in 0..n_classes-1.")
    projection: ClassVar[_Evidence[NDArray[np.float32]]] = _Evidence("Projected features float32 [n, k].")
    pseudo_labels: ClassVar[_Evidence[NDArray[np.int64]]] = _Evidence("As its labeller made them: int64 [n], from 0.")
    dynamics: ClassVar[_Evidence[NDArray[np.float16]]] = _Evidence(
        "Class probabilities float16 [epochs, n, classes] of one recorded training run.  "
        "The run learnt the pseudo-labels where the scorer has a labeller, and the labels otherwise."
    )
    gradients: ClassVar[_Evidence[tuple[NDArray[np.float32], NDArray[np.float32]]]] = _Evidence(
        "Last-layer gradients in factored form: (p - y) float32 [n, n_classes] and z float32 [n, d]."
    )
    pixels: ClassVar[_Evidence[NDArray[np.uint8]]] = _Evidence("Images uint8 [n, height, width, channels].")

    @property
    def n_keep(self) -> int:
        """The budget, in samples; raises PluginContractError unless the spec says budget_dependent."""
        if self.budget is None:
            text = f"scorer {self.scorer!r} read the budget, which it did not declare"
            raise PluginContractError(text, "set budget_dependent=True in its ScorerSpec")
        return self.budget


@dataclass(frozen=True, kw_only=True)
class SelectContext(_Context):
    """For a selector.
    scores: float64 [n].  labels: int64 [n].  n_keep: the exact budget.  order: int64 [n], best first, ties
    already broken, excluded samples last.  eligible: bool [n], False for samples that the scorer excluded."""

    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    n_classes: int
    n_keep: int
    order: NDArray[np.int64]
    eligible: NDArray[np.bool_]


def undeclared_teacher(learner: str = "a learner") -> Any:
    """Raise PluginContractError: a learner asked for a teacher that it did not declare."""
    text = f"{learner} asked for a teacher, which it did not declare"
    raise PluginContractError(text, "add 'teacher' to `needs` in its LearnerSpec")


@dataclass(frozen=True, kw_only=True)
class TrainContext(_Context):
    """For a learner: the subset, the test set, and a way to build the network.
    train_images: uint8 [m, h, w, c] of the kept samples.  train_features: float32 [m, d] and test_features:
    frozen features of the arch, for learners that declared them.  build: returns a fresh network, to be
    called under the learner's seed.  keep_weights, record_dynamics: what to return beside the accuracy.
    teacher: returns a copy of the network that teaches, for learners that declared it: trained on the whole training
    set, in eval mode, without gradients of its own.  It takes what the student takes: float32 [b, c, h, w], images over
    255, normalised by `mean` and `std`.  used: what `uses` of the LearnerSpec names, None where it names nothing."""

    train_images: NDArray[np.uint8] | None
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8] | None
    test_labels: NDArray[np.int64]
    n_classes: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    arch: Arch
    build: Callable[[], torch.nn.Module]
    train_features: NDArray[np.float32] | None = None
    test_features: NDArray[np.float32] | None = None
    teacher: Callable[[], torch.nn.Module] = undeclared_teacher
    used: Any = None
    keep_weights: bool = False
    record_dynamics: bool = False
