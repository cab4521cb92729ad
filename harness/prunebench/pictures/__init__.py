"""Pictures as people have them: which files of a folder are some, what they are called, and one hardened decoder."""

from prunebench.pictures.decoding import Unreadable, decode
from prunebench.pictures.files import Found, Unread, find_pictures
from prunebench.pictures.names import (
    check_no_split_in_classes,
    chosen_split,
    printable,
    printable_ids,
    split_of,
    splits_among,
    visible_folders,
)

__all__ = [
    "Found", "Unread", "Unreadable", "check_no_split_in_classes", "chosen_split", "decode", "find_pictures",
    "printable", "printable_ids", "split_of", "splits_among", "visible_folders",
]  # fmt: skip
