"""How large the parts of TopKD's loss are in a training: `python tests/benchmarks/measure_topkd.py --help`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
import torch
from torch.nn.functional import cross_entropy

from prunebench import Arch, Dataset, TrainContext
from prunebench.plugins import load_plugins
from prunebench.registry import load_registry
from prunebench.stages.data import load_dataset
from prunebench_learners import deepcore, topkd
from prunebench_learners.topkd import Lesson


@dataclass
class Parts:
    """A lesson that remembers its parts: cross-entropy, distillation and topology loss of each batch, unweighted."""

    lesson: Lesson
    seen: list[tuple[float, float, float]] = field(default_factory=list)

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        distilled, topology = self.lesson.parts(logits)
        self.seen.append(
            (float(cross_entropy(logits, labels).detach()), float(distilled.detach()), float(topology.detach()))
        )
        return self.lesson.kd_weight * distilled + self.lesson.topology_weight * topology


def context(data: Dataset, arch: str, rows: np.ndarray, **params: object) -> TrainContext:
    """Return the context of a training on `rows` of the training split."""
    catalogue = load_plugins()
    network = Arch(name=arch, provider="timm", model=arch)
    assert data.train.images is not None
    assert data.test.images is not None
    build, side, channels = catalogue.backbone("timm").load().build, *data.train.images.shape[2:]
    spec = catalogue.learner("topkd").spec
    return TrainContext(
        params=spec.resolve_params(params), threads=1, arch=network, n_classes=data.n_classes, mean=data.mean,
        std=data.std, build=lambda: build(network, data.n_classes, channels, side), keep_weights=True,
        train_images=data.train.images[rows], train_labels=data.train.labels[rows],
        test_images=data.test.images[:2000], test_labels=data.test.labels[:2000],
        used=catalogue.learner("topkd").load("uses"),
    )  # fmt: skip


@click.command()
@click.option("--dataset", default="fashion-mnist", show_default=True)
@click.option("--data", "roots", multiple=True, help="Folder with the data.")
@click.option("--arch", default="deepcore_lenet", show_default=True)
@click.option("--kept", default=6000, show_default=True, help="Samples to train the student on.")
@click.option("--teacher-epochs", default=10, show_default=True)
@click.option("--epochs", default=30, show_default=True)
@click.option("--batch-size", default=256, show_default=True)
@click.option("--clouds", default=2000, show_default=True)
@click.option(
    "--learning-rate", default=0.01, show_default=True, help="Of both; a LeNet does not learn by distillation at .05."
)
def main(
    dataset: str, roots: tuple[str, ...], arch: str, kept: int, teacher_epochs: int, epochs: int, batch_size: int,
    clouds: int, learning_rate: float,
) -> None:  # fmt: skip
    """Train a teacher on the whole set and a student on random samples, and print the parts of the student's loss."""
    entry = load_registry(Path("registry.toml")).datasets[dataset]
    plugin = load_plugins().dataset(entry.spec)
    data = load_dataset(plugin, plugin.spec.resolve_params(entry.params), roots)
    shared = {"learning_rate": learning_rate, "batch_size": batch_size, "clouds": clouds}
    whole = context(data, arch, np.arange(len(data.train)), epochs=teacher_epochs, **shared)
    trained = deepcore.train(whole)
    weights = {name: torch.tensor(array) for name, array in (trained.weights or {}).items()}

    def teacher() -> torch.nn.Module:
        network = whole.build()
        network.load_state_dict(weights)
        return network.eval().requires_grad_(False)

    rows = np.sort(np.random.default_rng(0).choice(len(data.train), kept, replace=False))
    student = context(data, arch, rows, epochs=epochs, **shared)
    lesson = topkd.lesson_of(TrainContext(**{**vars(student), "teacher": teacher}))
    parts = Parts(lesson)
    result = deepcore.train_with(lesson.watching(student), parts)
    click.echo(f"\nteacher {trained.accuracy:.3f}, student {result.accuracy:.3f}; RipsNet: {lesson.images_of.fit}")
    click.echo("updates      CE      KD      Top   2 KD / loss   5 Top / loss")
    of_epoch = np.array(parts.seen).reshape(epochs, -1, 3)
    for title, rows_of in (
        ("first", of_epoch[0, :1]),
        *((f"epoch {e + 1}", of_epoch[e]) for e in (0, epochs // 2, epochs - 1)),
    ):
        ce, kd, top = rows_of.mean(axis=0)
        loss = ce + 2 * kd + 5 * top
        click.echo(f"{title:9} {ce:7.3f} {kd:7.3f} {top:8.5f} {2 * kd / loss:10.1%} {5 * top / loss:13.2%}")


if __name__ == "__main__":
    main()
