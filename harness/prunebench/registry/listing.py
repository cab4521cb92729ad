"""What the registry says of a plugin: which versions are meant, how far it is trusted, what it may fail.

A plugin that ships with prunebench is registered by that and needs no table: it has one where there is more to say of
it, such as a check that it fails for a reason. Of plugins of two kinds with one name, one can have a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from prunebench.plugins import HOST, Entry, Origin
from prunebench.registry.tables import PLUGIN

if TYPE_CHECKING:
    from prunebench.registry.toml_table import Table

Tier = Literal["core", "contrib", "quarantine", "unregistered"]

ISOLATED = ("scorer", "projector")  # stages that one plugin computes alone


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One table [plugin.NAME]; version is a PEP 440 range of the distribution `dist`.

    environment: PEP 508 requirements of an environment of its own, empty to run beside the others.
    """

    name: str
    kind: str
    dist: str
    version: str
    tier: Tier
    maintainer: str
    added: date
    paper: str = ""
    reason: str = ""
    environment: tuple[str, ...] = ()
    expected_failures: Mapping[str, str] = field(default_factory=dict)

    def covers(self, version: str) -> bool:
        """Return whether a version of the distribution is in the range; one that is no version is not."""
        from packaging.specifiers import SpecifierSet
        from packaging.version import InvalidVersion

        try:
            return SpecifierSet(self.version).contains(version, prereleases=True)
        except InvalidVersion:
            return False

    def is_met_by(self, origin: Origin) -> bool:
        """Return whether an installed plugin is of the distribution and in the range."""
        return origin.distribution == self.dist and self.covers(origin.version)


@dataclass(frozen=True)
class Standing:
    """How far a plugin is trusted, and what to say about it; `remark` is empty where there is nothing to say."""

    tier: Tier
    remark: str = ""


def read_listing(name: str, table: Table) -> Listing:
    """Return the table of a plugin; raises RegistryError, also for a range that is none."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    values = table.read(PLUGIN)
    try:
        SpecifierSet(values["version"])
    except InvalidSpecifier:
        table.fail("version", f"{values['version']!r} is no version range", PLUGIN.keys["version"].doc)
    _check_environment(table, values["kind"], values["environment"])
    return Listing(**{**values, "name": name, "environment": tuple(values["environment"])})


def _check_environment(table: Table, kind: str, requirements: Sequence[str]) -> None:
    if not requirements:
        return
    from packaging.requirements import InvalidRequirement, Requirement

    if kind not in ISOLATED:
        table.fail("environment", f"a {kind} runs beside others", f"only a {' or '.join(ISOLATED)} can have its own")
    for text in requirements:
        try:
            Requirement(text)
        except InvalidRequirement as error:
            table.fail("environment", f"{text!r} is no requirement: {error}", PLUGIN.keys["environment"].doc)


def standing(listings: Mapping[str, Listing], kind: str, name: str, dist: str, version: str) -> Standing:
    """Return the standing of a plugin from version `version` of the distribution `dist`."""
    listing = listings.get(name)
    if listing is None or (listing.kind, listing.dist) != (kind, dist):
        return Standing("core") if dist == HOST else Standing("unregistered", f"unregistered ({dist} {version})")
    if listing.tier == "quarantine":
        # Semicolons part the remarks on the board.
        return Standing("quarantine", f"in quarantine: {listing.reason.replace(';', ',')}")
    # A development version of prunebench is below every range, and is what its own plugins are of.
    if dist != HOST and not listing.covers(version):
        return Standing("unregistered", f"unregistered ({dist} {version} is not in the range {listing.version})")
    return Standing(listing.tier)


def expected_failures(listings: Mapping[str, Listing], entry: Entry[Any]) -> Mapping[str, str]:
    """Return the checks that a plugin may fail, with reasons; none unless the table is about its distribution."""
    listing = listings.get(entry.spec.name)
    if listing is None or (listing.kind, listing.dist) != (entry.spec.kind, entry.origin.distribution):
        return {}
    return listing.expected_failures
