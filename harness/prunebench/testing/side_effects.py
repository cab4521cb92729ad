"""What code does beside returning a value: files, sockets, forks, random state, settings."""

from __future__ import annotations

import contextlib
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

_WRITES = {
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate",
    "os.chmod", "shutil.copyfile", "shutil.move", "shutil.rmtree", "sqlite3.connect",
}  # fmt: skip
_OTHER = {"socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname",
          "os.fork", "os.forkpty"}  # fmt: skip
_INTERNET = (2, 10, 23, 30)  # AF_INET, and AF_INET6 on Linux, Windows and macOS


@dataclass
class Journal:
    """What was done while somebody watched: paths written to, and the use of sockets and forks."""

    watching: bool = False
    written: list[Path] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take down an audit event of the interpreter."""
        if not self.watching:
            return
        if event == "open":
            path, _, flags = arguments[:3]
            is_write = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            paths = [path] if is_write else []
        else:
            paths = list(arguments[:2]) if event in _WRITES else []
        # A link is judged by its own place.
        self.written += [
            Path(os.path.abspath(os.fsdecode(p)))  # noqa: PTH100
            for p in paths
            if isinstance(p, str | bytes | os.PathLike)
        ]
        is_internet = event == "socket.__new__" and arguments[1] in _INTERNET
        if is_internet or (event in _OTHER and not (arguments and isinstance(arguments[-1], str | bytes))):
            self.other.append(f"{event}{arguments[1:]}")


@lru_cache(maxsize=1)
def _journal() -> Journal:
    # An audit hook stays for the life of the process: one is enough, and it is idle unless somebody watches.
    journal = Journal()
    sys.addaudithook(journal.note)
    return journal


@contextlib.contextmanager
def watched() -> Iterator[Journal]:
    """Yield a journal of what happens inside the block; nothing that native code does behind Python's back."""
    journal = _journal()
    journal.written, journal.other, journal.watching = [], [], True
    try:
        yield journal
    finally:
        journal.watching = False


@lru_cache(maxsize=1)
def initial_environment() -> dict[str, str]:
    """Return the environment as it was when this was first called."""
    return dict(os.environ)


def reset_process_state() -> None:
    """Give generators and settings values that nobody chooses, so that whoever sets them is seen to."""
    os.environ.clear()
    os.environ.update(initial_environment())
    random.seed(98_765)
    np.random.seed(98_765)  # noqa: NPY002
    if (torch := sys.modules.get("torch")) is not None and hasattr(torch, "manual_seed"):
        torch.manual_seed(98_765)
        torch.set_num_threads(1)
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        torch.use_deterministic_algorithms(False)


def process_state() -> dict[str, Any]:
    """Return the state of the process that the next piece of work would inherit, by a name for each part."""
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    found: dict[str, Any] = {
        "the generator of random": random.getstate(),
        "the generator of numpy.random": (name, np.asarray(keys).tobytes(), *rest),
        "the working directory": str(Path.cwd()),
        "os.environ": dict(os.environ),
    }
    if (torch := sys.modules.get("torch")) is not None and hasattr(torch, "get_rng_state"):
        found["the generator of torch"] = torch.get_rng_state().numpy().tobytes()
        found["torch's default type"] = torch.get_default_dtype()
        found["torch's gradient mode"] = torch.is_grad_enabled()
        found["torch's deterministic mode"] = torch.are_deterministic_algorithms_enabled()
        found["torch's number of threads"] = torch.get_num_threads()
    return found
