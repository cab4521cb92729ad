"""Features of one split, part by part: what is done is on disk, and is not computed again after an interruption."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import EmbedContext, Embedding
from prunebench.keys import digest
from prunebench.plugins import Entry
from prunebench.stages.bench import broken_promise, check_array, guarded
from prunebench.store import Artefact, Store

_FIRST_BATCHES = 32  # of the first part: whoever reads weights again for each part does so seldom
_PART_SECONDS = 15.0  # a part that took less is followed by one of twice its size
Arrays = Mapping[str, NDArray[Any]]


def embed_in_parts(
    store: Store, key: str, name: str, entry: Entry[Any], context: EmbedContext, first: int = _FIRST_BATCHES
) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
    """Return the features float32 [n, d] and logits float32 [n, c] of a split, and facts of how they were computed.

    key: that of the task, `name` that of the split; what is done is kept under both until the caller calls
    `Store.discard_parts`.  first: how many batches the first part has.  Parts are whole numbers of batches, so that
    features are the same bytes with one part and with many.  Raises what the backbone raises, and PluginContractError
    for arrays that are not as promised."""
    parts, begin, size, n = list[Artefact](), 0, first * context.batch_size, len(context.images)
    batch_size, is_short = context.batch_size, n <= size
    while begin < n:
        stage, part_key = f"parts/{key}", digest([key, name, begin])
        if (part := None if is_short else store.read(stage, part_key)) is None:
            started, end = time.monotonic(), min(begin + size, n)
            arrays, facts = _embedded(entry, _part(context, begin, end, batch_size))
            facts = {**facts, "end": end}
            if is_short:
                return arrays, _summary([facts])
            store.publish(stage, part_key, arrays, facts)
            part = store.read(stage, part_key)
            assert part is not None, "it was published just now"
            size *= 2 if time.monotonic() - started < _PART_SECONDS else 1
        parts.append(part)
        begin, batch_size = part.meta["end"], part.meta["batch_size_used"] or batch_size
    arrays = {title: np.concatenate([part.arrays[title] for part in parts]) for title in ("features", "logits")}
    return arrays, _summary([part.meta for part in parts])


def _part(context: EmbedContext, begin: int, end: int, batch_size: int) -> EmbedContext:
    """Return the context of some of the images; progress is told for all of them."""
    n, tell = len(context.images), context.progress

    def progress(fraction: float, text: str = "") -> None:
        tell((begin + fraction * (end - begin)) / n, text)

    told: Callable[[float, str], None] = progress
    return replace(context, images=context.images[begin:end], batch_size=batch_size, progress=told)


def _embedded(entry: Entry[Any], context: EmbedContext) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
    with guarded(entry, context) as backbone:
        found = backbone.embed(context)
        if not isinstance(found, Embedding):
            raise broken_promise(entry, "a prunebench.Embedding", type(found).__name__)
        check_array(entry, "features", found.features, np.float32, len(context.images), "d")
        check_array(entry, "logits", found.logits, np.float32, len(context.images), "c")
    facts = {
        "preprocessing": dict(found.preprocessing), "batch_size_used": found.batch_size_used,
        "oom_retries": found.oom_retries,
    }  # fmt: skip
    return {"features": found.features, "logits": found.logits}, facts


def _summary(parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the facts of all parts: the preprocessing of the last, the smallest batch, all retries."""
    counted = [part["preprocessing"].get("rows_in_float32", 0) for part in parts]
    preprocessing = dict(parts[-1]["preprocessing"]) | ({"rows_in_float32": sum(counted)} if any(counted) else {})
    return {
        "preprocessing": preprocessing, "batch_size_used": min(part["batch_size_used"] for part in parts),
        "oom_retries": sum(part["oom_retries"] for part in parts),
    }  # fmt: skip
