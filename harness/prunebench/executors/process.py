"""The one child process: it reads and answers JSON lines, and ends with everything that it has started."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prunebench.compiled import numba_folder

Message = Mapping[str, Any]
_FROZEN_SECONDS = 60.0  # of a worker that a signal stopped, until it is killed
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "LOKY_MAX_CPU_COUNT")


def child_environment(cache: Path, threads: int) -> dict[str, str]:
    """Return the environment of a process that runs plugins with that many threads.
    What numba and torch compile is kept below the cache folder, unless the environment names another place: the
    packages and the home folder may be read-only, and workers share what one of them has compiled."""
    compiled = {"NUMBA_CACHE_DIR": str(numba_folder(cache)), "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor")}
    kept = {name: os.environ.get(name) or folder for name, folder in compiled.items()}
    return {**os.environ, **dict.fromkeys(_THREADS, str(threads)), **kept}


class ChildProcess(subprocess.Popen[str]):
    """A process in a session of its own, so that Ctrl-C reaches the parent alone and the whole group can be killed.
    log: file that takes its standard error; by default it is thrown away.  Raises OSError when it cannot be started."""

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str], log: str | Path = os.devnull,
        folder: Path | None = None,
    ) -> None:  # fmt: skip
        self._inbox: queue.Queue[Message | None] = queue.Queue()
        self._ended = threading.Event()
        self.is_frozen = False  # it was stopped by a signal, and killed after a while
        with Path(log).open("ab") as errors:
            super().__init__(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment, cwd=folder,
                encoding="utf-8", errors="replace", start_new_session=True,
            )  # fmt: skip
        for task in (self._watch, self._listen):
            threading.Thread(target=task, daemon=True).start()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return not self._ended.is_set()

    @property
    def death(self) -> str:
        """How it ended, to follow "it" in a sentence."""
        code: int | None = self.returncode
        if code is None or code >= 0:
            return "is still running" if code is None else f"ended with exit code {code}"
        if self.is_frozen:
            return f"was stopped for {_FROZEN_SECONDS:g} s, and was killed"
        name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
        return f"was killed by {name}" + ("; often memory ran out" if code == -signal.SIGKILL else "")

    def send(self, message: Message) -> None:
        """Write one line to its input; what a dead process can no longer read is dropped, its end is in the inbox."""
        assert self.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self.stdin.write(json.dumps(message) + "\n")
            self.stdin.flush()

    def receive(self, seconds: float | None = None) -> Message | None:
        """Return its next message, or None when it has ended; raises TimeoutError after so many seconds."""
        try:
            message = self._inbox.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError(f"no answer within {seconds:g} s") from None
        if message is None:
            self._inbox.put(None)  # whoever asks again gets the same answer
        return message

    def end_input(self) -> None:
        """Close its input: a process that reads lines then ends by itself."""
        assert self.stdin is not None
        with contextlib.suppress(OSError):
            self.stdin.close()

    def kill(self) -> None:
        """Kill it and everything that it has started."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL) if hasattr(os, "killpg") else super().kill()

    def close(self, seconds: float = 0.0) -> None:
        """Close its input, wait so long for its end, then kill it; returns when it has ended."""
        self.end_input()
        if not self._ended.wait(seconds):
            self.kill()
            self._ended.wait()

    def _watch(self) -> None:
        if hasattr(os, "waitid"):
            # Not yet reaped, its id belongs to nobody else while its group is killed. What it forked may hold its
            # standard output open: the listener would wait for that for ever.
            while self._has_stopped():
                self.is_frozen = True
                self.kill()
            self.kill()
        self.wait()
        self.end_input()
        self._ended.set()

    def _has_stopped(self) -> bool:
        """Wait for its end; return true when it was stopped, and not continued for long: it holds locks that others
        wait for."""
        since = now = time.monotonic()
        while now - since < _FROZEN_SECONDS:
            before = time.monotonic()
            found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
            if found is None or found.si_code not in (os.CLD_STOPPED, os.CLD_TRAPPED):
                return False
            time.sleep(0.5)
            now = time.monotonic()
            since = now if now - before > 1.0 else since  # it went on in between, or this process was stopped, too
        return True

    def _listen(self) -> None:
        assert self.stdout is not None
        for line in self.stdout:
            with contextlib.suppress(ValueError):
                message = json.loads(line)
                if isinstance(message, dict):  # anything else was printed by somebody else
                    self._inbox.put(message)
        self.stdout.close()
        self._ended.wait()
        self._inbox.put(None)
