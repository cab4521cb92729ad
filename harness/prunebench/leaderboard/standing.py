"""What the registry says of a method, laid over its records: who is not registered, and who is in quarantine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prunebench.records import Record
from prunebench.registry import Listing, standing


def with_standing(records: Iterable[Record], listings: Mapping[str, Listing]) -> list[Record]:
    """Return the records, the remark on their scorer added to the caveat, those in quarantine marked so.

    The registry decides when the board is written, not when a record was: a method can enter and leave quarantine
    without being run again.
    """
    return [_marked(record, listings) for record in records]


def _marked(record: Record, listings: Mapping[str, Listing]) -> Record:
    scorer = str(record.get("scorer") or record["method"])
    dist, _, version = str(record.get("scorer_dist") or "").rpartition(" ")
    if not dist:
        # Agreement records of old do not say where their scorer comes from: take the word of the table.
        listing = listings.get(scorer)
        if listing is None or listing.tier != "quarantine":
            return record
        dist, version = listing.dist, ""
    found = standing(listings, "scorer", scorer, dist, version)
    if not found.remark:
        return record
    caveat = "; ".join(part for part in (record.get("caveat"), found.remark) if part)
    return {**record, "caveat": caveat, "quarantined": found.tier == "quarantine"}
