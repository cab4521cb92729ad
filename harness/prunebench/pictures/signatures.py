"""Which files are pictures: by their ending, and by their first bytes where the ending does not say."""

import re

HEAD_BYTES = 32  # enough for every signature below

PICTURE_ENDINGS = frozenset(
    {
        ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".jif", ".webp", ".bmp", ".dib", ".gif", ".tif",
        ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".jpf", ".avif", ".heic", ".heif",
    }
)  # fmt: skip
"""Lower case; a file with one of these endings is taken for a picture until it is decoded."""

RAW_ENDINGS = frozenset({".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw"})
"""Raw photographs: TIFF by their first bytes, of which a decoder would see the thumbnail alone."""

PACKED_ENDINGS = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".rar")
"""Archives and packed files, which are not read: a sample in them has no place of its own."""

_SIGNATURES = (
    ("PNG", rb"\x89PNG\r\n\x1a\n"),
    ("JPEG", rb"\xff\xd8\xff"),
    ("GIF", rb"GIF8[79]a"),
    ("WEBP", rb"RIFF....WEBP"),
    ("TIFF", rb"II[*+]\x00|MM\x00[*+]"),
    ("BMP", rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00"),
    ("PPM", rb"P[1-6][\s#]"),
    ("JPEG2000", rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51"),
    ("AVIF", rb"....ftypavi[fs]"),
    ("HEIC", rb"....ftyp(hei[cxms]|hev[cx]|mif1|msf1)"),
)
_COMPILED = tuple((name, re.compile(pattern, re.DOTALL)) for name, pattern in _SIGNATURES)


def format_of(head: bytes) -> str:
    """Return the format of a picture by the first bytes of its file, such as "JPEG"; empty where it is none."""
    return next((name for name, pattern in _COMPILED if pattern.match(head)), "")


def ending_of(head: bytes) -> str:
    """Return the ending of the name of a picture by the first bytes of its file, such as ".png", empty for none."""
    form = format_of(head[:HEAD_BYTES])
    return {"": "", "JPEG": ".jpg", "JPEG2000": ".jp2"}.get(form, f".{form.lower()}")
