"""Read what people have into a Source: folders, feature files, tar shards, Hugging Face data sets, Python objects."""

from prunebench.pictures import Unreadable, decode
from prunebench.pruning.reading.entrance import from_python, read

__all__ = ["Unreadable", "decode", "from_python", "read"]
