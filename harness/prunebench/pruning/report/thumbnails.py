"""Small pictures inside the page: one for each sample that is listed, and one sheet for the map."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prunebench.contexts import silent
from prunebench.pruning.flow import Progress
from prunebench.pruning.parallel import in_order
from prunebench.pruning.source import Pictures

if TYPE_CHECKING:
    from PIL.Image import Image

EDGE, TILE = 112, 48  # pixels; the blocks of a JPEG have 16, so no tile runs into its neighbour
SHEET_BYTES = 900_000
_QUALITIES = (60, 45, 30, 20)  # of the sheet, until it is small enough


@dataclass(frozen=True)
class Sheet:
    """Tiles side by side, row by row: a data URI, how many there are in a row, and the place of each by its sample."""

    uri: str
    columns: int
    places: dict[int, int]


def thumbnails(
    pictures: Pictures, listed: Collection[int], mapped: Sequence[int], workers: int = 2, progress: Progress = silent
) -> tuple[dict[int, str], Sheet | None]:
    """Return data URIs of the listed pictures by position, and the sheet of those on the map, None without any.

    A picture that cannot be decoded any more has no thumbnail.  Each is decoded once."""
    rows = sorted({*listed, *mapped})
    uris: dict[int, str] = {}
    tiles: dict[int, Image] = {}
    chosen, on_map = set(listed), set(mapped)
    for number, (row, small) in enumerate(_decoded(pictures, rows, workers)):
        progress(number / len(rows), "thumbnails")
        if small is None:
            continue
        if row in chosen:
            uris[row] = _uri(small, 70)
        if row in on_map:
            tiles[row] = _tile(small)
    return uris, _sheet(tiles) if tiles else None


def _decoded(pictures: Pictures, rows: Sequence[int], workers: int) -> Iterator[tuple[int, Image | None]]:
    """Yield pictures with edges of at most EDGE pixels."""

    def small(row: int) -> tuple[int, Image | None]:
        try:
            image = pictures.picture(row)
        except ValueError:
            return row, None
        image.thumbnail((EDGE, EDGE), reducing_gap=2.0)
        return row, image

    yield from in_order(small, rows, workers)


def _tile(image: Image) -> Image:
    from PIL import ImageOps

    return ImageOps.fit(image, (TILE, TILE))


def _sheet(tiles: dict[int, Image]) -> Sheet:
    from PIL import Image

    columns = math.ceil(math.sqrt(len(tiles)))
    sheet = Image.new("RGB", (columns * TILE, math.ceil(len(tiles) / columns) * TILE))
    for place, tile in enumerate(tiles.values()):
        sheet.paste(tile, (place % columns * TILE, place // columns * TILE))
    uri = next(
        (found for quality in _QUALITIES if len(found := _uri(sheet, quality)) <= SHEET_BYTES * 4 / 3), None
    ) or _uri(sheet, _QUALITIES[-1])
    return Sheet(uri, columns, {row: place for place, row in enumerate(tiles)})


def _uri(image: Image, quality: int) -> str:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
