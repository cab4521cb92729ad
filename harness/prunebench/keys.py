"""Identity of everything that is computed: canonical JSON, its digest, and seeds by named axes."""

import hashlib
import json
from typing import Any

# One for all: json.dumps would make another for each value, and a plan has very many.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> str:
    """Return the one JSON text of `value`: sorted keys, no spaces, no NaN.  Raises TypeError for anything that
    JSON does not hold and ValueError for NaN or infinity."""
    return _ENCODER.encode(value)


def digest(value: Any) -> str:
    """Return the blake2b-128 of the canonical JSON of `value` as 32 hexadecimal digits."""
    return hashlib.blake2b(canonical_json(value).encode(), digest_size=16).hexdigest()


def seed_for(stage: str, base_seed: int, **axes: Any) -> int:
    """Return a 32-bit seed that depends on the stage, the base seed and the named axes alone.
    Naming the axes is what makes runs comparable: a training seed that leaves the scorer out gives every method the
    same initial network and the same order of batches."""
    text = canonical_json({"stage": stage, "base_seed": base_seed, "axes": axes})
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")
