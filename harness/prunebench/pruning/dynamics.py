"""Training dynamics of a linear head on frozen features, for methods that watch a network learn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import silent
from prunebench.errors import DataError

EPOCHS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 20, 256, 0.01, 1e-4
MAX_BYTES = 8 << 30  # of the recording


def recorded_dynamics(
    features: NDArray[np.float32], labels: NDArray[np.int64], n_classes: int, *, seed: int = 0, epochs: int = EPOCHS,
    progress: Callable[[float, str], None] = silent,
) -> NDArray[np.float16]:  # fmt: skip
    """Return the class probabilities float16 [epochs, n, n_classes] after each epoch of a softmax head.

    features: float32 [n, d], standardised here.  labels: int64 [n].  The head is trained by AdamW from zero, in batches
    that the seed shuffles, with a learning rate that falls along a cosine.  Raises DataError where the recording would
    be larger than 8 GiB."""
    import torch
    from torch.nn import functional

    n, d = features.shape
    if (size := 2 * epochs * n * n_classes) > MAX_BYTES:
        text = f"training dynamics of {n:,} samples and {n_classes} classes would fill {size / 2**30:.0f} GiB"
        raise DataError(text, "choose a method that reads features")
    mean, std = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    scale = np.where(std > 0, std, 1.0)
    x = torch.from_numpy(((features - mean) / scale).astype(np.float32))
    y = torch.tensor(labels)  # a copy: labels may be read-only
    weight = torch.zeros(n_classes, d, requires_grad=True)
    bias = torch.zeros(n_classes, requires_grad=True)
    optimiser = torch.optim.AdamW([weight, bias], LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    generator = torch.Generator().manual_seed(seed)
    recorded = np.empty((epochs, n, n_classes), dtype=np.float16)
    for epoch in range(epochs):
        for rows in torch.split(torch.randperm(n, generator=generator), BATCH):
            optimiser.zero_grad()
            loss = functional.cross_entropy(functional.linear(x[rows], weight, bias), y[rows])
            torch.autograd.backward(loss)
            optimiser.step()
        schedule.step()
        with torch.inference_mode():
            for start in range(0, n, 1 << 14):
                part = slice(start, start + (1 << 14))
                recorded[epoch, part] = functional.linear(x[part], weight, bias).softmax(1).numpy()
        progress((epoch + 1) / epochs, f"training a head, epoch {epoch + 1} of {epochs}")
    return recorded
