"""The one decoder of pictures that people have: upright RGB by stated rules, or the reason why not."""

from __future__ import annotations

import io
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Images
from PIL import ImageOps, UnidentifiedImageError
from PIL.Image import Image
from PIL.ImageFile import ImageFile

from prunebench.pictures.signatures import HEAD_BYTES, format_of

MAX_BYTES = 1 << 29  # of one encoded picture
# Pillow knows more formats: one of them, EPS, is a program that it would run.
_FORMATS = ("PNG", "JPEG", "MPO", "GIF", "WEBP", "TIFF", "BMP", "DIB", "PPM", "JPEG2000", "AVIF", "HEIF")
NOTES = {
    "one-colour": "are of one colour alone",
    "first-frame": "are animations, of which the first frame is read",
    "on-white": "are transparent, and laid on white",
    "on-black": "are transparent, and laid on black",
    "from-8-bits": "have more bits than the 8 that they use",
    "from-12-bits": "use 12 bits, which are scaled to 8",
    "from-floats": "have floating values, which are scaled to 8 bits",
}
"""What a decoder may note of pictures, in words."""
_OTHER_BYTE = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B" if sys.byteorder == "little" else ";16L"}


class Unreadable(ValueError):
    """A picture that cannot be decoded: the reason in words, and its `code`, a slug for tables.
    Codes: empty, not-an-image, unsupported-format, too-many-bytes, too-many-pixels, truncated, damaged, unknown-range,
    no-permission, missing-file."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason

    def __str__(self) -> str:
        return self.reason


def decode(data: bytes) -> Image:
    """Return an encoded picture as upright RGB at its own size; raises Unreadable with the reason.

    Turned as its EXIF orientation says.  The first frame of an animation.  CMYK and palettes are converted.  Where the
    alpha channel varies, the picture is laid on white, or on black where white would leave one colour; an alpha channel
    that is the same everywhere shows nothing and is dropped.  Whole numbers of more than 8 bits are scaled from the
    fewest of 8, 12 and 16 bits that hold the brightest pixel; floating values from 0..1, 0..255 or 0..65535, the first
    that holds it; others are refused.  A picture of more than twice `PIL.Image.MAX_IMAGE_PIXELS` is refused before it
    is decoded.  `info` of the result holds "notes" alone, a tuple of what was decided, with keys of `NOTES`.
    """
    if not data:
        raise Unreadable("empty", "the file is empty (0 bytes)")
    if len(data) > MAX_BYTES:
        raise Unreadable("too-many-bytes", f"it has {len(data):,} bytes, and at most {MAX_BYTES:,} are decoded")
    notes: list[str] = []
    with _decoder_faults(data), Images.open(io.BytesIO(data), formats=_known_formats()) as file:
        if getattr(file, "n_frames", 1) > 1 and file.format != "MPO":  # a photo with a preview beside it
            notes.append("first-frame")
        image = _rgb(_upright(_full_depth(file, data, notes)), notes)
    return noted(image, notes)


def noted(image: Image, notes: Sequence[str] = ()) -> Image:
    """Return a picture whose `info` holds "notes" alone: those that are given, and whether it is of one colour."""
    image.info = {"notes": (*notes, *(["one-colour"] if one_colour(image) else []))}
    return image


def one_colour(image: Image) -> bool:
    """Tell whether all pixels are equal."""
    width, height = image.size
    first = image.getpixel((0, 0))
    if first != image.getpixel((width - 1, height - 1)) or first != image.getpixel((width // 2, height // 2)):
        return False  # which spares most pictures a look at each pixel
    return all(low == high for low, high in _ranges(image))


def _ranges(image: Image) -> list[tuple[float, float]]:
    extrema: Any = image.getextrema()
    return list(extrema) if isinstance(extrema[0], tuple) else [extrema]


@cache
def _known_formats() -> tuple[str, ...]:
    Images.init()
    return tuple(name for name in _FORMATS if name in Images.OPEN)


class _Silence:
    """While any thread is inside, warnings are ignored: of damaged metadata, and of many pixels below the limit.
    `warnings.catch_warnings` in each of several threads would restore the filters under the feet of the others."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._caught.__exit__(None, None, None)


_SILENCE = _Silence()


@contextmanager
def _decoder_faults(data: bytes) -> Iterator[None]:
    """Turn what decoders raise for a damaged file, which is anything, into Unreadable."""
    try:
        with _SILENCE:
            yield
    except Unreadable:
        raise
    except Images.DecompressionBombError as error:
        raise Unreadable("too-many-pixels", f"{error}".split(", could")[0]) from error
    except UnidentifiedImageError as error:
        raise _unidentified(data) from error
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        cut = any(word in text.lower() for word in ("truncated", "not enough", "eof", "unexpected end"))
        cut = cut or (data[8:12] == b"WEBP" and int.from_bytes(data[4:8], "little") + 8 > len(data))
        raise Unreadable("truncated" if cut else "damaged", f"the file is damaged: {text}") from error


def _unidentified(data: bytes) -> Unreadable:
    found = format_of(data[:HEAD_BYTES])
    if found in ("HEIC", "AVIF"):
        return Unreadable("unsupported-format", f"{found} pictures cannot be decoded here: save it as JPEG or PNG")
    if found:
        return Unreadable("damaged", f"it begins like {found}, and its header cannot be read")
    text = not set(data[:256]) & set(range(9)) and "\ufffd" not in data[:256].decode("utf-8", "replace")[:-1]
    return Unreadable("not-an-image", "it is text, not a picture" if text else "its content is of no known picture")


def _upright(image: Image) -> Image:
    with suppress(Exception):  # metadata that cannot be read say nothing of the orientation
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _full_depth(file: ImageFile, data: bytes, notes: list[str]) -> Image:
    """Return the picture decoded, with at most 8 bits in each channel."""
    rawmode = _rawmode(file)
    file.load()
    if file.mode.startswith("I") or file.mode == "F":
        declared = 65535 if file.format == "PPM" else 0  # Pillow has scaled it from the range that the file declares
        return _turned(file, Images.fromarray(_eight_bits(np.asarray(file), declared, notes)))
    if rawmode[-4:] not in _OTHER_BYTE or max(high for _, high in _ranges(file)[:3]) >= 16:
        return file
    # Of 16 bits in several channels Pillow keeps the upper 8, and 12 bits would be nearly black: read the lower ones.
    with Images.open(io.BytesIO(data), formats=_known_formats()) as lower:
        lower.tile = [(*tile[:3], _other_byte(tile[3])) for tile in lower.tile]  # type: ignore[misc]
        lower.load()
        values = (np.asarray(file).astype(np.uint16) << 8) | np.asarray(lower)
    colours = _eight_bits(values[..., :3], 0, notes)
    alpha = np.asarray(file)[..., 3:]
    return _turned(file, Images.fromarray(np.concatenate([colours, alpha], axis=2)))


def _rawmode(file: ImageFile) -> str:
    arguments = file.tile[0][3] if file.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _other_byte(arguments: Any) -> Any:
    rawmode, *more = arguments if isinstance(arguments, tuple) else (arguments,)
    if rawmode.startswith("LA"):
        raise Unreadable("unknown-range", "its 16 bits are used to less than a sixteenth: save it with 8 bits")
    swapped = rawmode[:-4] + _OTHER_BYTE[rawmode[-4:]]
    return (swapped, *more) if isinstance(arguments, tuple) else swapped


def _turned(file: Image, pixels: Image) -> Image:
    """Return pixels with the orientation of the file that they came from."""
    pixels.info = dict(file.info)
    pixels.getexif().update(dict(file.getexif()))
    return pixels


def _eight_bits(values: NDArray[Any], declared: int, notes: list[str]) -> NDArray[np.uint8]:
    low, high = float(values.min()), float(values.max())
    floating = values.dtype.kind == "f"
    limits = (1, 255, 65535) if floating else (255, 4095, 65535)
    if not (low >= 0 and high <= limits[-1]):  # NaN is in no range
        text = f"pixels of 32 bits from {low:g} to {high:g} have no agreed range: save it with 8 or 16 bits"
        raise Unreadable("unknown-range", text)
    top = declared or next(limit for limit in limits if high <= limit)
    if floating:
        notes.append("from-floats")
        return np.rint(values.astype(np.float64) * (255 / top)).astype(np.uint8)
    if top != 65535:
        notes.append(f"from-{top.bit_length()}-bits")
    return (values >> (top.bit_length() - 8)).astype(np.uint8)


def _rgb(image: Image, notes: list[str]) -> Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image.copy()  # an image, and no longer a file
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    alpha = image.getchannel("A")
    colours = image.convert("RGB")
    if one_colour(alpha):
        return colours
    for name in ("white", "black"):
        laid = Images.composite(colours, Images.new("RGB", image.size, name), alpha)
        if name == "black" or not one_colour(laid):
            notes.append(f"on-{name}")
            break
    return laid
