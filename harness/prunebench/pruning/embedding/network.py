"""A network of any backbone plugin, opened for pictures, with the digest under which its rows are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunebench.code_version import code_digest
from prunebench.contexts import Arch, PictureContext, PictureNetwork
from prunebench.errors import WeightsMissing
from prunebench.keys import digest
from prunebench.plugins import Entry
from prunebench.specs import BackboneSpec


@dataclass(frozen=True)
class Network:
    """key: 32 hexadecimal digits for all that decides the rows: model, parameters, preprocessing, code, libraries.
    facts: what a manifest states, as JSON: that, and where the weights are from."""

    ready: PictureNetwork
    key: str
    facts: Mapping[str, Any]


def open_network(
    entry: Entry[BackboneSpec], arch: Arch, *, weights: Path | None = None, device: str = "cpu", source: str = ""
) -> Network:
    """Open the network `arch` of a backbone for pictures.  weights: a file; without one those of the hub are taken.
    source: "random" for a network that has learnt nothing.  Raises UsageError for a backbone that takes no pictures,
    WeightsMissing where the weights cannot be had or do not fit."""
    if weights is not None and not weights.is_file():
        raise WeightsMissing(f"weights file {weights} is not there", "check the path that --weights names")
    chosen = source or ("file" if weights is not None else "hub")
    ready: PictureNetwork = entry.load_pictures()(
        PictureContext(arch=arch, source=chosen, weights=weights, device=device)
    )
    code = entry.spec.version or code_digest([entry.spec.pictures])
    decides = {"plugin": entry.spec.name, "code": code, **ready.facts}
    return Network(ready, digest(decides), {**decides, **ready.origin})
