"""Files that torchvision knows by their MD5: what is missing or differs is named before torchvision reads it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prunebench import DataError


def require_published(files: Iterable[tuple[Path, str]], otherwise: str = "") -> None:
    """Raise DataError that names each file which is missing, unreadable or without its MD5.

    torchvision unpickles CIFAR: the MD5 also keeps it from running what is in a foreign file.  otherwise: what else a
    user can do than fetching the files again.
    """
    from torchvision.datasets.utils import check_integrity

    wrong = []
    for path, md5 in files:
        try:
            if not check_integrity(path, md5):
                wrong.append(f"{path} is {f'not the published file (MD5 {md5})' if path.exists() else 'missing'}")
        except OSError as error:
            wrong.append(f"{path} cannot be read: {error.strerror}")
    if wrong:
        raise DataError("; ".join(wrong), f"fetch the published files again{otherwise}")
