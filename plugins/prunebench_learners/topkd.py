"""TopKD: the DeepCore recipe with a teacher, whose outputs and whose topology the student is to share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import kl_div, log_softmax, mse_loss

from prunebench import NotApplicable, TrainContext, TrainResult
from prunebench_learners.deepcore import train_with
from prunebench_learners.pixels import draw_epoch, place_pixels, training_batch
from prunebench_learners.recipe import draws_per_epoch, micro_windows, recipe_of
from prunebench_learners.watching import Watched

_IMAGES_AT_ONCE = 1024


def train(ctx: TrainContext) -> TrainResult:
    """Train by cross-entropy + `kd_weight` times distillation + `topology_weight` times topology loss.

    The teacher sees the student's batches, in eval mode; its weights and those of RipsNet stay as they are.  RipsNet
    learns the images of the teacher's clouds of this subset before the student is made.  With both weights 0 it is
    `deepcore`, byte for byte, and with `topology_weight` 0 no RipsNet is trained.  Fails as `deepcore` does, and with
    NotApplicable for networks without a linear classifier, or with penultimate features of two widths.
    Source: Kim et al. 2024, TopKD; Hinton et al. 2015, arXiv:1503.02531.
    """
    if not _number(ctx, "kd_weight") and not _number(ctx, "topology_weight"):
        return train_with(ctx, None)
    lesson = lesson_of(ctx)
    return train_with(lesson.watching(ctx), lesson)


def _number(ctx: TrainContext, name: str) -> float:
    return cast(float, ctx.params[name])


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What a teacher adds to the loss of a batch that its student has just seen."""

    teacher: nn.Module
    watched: Watched
    student: Watched
    kd_weight: float
    topology_weight: float
    temperature: float
    cloud_size: int
    images_of: Any
    amp: bool

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the weighted sum of both losses, for logits float32 [b, classes] of the batch; labels do not count."""
        distilled, topology = self.parts(logits)
        return self.kd_weight * distilled + self.topology_weight * topology

    def watching(self, ctx: TrainContext) -> TrainContext:
        """Return `ctx` with students that the lesson sees learn."""
        return replace(ctx, build=lambda: self.student.attach(ctx.build(), ctx.n_classes))

    def parts(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the two losses without their weights."""
        features, images = self.student.features, self.student.images
        taught = teach(self.teacher, images, self.amp)
        distilled = distillation_loss(logits, taught, self.temperature)
        if self.images_of is None:
            return distilled, distilled.new_zeros(())
        return distilled, topology_loss(self.images_of, features, self.watched.features, self.cloud_size)


def lesson_of(ctx: TrainContext) -> Lesson:
    """Return what the teacher of `ctx` adds to the loss; where the topology counts, RipsNet is trained for it."""
    watched = Watched()
    network: Any = watched.attach(ctx.teacher(), ctx.n_classes).to(ctx.device)
    teacher: nn.Module = network.to(memory_format=torch.channels_last)
    topology_weight = _number(ctx, "topology_weight")
    return Lesson(
        teacher=teacher,
        watched=watched,
        student=Watched(),
        kd_weight=_number(ctx, "kd_weight"),
        topology_weight=topology_weight,
        temperature=_number(ctx, "temperature"),
        cloud_size=int(_number(ctx, "cloud_size")),
        images_of=_learn_images(ctx, teacher, watched) if topology_weight else None,
        amp=bool(ctx.params["amp"]),
    )


@torch.no_grad()
def teach(teacher: nn.Module, images: torch.Tensor, amp: bool) -> torch.Tensor:
    """Return the teacher's logits float32 [b, classes], in mixed precision on CUDA where `amp` says so."""
    mixed = amp and images.is_cuda and torch.cuda.is_bf16_supported()
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=mixed):
        return cast(torch.Tensor, teacher(images)).float()


def distillation_loss(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return T^2 KL(softmax(teacher / T) || softmax(student / T)), mean over the logits [b, classes] of a batch.

    Source: Hinton et al. 2015; the factor T^2 as in the TopKD code (equation 1 of the paper leaves it out).
    """
    learnt, taught = (log_softmax(logits / temperature, dim=1) for logits in (student, teacher))
    return temperature**2 * kl_div(learnt, taught, reduction="batchmean", log_target=True)


def topology_loss(images_of: Any, student: torch.Tensor, teacher: torch.Tensor, cloud_size: int) -> torch.Tensor:
    """Return the mean squared difference of a pixel between the images of the student's and of the teacher's clouds.

    student, teacher: penultimate features [b, d] of one batch, which is cut into near-equal clouds of at most
    `cloud_size` + 1 points.  A batch of one point has no topology: 0.  Raises NotApplicable for features of two widths.
    """
    if student.shape != teacher.shape:
        text = f"the student has {student.shape[1]} penultimate features, and the teacher {teacher.shape[1]}"
        raise NotApplicable(text, "choose a teacher whose classifier reads as many, or topology_weight = 0")
    if len(student) < 2:
        return student.new_zeros((), dtype=torch.float32)
    members = cloud_members(len(student), cloud_size).to(student.device)
    with torch.no_grad():
        target = images_of(teacher.float(), members)
    return mse_loss(images_of(student.float(), members), target)


def cloud_members(n: int, cloud_size: int) -> torch.Tensor:
    """Return which of `n` points are in which cloud, int64 [c, m]; n stands for no point."""
    windows = micro_windows(0, n, cloud_size)
    longest = max(stop - start for start, stop in windows)
    members = torch.full((len(windows), longest), n)
    for row, (start, stop) in zip(members, windows, strict=True):
        row[: stop - start] = torch.arange(start, stop)
    return members


def _learn_images(ctx: TrainContext, teacher: nn.Module, watched: Watched) -> Any:
    """Return a frozen RipsNet for clouds of the teacher; a subset of one image has none."""
    clouds = teacher_clouds(ctx, teacher, watched)
    if clouds.shape[1] < 2:
        return lambda points, members: points.new_zeros((len(members), 1))

    def after_step(fraction: float, text: str) -> None:
        ctx.check_deadline()
        ctx.progress(0.0, text)

    learn = cast(Any, ctx.used)
    return learn(
        clouds,
        homology=0,
        operator=ctx.params["operator"],
        max_epochs=ctx.params["image_epochs"],
        seed=ctx.seed,
        device=ctx.device,
        after_step=after_step,
    )


def teacher_clouds(ctx: TrainContext, teacher: nn.Module, watched: Watched) -> NDArray[np.float32]:
    """Return `clouds` clouds of the teacher's penultimate features of the subset, float32 [c, m, d].

    Each pass draws and augments the subset anew and cuts it into clouds of `cloud_size`, or of all of it where it is
    smaller; what is left of a pass is in none.  Never more than 256 passes, as in the TopKD code.
    """
    recipe, n = recipe_of(ctx), len(ctx.train_labels)
    pixels = place_pixels(ctx, recipe.image_size or ctx.arch.image_size or 0, recipe.padding)
    size = min(int(_number(ctx, "cloud_size")), n)
    a_pass = n // size * size
    wanted = min(int(_number(ctx, "clouds")) * size, 256 * a_pass)
    seeds = np.random.SeedSequence([ctx.seed, 1]).generate_state(2, np.uint64)
    generators = torch.Generator().manual_seed(int(seeds[0])), torch.Generator().manual_seed(int(seeds[1]))
    padding = recipe.padding if recipe.augment == "crop_flip" else None
    found: list[NDArray[np.float32]] = []
    for done in range(0, wanted, a_pass):
        draw = draw_epoch(n, draws_per_epoch(n), padding, generators, torch.device(ctx.device))
        for start in range(0, min(a_pass, wanted - done), _IMAGES_AT_ONCE):
            ctx.check_deadline()
            stop = min(start + _IMAGES_AT_ONCE, a_pass, wanted - done)
            teach(teacher, training_batch(pixels, draw, start, stop)[1], bool(ctx.params["amp"]))
            found.append(watched.features.float().cpu().numpy())
    features = np.concatenate(found)
    return features.reshape(-1, size, features.shape[1])
