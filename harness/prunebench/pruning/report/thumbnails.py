"""Small pictures inside the page: one for each sample that is listed, and one sheet for the map."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Images
from PIL import ImageOps
from PIL.Image import Image

from prunebench.keys import digest
from prunebench.pruning.parallel import in_order
from prunebench.pruning.source import Pictures
from prunebench.store import Store

EDGE, TILE = 112, 48  # pixels; the blocks of a JPEG have 16, so no tile runs into its neighbour
SHEET_BYTES = 900_000
VERSION = 1  # of the thumbnails in a store
_QUALITIES = (60, 45, 30, 20)  # of the sheet, until it is small enough


@dataclass(frozen=True)
class Sheet:
    """Tiles side by side, row by row: a data URI, how many there are in a row, and the place of each by its sample."""

    uri: str
    columns: int
    places: dict[int, int]


def thumbnails(
    pictures: Pictures, listed: Collection[int], mapped: Sequence[int], store: Store | None, workers: int
) -> tuple[dict[int, str], Sheet | None]:
    """Return data URIs of the listed pictures by position, and the sheet of those on the map, None without any.

    A picture that cannot be decoded any more has no thumbnail.  store: remembers those of the map by their content."""
    small = _stored(store, pictures, mapped, workers) if store else {}
    small |= _encoded(pictures, sorted({*listed, *mapped} - small.keys()), workers)
    tiles = {row: _tile(small[row]) for row in mapped if small[row]}
    return {row: _uri(small[row]) for row in sorted(listed) if small[row]}, _sheet(tiles) if tiles else None


def without_sheet(pictures: Pictures, rows: Collection[int], workers: int) -> dict[int, str]:
    """Return data URIs of pictures by position, without those that cannot be decoded."""
    found = _encoded(pictures, sorted(rows), workers)
    return {row: _uri(file) for row, file in found.items() if file}


def _stored(store: Store, pictures: Pictures, rows: Sequence[int], workers: int) -> dict[int, bytes]:
    """Return JPEG files by position, from the store where the same pictures were made small before."""
    key = digest({"thumbnails": VERSION, "edge": EDGE, "pictures": [_identity(pictures, row) for row in rows]})
    with store.lock(key):
        if (known := store.read("thumbnails", key)) is None:
            files = list(_encoded(pictures, rows, workers).values())
            ends = np.cumsum([len(file) for file in files], dtype=np.int64)
            arrays: dict[str, NDArray[Any]] = {
                "ends": ends,
                "files": np.frombuffer(b"".join(files) or b"\0", dtype=np.uint8),
            }
            store.publish("thumbnails", key, arrays, {})
            known = store.read("thumbnails", key)
    assert known is not None, "it was published just now"
    ends = known.arrays["ends"]
    parts = np.split(known.arrays["files"][: ends[-1]], ends[:-1])
    return {row: part.tobytes() for row, part in zip(rows, parts, strict=True)}


def _identity(pictures: Pictures, row: int) -> str:
    try:
        return pictures.digest(row)
    except ValueError:
        return ""


def _encoded(pictures: Pictures, rows: Sequence[int], workers: int) -> dict[int, bytes]:
    """Return pictures with edges of at most EDGE pixels as JPEG files, by position; empty for what is no picture."""

    def small(row: int) -> bytes:
        try:
            image = pictures.picture(row)
        except ValueError:
            return b""
        image.thumbnail((EDGE, EDGE), reducing_gap=2.0)
        return _jpeg(image, 70)

    return dict(zip(rows, in_order(small, rows, workers), strict=True))


def _tile(file: bytes) -> Image:
    with Images.open(io.BytesIO(file)) as image:
        return ImageOps.fit(image, (TILE, TILE))


def _sheet(tiles: dict[int, Image]) -> Sheet:
    columns = math.ceil(math.sqrt(len(tiles)))
    sheet = Images.new("RGB", (columns * TILE, math.ceil(len(tiles) / columns) * TILE))
    for place, tile in enumerate(tiles.values()):
        sheet.paste(tile, (place % columns * TILE, place // columns * TILE))
    found = (_jpeg(sheet, quality) for quality in _QUALITIES)
    file = next((file for file in found if len(file) <= SHEET_BYTES), None) or _jpeg(sheet, _QUALITIES[-1])
    return Sheet(_uri(file), columns, {row: place for place, row in enumerate(tiles)})


def _jpeg(image: Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()


def _uri(file: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(file).decode()}"
