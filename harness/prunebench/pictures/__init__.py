"""Pictures as people have them: which files of a folder are some, what they are called, and one hardened decoder."""

from prunebench.pictures.decoding import MAX_BYTES, Unreadable, decode, one_colour
from prunebench.pictures.files import Found, find_pictures
from prunebench.pictures.names import (
    check_no_split_in_classes,
    chosen_split,
    is_hidden,
    printable,
    printable_ids,
    same_split,
    split_of,
    splits_among,
    visible_folders,
)
from prunebench.pictures.signatures import PICTURE_ENDINGS, format_of

__all__ = [
    "MAX_BYTES", "PICTURE_ENDINGS", "Found", "Unreadable", "check_no_split_in_classes", "chosen_split", "decode",
    "find_pictures", "format_of", "is_hidden", "one_colour", "printable", "printable_ids", "same_split", "split_of",
    "splits_among", "visible_folders",
]  # fmt: skip
