"""Identity of everything that is computed: canonical JSON, its digest, and seeds by named axes."""

import hashlib
import json
import math
from numbers import Integral, Real
from typing import Any

# One for all: json.dumps would make another for each value, and a plan has very many.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> str:
    """Return the one JSON text of `value`: sorted keys, no spaces, no NaN.  Raises TypeError for anything that
    JSON does not hold and ValueError for NaN or infinity."""
    return _ENCODER.encode(value)


def digest(value: Any) -> str:
    """Return the blake2b-128 of the canonical JSON of `value` as 32 hexadecimal digits."""
    return hashlib.blake2b(canonical_json(value).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def seed_for(stage: str, base_seed: int, **axes: Any) -> int:
    """Return a 32-bit seed that depends on the stage, the base seed and the named axes alone.
    Naming the axes is what makes runs comparable: a training seed that leaves the scorer out gives every method the
    same initial network and the same order of batches."""
    text = canonical_json({"stage": stage, "base_seed": base_seed, "axes": axes})
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")


def jsonable(value: Any, where: str) -> Any:
    """Return a diagnostic as plain JSON values: numpy scalars become numbers, NaN and infinity None, and what
    is no Unicode is escaped.  Raises TypeError that names `where` for what JSON does not hold, such as an array."""
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, Real) and not isinstance(value, Integral):  # a long double is its own item
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [jsonable(item, where) for item in value]
    if isinstance(value, dict):
        return {jsonable(str(name), where): jsonable(item, where) for name, item in value.items()}
    raise TypeError(f"{where} holds an object of type {type(value).__name__}")
