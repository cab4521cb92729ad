"""One batch through a model: in float32 as such, or in half precision where nothing overflows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunebench import Arch, DataError

from .networks import penultimate

# What torch says for a device, for main memory, and what its libraries say.
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "_status_alloc_failed")
HALF = {"float16": torch.float16, "bfloat16": torch.bfloat16}
DTYPES = ("float32", "half", *HALF)


def precision(arch: Arch, device: str) -> str:
    """Return the type in which a device computes features: half precision is for CUDA, others compute in float32.

    "half" is bfloat16 where the device computes in it, and float16 elsewhere.  Raises DataError for a type that is
    unknown, and for bfloat16 on a GPU without it.
    """
    if arch.dtype not in DTYPES:
        raise DataError(f"network {arch.name!r}: dtype = {arch.dtype!r}", f"expected {' or '.join(DTYPES)}")
    if not device.startswith("cuda") or arch.dtype in ("float32", "float16"):
        return arch.dtype if device.startswith("cuda") else "float32"
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bfloat16"
    if arch.dtype == "bfloat16":
        raise DataError(f"network {arch.name!r}: this GPU does not compute in bfloat16", 'write dtype = "half"')
    return "float16"


def memory_ran_out(error: BaseException) -> bool:
    """Tell whether a smaller batch can help: not after an "illegal" access, which ruins the device."""
    text = str(error).lower()
    return "illegal" not in text and (isinstance(error, MemoryError) or any(one in text for one in OUT_OF_MEMORY))


def run(model: nn.Module, x: Tensor, dtype: str) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
    """Return features float32 [n, d], logits float32 [n, c], and how many rows were repeated in float32.

    x: float32 [n, channels, h, w] on the device of the model.  A row that is not finite in half precision (float16 ends
    at 65,504) is that of the batch in float32, so that no row depends on those beside it.
    """
    with _exact(x.device.type):
        if dtype == "float32":
            features, logits = penultimate(model, x)
            return features.float().cpu().numpy(), logits.float().cpu().numpy(), 0
        with torch.autocast(x.device.type, dtype=HALF[dtype]):
            features, logits = (array.float() for array in penultimate(model, x))
        lost = ~(features.isfinite().all(dim=1) & logits.isfinite().all(dim=1))
        if lost.any():
            for array, exact in zip((features, logits), penultimate(model, x), strict=True):
                array[lost] = exact[lost].float()
        return features.cpu().numpy(), logits.cpu().numpy(), int(lost.sum())


@contextlib.contextmanager
def _exact(device: str) -> Iterator[None]:
    """Let CUDA multiply float32 as such inside the block, not rounded to TF32."""
    if device != "cuda":
        yield
        return
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
