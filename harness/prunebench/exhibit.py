"""Exhibits: a sample of a data set as pictures and points, and what every method of a suite thinks of it."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from prunebench.errors import DataError
from prunebench.guard import read_plain
from prunebench.records import Count, Digest, Name, OptionalDigest, Positive, Text, is_kept_fraction

FILE = "exhibit.json"
MAX_BYTES = 1_500_000
SHARED = frozenset(
    {"MIT", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "CC0-1.0", "CC-BY-4.0"}
)  # who may show pictures
Permille = Annotated[int, Meta(ge=0, le=1000)]
Flags = Annotated[str, Meta(pattern="^[01]*$")]
Picture = Annotated[str, Meta(pattern=r"^(data:image/png;base64,[A-Za-z0-9+/]+={0,2})?$")]


class Opinion(Struct, frozen=True, forbid_unknown_fields=True):
    """What one method thinks of the data, at the exhibit's seed.
    better: of each sample on the map, how many of a thousand samples of its class have a better score.  kept: by
    fraction to keep, a 1 for each sample on the map that is kept, else a 0.  low, high: of the finite scores; counts:
    how many scores lie in each of as many equal steps between them; kept_counts: those of them that are kept.
    best, worst: of each class, tiles of the samples with the highest scores, and with the lowest."""

    method: Name
    projector: Name
    score_backbone: Name
    scores_key: Digest
    better: list[Permille]
    kept: dict[str, Flags]
    low: float
    high: float
    counts: list[Count]
    kept_counts: dict[str, list[Count]]
    best: list[list[Count]]
    worst: list[list[Count]]


class Exhibit(Struct, frozen=True, forbid_unknown_fields=True):
    """One file.  The tiles 0 to len(x) - 1 are the samples on the map, others are among the best or worst of a
    method.  n: training samples; n_mapped: those that have a place in the projection.  x, y: per mille of the map.
    labels, ids: of each tile.  sheet: the tiles, `columns` in a row, each `tile` (width and height) in pixels; empty
    where the licence does not let us show them."""

    schema: Literal[1]
    suite: Name
    dataset: Name
    protocol: Name
    dataset_fingerprint: Digest
    licence: Text
    seed: Count
    n: Positive
    n_mapped: Positive
    backbone: Name
    projector: Name
    features_key: OptionalDigest
    projection_key: OptionalDigest
    classes: list[Text]
    x: list[Permille]
    y: list[Permille]
    labels: list[Count]
    ids: list[Text]
    sheet: Picture
    columns: Count
    tile: tuple[Count, Count]
    opinions: list[Opinion]

    def __post_init__(self) -> None:
        if self.sheet and self.licence not in SHARED:
            raise ValueError(
                f"has pictures, and the licence {self.licence!r} is not one of {', '.join(sorted(SHARED))}"
            )
        shown, tiles = len(self.x), len(self.ids)
        if not shown == len(self.y) <= tiles == len(self.labels) or max(self.labels, default=0) >= len(self.classes):
            raise ValueError("x, y, labels, ids and classes do not fit each other")
        for one in self.opinions:
            named = [tile for side in (one.best, one.worst) for row in side for tile in row]
            lengths = {len(one.better), *map(len, one.kept.values())}
            classes = {len(one.best), len(one.worst)} - {len(self.classes)}
            bins = {len(counts) for counts in one.kept_counts.values()} - {len(one.counts)}
            fractions = all(map(is_kept_fraction, one.kept)) and one.kept.keys() == one.kept_counts.keys()
            if lengths != {shown} or max(named, default=0) >= tiles or classes or bins or not fractions:
                raise ValueError(f"what {one.method} thinks does not fit the samples, classes or budgets")

    @property
    def file(self) -> Path:
        """The file that it belongs to, below the results folder."""
        return Path(self.suite) / self.dataset / FILE


def decode_exhibit(content: bytes, file: Path) -> Exhibit:
    """Return the exhibit of a file; raises ValueError with what is wrong.  file: its path below the results folder."""
    if len(content) > MAX_BYTES:
        raise ValueError(f"has {len(content):,} bytes, the limit is {MAX_BYTES:,}")
    exhibit = msgspec.json.decode(content, type=Exhibit)
    if exhibit.file != file:
        raise ValueError(f"belongs to {exhibit.file.as_posix()}")
    if encode_exhibit(exhibit) != content:
        raise ValueError("is not written as prunebench writes it: sorted keys, each once, no spaces")
    return exhibit


def encode_exhibit(exhibit: Exhibit) -> bytes:
    """Return the one JSON text of an exhibit."""
    return msgspec.json.encode(exhibit, order="sorted") + b"\n"


def read_exhibits(results: Path, suite: str = "*") -> list[Exhibit]:
    """Return results/<suite>/<data set>/exhibit.json in order; raises DataError for a file that is none."""
    found = []
    for path in sorted(results.glob(f"{suite}/*/{FILE}")):
        hint = "write it again with `prunebench export exhibit SUITE`, or remove it"
        try:
            found.append(decode_exhibit(read_plain(path, hint), path.relative_to(results)))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: {error}", hint) from error
    return found
