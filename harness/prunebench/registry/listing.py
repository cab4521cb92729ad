"""How far a plugin is trusted, by what the registry says of its distribution.

A plugin that ships with prunebench is registered by that and needs no table: it has one where there is more to say of
it, such as a check that it fails for a reason. Of plugins of two kinds with one name, one can have a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from prunebench.plugins import HOST, Entry
from prunebench.registry.model import Listing, Tier


@dataclass(frozen=True)
class Standing:
    """How far a plugin is trusted, and what to say about it; `remark` is empty where there is nothing to say."""

    tier: Tier | Literal["unregistered"]
    remark: str = ""


def standing(listings: Mapping[str, Listing], kind: str, name: str, dist: str, version: str) -> Standing:
    """Return the standing of a plugin from version `version` of the distribution `dist`."""
    listing = listings.get(name)
    if listing is None or (listing.kind, listing.dist) != (kind, dist):
        return Standing("core") if dist == HOST else Standing("unregistered", f"unregistered ({dist} {version})")
    if listing.tier == "quarantine":
        # The board separates remarks by semicolons.
        return Standing("quarantine", f"in quarantine: {listing.reason.replace(';', ',')}")
    # A development version of prunebench is below every range, and its own plugins are of that version.
    if dist != HOST and not listing.covers(version):
        return Standing("unregistered", f"unregistered ({dist} {version} is not in the range {listing.version})")
    return Standing(listing.tier)


def expected_failures(listings: Mapping[str, Listing], entry: Entry[Any]) -> Mapping[str, str]:
    """Return the checks that a plugin may fail, with reasons; none unless the table is about its distribution."""
    listing = listings.get(entry.spec.name)
    if listing is None or (listing.kind, listing.dist) != (entry.spec.kind, entry.origin.distribution):
        return {}
    return listing.expected_failures
