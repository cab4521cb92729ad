"""What code does beside returning a value: files, sockets, processes, output, random state, settings."""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

_WRITES = {
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate",
    "os.chmod", "shutil.copyfile", "shutil.move", "shutil.rmtree", "sqlite3.connect",
}  # fmt: skip
_SOCKETS = {"socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"}
_FORKS = {"os.fork", "os.forkpty"}
_INTERNET = (2, 10, 23, 30)  # AF_INET, and AF_INET6 on Linux, Windows and macOS


@dataclass
class Journal:
    """What was done while somebody watched: paths written to, socket events, forks."""

    watching: bool = False
    written: list[Path] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)
    forks: int = 0

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take down an audit event of the interpreter."""
        if not self.watching:
            return
        if event == "open":
            self._opened(*arguments[:3])
        elif event in _WRITES:
            self.written += [_absolute(part) for part in arguments[:2] if isinstance(part, str | bytes | os.PathLike)]
        elif event == "socket.__new__" and arguments[1] in _INTERNET:
            self.sockets.append("an internet socket was made")
        elif event in _SOCKETS and not isinstance(arguments[-1], str | bytes):
            self.sockets.append(f"{event} {arguments[1:]}")
        elif event in _FORKS:
            self.forks += 1

    def _opened(self, path: Any, mode: Any, flags: Any) -> None:
        is_write = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if isinstance(path, str | bytes | os.PathLike) and is_write:
            self.written.append(_absolute(path))


def _absolute(path: Any) -> Path:
    return Path(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 - a link is judged by its own place


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
    journal.written, journal.sockets, journal.forks = [], [], 0
    journal.watching = True
    try:
        yield journal
    finally:
        journal.watching = False


@contextlib.contextmanager
def captured_output() -> Iterator[Callable[[], str]]:
    """Yield a function that tells what was written to standard output, by Python or by native code."""
    with tempfile.TemporaryFile() as file:
        text = io.StringIO()
        sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            with contextlib.redirect_stdout(text):
                yield lambda: text.getvalue() + _content(file)
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def _content(file: Any) -> str:
    file.seek(0)
    content: bytes = file.read()
    return content.decode(errors="replace")


def child_processes() -> dict[int, str]:
    """Return the process ids and command lines of living children (where /proc tells; else those of
    multiprocessing)."""
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        import multiprocessing

        return {child.pid or 0: child.name for child in multiprocessing.active_children()}
    found = {}
    for children in tasks.glob("*/children"):
        with contextlib.suppress(OSError):
            for pid in map(int, children.read_text().split()):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if command and "resource_tracker" not in command:
                    found[pid] = command.strip()
    return found


def end_processes(pids: Iterator[int] | list[int]) -> None:
    """Kill processes that a plugin left behind, and collect them."""
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def lasting_threads() -> set[str]:
    """Return the names of living Python threads that keep the interpreter from ending."""
    return {f"{thread.name} ({thread.ident})" for thread in threading.enumerate() if not thread.daemon}


def random_state() -> dict[str, Any]:
    """Return the states of the global generators of Python, NumPy and, where it is imported, torch."""
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    state: dict[str, Any] = {"random": random.getstate(), "numpy.random": (name, np.asarray(keys).tobytes(), *rest)}
    if (torch := sys.modules.get("torch")) is not None and hasattr(torch, "get_rng_state"):
        state["torch"] = torch.get_rng_state().numpy().tobytes()
    return state


@lru_cache(maxsize=1)
def initial_environment() -> dict[str, str]:
    """Return the environment as it was when this was first called."""
    return dict(os.environ)


def scramble() -> None:
    """Give generators and settings values that nobody chooses, so that whoever sets them is seen to."""
    random.seed(98_765)
    np.random.seed(98_765)  # noqa: NPY002
    os.environ.clear()
    os.environ.update(initial_environment())
    np.seterr(divide="ignore", over="warn", under="ignore", invalid="warn")
    sys.setrecursionlimit(1234)
    if (torch := sys.modules.get("torch")) is not None and hasattr(torch, "manual_seed"):
        torch.manual_seed(98_765)
        torch.set_num_threads(1)
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        torch.use_deterministic_algorithms(False)


def settings() -> dict[str, Any]:
    """Return settings of the process that the next piece of work would inherit."""
    found: dict[str, Any] = {
        "the working directory": str(Path.cwd()),
        "os.environ": dict(os.environ),
        "numpy.geterr()": np.geterr(),
        "the signal handlers": {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)},
        "the recursion limit": sys.getrecursionlimit(),
    }
    if (torch := sys.modules.get("torch")) is not None and hasattr(torch, "get_default_dtype"):
        found["torch's default type"] = torch.get_default_dtype()
        found["torch's gradient mode"] = torch.is_grad_enabled()
        found["torch's deterministic mode"] = torch.are_deterministic_algorithms_enabled()
        found["torch's number of threads"] = torch.get_num_threads()
    return found
