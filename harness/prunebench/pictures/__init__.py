"""Pictures as people have them: which files of a folder are some, what they are called, and one hardened decoder."""

from prunebench.pictures.decoding import MAX_BYTES, Unreadable, decode, one_colour
from prunebench.pictures.files import Found, find_pictures
from prunebench.pictures.names import chosen_split, printable, printable_ids, split_of, splits_among
from prunebench.pictures.signatures import PICTURE_ENDINGS, format_of

__all__ = [
    "MAX_BYTES", "PICTURE_ENDINGS", "Found", "Unreadable", "chosen_split", "decode", "find_pictures", "format_of",
    "one_colour", "printable", "printable_ids", "split_of", "splits_among",
]  # fmt: skip
