"""The results folder to records: cells and agreements, in the order of the files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from prunebench.errors import UsageError
from prunebench.leaderboard.standing import with_standing
from prunebench.records import Record, read_records
from prunebench.registry import Listing


def load_results(
    results: Path, listings: Mapping[str, Listing] = MappingProxyType({})
) -> tuple[list[Record], list[Record]]:
    """Return the cell records and the agreement records of results/<suite>/<dataset>/*.jsonl.

    listings: what the registry says of plugins, laid over the records.

    Raises UsageError for a folder without records, DataError for a line that is no record.
    """
    records = [record for path in sorted(results.glob("*/*/*.jsonl")) for record in read_records(path)]
    if not records:
        raise UsageError(f"{results} holds no records", "run `prunebench run SUITE` first, or name another --results")
    records = with_standing(records, listings)
    cells = [record for record in records if record["kind"] == "cell"]
    return cells, [record for record in records if record["kind"] == "agreement"]
