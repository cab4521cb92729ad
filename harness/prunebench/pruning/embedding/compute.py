"""Pictures through a network in threads: each decodes and computes a batch of its own, and little waits in between."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import PictureNetwork
from prunebench.errors import PluginContractError
from prunebench.pruning.source import Pictures

T = TypeVar("T")
R = TypeVar("R")
UNREADABLE = (ValueError, OSError, SyntaxError)  # what Pictures promises, and what PIL raises for damaged files


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The rows of the pictures at `positions`, and the reason for each position that has none.  notes: what the decoder
    noted of pictures, by position."""

    positions: tuple[int, ...]
    features: NDArray[np.float32]
    logits: NDArray[np.float32] | None
    skipped: Mapping[int, str]
    notes: Mapping[int, Sequence[str]] = field(default_factory=dict)


def in_order(work: Callable[[T], R], parts: Iterable[T], workers: int) -> Generator[R]:
    """Yield what `work` makes of each part, in order, by as many threads; at most two parts a thread are under way."""
    waiting: deque[Future[R]] = deque()
    remaining = iter(parts)
    with ThreadPoolExecutor(workers, thread_name_prefix="pictures") as pool:
        try:
            waiting.extend(pool.submit(work, part) for part in itertools.islice(remaining, 2 * workers))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(work, part) for part in itertools.islice(remaining, 1))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def batches(pictures: Pictures, positions: Sequence[int], network: PictureNetwork, workers: int) -> Generator[Batch]:
    """Yield the rows of the pictures at some positions, in order; those that cannot be read have a reason instead."""
    size = network.batch_size
    parts = [tuple(positions[begin : begin + size]) for begin in range(0, len(positions), size)]
    with _alone_and_exact():
        yield from in_order(lambda part: _batch(pictures, part, network), parts, workers)


def _batch(pictures: Pictures, positions: Sequence[int], network: PictureNetwork) -> Batch:
    from PIL.Image import DecompressionBombError

    prepared, skipped, notes = dict[int, NDArray[np.uint8]](), dict[int, str](), dict[int, Sequence[str]]()
    for position in positions:
        try:
            picture = pictures.picture(position)
            prepared[position], notes[position] = network.prepare(picture), picture.info.get("notes", ())
        except (*UNREADABLE, DecompressionBombError) as error:
            skipped[position] = reason(error)
    if not prepared:
        return Batch(positions=(), features=np.zeros((0, 0), np.float32), logits=None, skipped=skipped)
    # Always a full batch, so that the kernels, and with them the last bits, are those of every other batch.
    images = np.zeros((network.batch_size, *next(iter(prepared.values())).shape), np.uint8)
    for row, image in enumerate(prepared.values()):
        images[row] = image
    features, logits = (_checked(array, network.batch_size) for array in network.run(images))
    if features is None:
        raise PluginContractError("a network for pictures returned no features", "see prunebench.PictureNetwork")
    rows = [row for row in range(len(prepared)) if np.isfinite(features[row]).all()]
    found = [position for row, position in enumerate(prepared) if row in rows]
    skipped |= dict.fromkeys({*prepared} - {*found}, "not-finite: the network gives features that are not finite")
    return Batch(
        positions=tuple(found), features=features[rows], logits=None if logits is None else logits[rows],
        skipped=skipped, notes={position: notes[position] for position in found if notes[position]},
    )  # fmt: skip


def reason(error: BaseException) -> str:
    """Return what is wrong with a picture in one line, "code: words", with a code as `Unreadable` has it."""
    return f"{getattr(error, 'code', 'unreadable')}: {' '.join(str(error).split()) or type(error).__name__}"


def _checked(array: Any, n: int) -> NDArray[np.float32] | None:
    if array is None or (getattr(array, "dtype", None) == np.float32 and array.ndim == 2 and len(array) == n):
        return array  # type: ignore[no-any-return]
    came = f"{getattr(array, 'dtype', type(array).__name__)} {list(np.shape(array))}"
    text = f"a network for pictures returned {came} for a batch of {n}, expected float32 [{n}, d]"
    raise PluginContractError(text, "see prunebench.PictureNetwork")


@contextlib.contextmanager
def _alone_and_exact() -> Iterator[None]:
    """Let each thread compute alone: threads that share one operation wait for each other, more so on a busy machine,
    and the last bits would depend on their number.  And let CUDA multiply float32 as such, not rounded to TF32."""
    torch: Any = sys.modules.get("torch")  # a network that computes with it has imported it
    if torch is None:
        yield
        return
    threads, is_rounded = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.allow_tf32 = is_rounded
