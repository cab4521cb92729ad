"""Where numba keeps what it compiles: one folder for each state of the code."""

import hashlib
import re
from pathlib import Path

from prunebench.discovery.installed import installed_plugins, package_files
from prunebench.discovery.registration import HOST
from prunebench.keys import digest

_IMPORT = re.compile(rb"^[ \t]*(import|from)[ \t]+numba\b", re.MULTILINE)


def numba_folder(cache: Path) -> Path:
    """Return the folder below a cache for what numba compiles of prunebench and the installed plugins as they are now.

    numba compiles a function again when its own file has changed, but not when the file of a function that it calls
    has: what is inlined would stay as it was, under the key of the new code."""
    packages = {HOST, *(point.module.partition(".")[0] for point, _ in installed_plugins()[0])}
    paths = sorted(Path(path) for package in packages for path, _, _ in package_files(package) if path.endswith(".py"))
    texts = (text for text in map(Path.read_bytes, paths) if _IMPORT.search(text))
    return cache / "numba" / digest([hashlib.blake2b(text).hexdigest() for text in texts])[:16]
