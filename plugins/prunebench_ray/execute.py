"""An actor for each slot, with a warm worker process inside; arrays stay in the files of the cache folder.

Actors that the cluster has no room for wait, and become slots when a node comes.  When one is lost with its node, its
task starts again elsewhere, and a new actor is asked for.  A worker process that dies is another thing: its task has
failed, and the actor goes on."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prunebench import Event, NotApplicable, PrunebenchError, Settings, Task, Worker

_OBJECT_STORE_BYTES = 100 << 20  # of a local cluster: only tasks and outcomes pass through it
_REFUSALS = 3  # in a row, of actors that never came up, after which the cluster is taken to be unfit


class Place:
    """One slot on a node: an actor that keeps a worker process warm."""

    def __init__(self, settings: Settings, on_gpu: bool, log: Path) -> None:
        slot = os.environ.get("CUDA_VISIBLE_DEVICES", "0") if on_gpu else "cpu"  # Ray has set it to its share
        self._worker = Worker(settings, slot, log)

    def ready(self) -> None:
        """Return when the actor is there."""

    def perform(self, task: Task) -> Mapping[str, Any]:
        """Compute a task and return its outcome."""
        return self._worker.perform(task)

    def close(self) -> None:
        """Let the worker process end."""
        self._worker.close(5.0)


class RayExecutor:
    """Follows prunebench.Executor; its slots are "cpu", or "cuda" for tasks that get a GPU or a part of one."""

    def __init__(
        self, settings: Settings, slots: Sequence[str], log_folder: Path, *, address: str = "", gpus: float = 0.0,
        cpus: float = 0.0, memory_gib: float = 0.0, retries: int = 2,
    ) -> None:  # fmt: skip
        self._ray = _ray()
        self._is_ours = not self._ray.is_initialized()
        if self._is_ours:
            _connect(self._ray, address or os.environ.get("RAY_ADDRESS", ""))
        on_gpu = any(slot != "cpu" for slot in slots)
        options = {"num_cpus": cpus or settings.threads, "num_gpus": (gpus or 1.0) if on_gpu else 0.0}
        options |= {"memory": int(memory_gib * 2**30)} if memory_gib else {}
        self._made, self._arguments = 0, (settings, on_gpu, log_folder)
        self._place = self._ray.remote(Place).options(**options, max_restarts=0)
        self._retries, self._refused = retries, 0
        self._coming: dict[Any, Any] = {}  # actors by what tells that they are there
        self._free: deque[Any] = deque()
        self._running: dict[Any, tuple[Any, Task, int, float]] = {}  # actor, task, attempts left and start, by answer
        self._again: deque[tuple[Task, int]] = deque()  # tasks whose node was lost
        for _ in slots:
            self._ask_for_place()

    def idle(self) -> int:
        """Return how many more tasks can be submitted now."""
        return max(0, len(self._free) - len(self._again))

    def submit(self, task: Task) -> None:
        """Start a task in a place that is free."""
        self._start(task, self._retries)

    def wait(self, timeout_seconds: float) -> Sequence[Event]:
        """Return what ended, waiting at most so long for the first; places that come up end the wait, too."""
        until, events = time.monotonic() + timeout_seconds, list[Event]()
        while not events:
            refs = [*self._running, *self._coming]
            if not refs:
                time.sleep(max(0.0, min(0.1, until - time.monotonic())))
                return events
            left = max(0.0, until - time.monotonic())
            first, _ = self._ray.wait(refs, num_returns=1, timeout=left)
            if not first:
                return events
            ended, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
            came = [ref for ref in ended if ref in self._coming]
            for ref in came:
                self._welcome(ref)
            events += [event for ref in ended if ref in self._running and (event := self._event(ref))]
            while self._free and self._again:
                self._start(*self._again.popleft())
            if came:
                return events
        return events

    def close(self, *, kill: bool = False) -> None:
        """Stop all places, and with them their workers; a local cluster of this executor ends, too."""
        if not self._ray.is_initialized():
            return
        if not kill and self._free:
            self._ray.wait([one.close.remote() for one in self._free], num_returns=len(self._free), timeout=10)
        for place in (*self._free, *self._coming.values(), *(one[0] for one in self._running.values())):
            with contextlib.suppress(Exception):  # it may be gone already, or its node
                self._ray.kill(place)
        self._free.clear()
        self._coming.clear()
        self._running.clear()
        if self._is_ours:
            self._ray.shutdown()

    def _ask_for_place(self) -> None:
        settings, on_gpu, folder = self._arguments
        place = self._place.remote(settings, on_gpu, folder / f"place-{self._made}.log")
        self._made += 1
        self._coming[place.ready.remote()] = place

    def _welcome(self, ref: Any) -> None:
        """Take a place that has come up; one that cannot is asked for again, unless none ever can."""
        place = self._coming.pop(ref)
        try:
            self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            self._refused += 1
            if self._refused >= _REFUSALS:
                text = f"executor ray: no place for tasks comes up on the cluster: {_first_line(error)}"
                hint = "install prunebench[ray] and the plugins in the same versions on each node"
                raise PrunebenchError(text, hint) from error
            self._ask_for_place()
        else:
            self._refused = 0
            self._free.append(place)

    def _start(self, task: Task, retries: int) -> None:
        place = self._free.popleft()
        self._running[place.perform.remote(task)] = (place, task, retries, time.monotonic())

    def _event(self, ref: Any) -> Event | None:
        """Return the outcome of a task that has ended, None where it starts again."""
        place, task, retries, started = self._running.pop(ref)
        try:
            outcome = self._ray.get(ref)
        except self._ray.exceptions.RayActorError as error:  # the place is lost, with its node or alone
            self._ask_for_place()
            if retries:
                self._again.append((task, retries - 1))
                return None
            return _lost(task, error, started)
        except self._ray.exceptions.RayError as error:
            self._free.append(place)
            return _lost(task, error, started)
        self._free.append(place)
        return Event(task.key, outcome=outcome)


def _lost(task: Task, error: Exception, started: float) -> Event:
    seconds = time.monotonic() - started
    return Event.lost(task, f"Ray lost it: {_first_line(error)}", "see the logs of the Ray cluster", seconds=seconds)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would call home
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # under `uv run` it would copy the folder to each node
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # workers hide the GPUs themselves; Ray would warn
    try:
        import ray
    except ImportError as error:
        raise NotApplicable("executor ray needs Ray", "pip install 'prunebench[ray]'") from error
    return ray


def _knock(address: str) -> None:
    """Raise ConnectionError or ValueError where nothing listens at host:port; Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host:
        with contextlib.closing(socket.create_connection((host, int(port)), timeout=10)):
            pass


def _connect(ray: Any, address: str) -> None:
    quiet = {"log_to_driver": False, "configure_logging": False}
    if address:
        try:
            _knock(address)
            ray.init(address=address, **quiet)
        except (OSError, ValueError, RuntimeError) as error:
            text = f"executor ray: no cluster answers at {address}: {_first_line(error)}"
            raise PrunebenchError(text, "check the address, or start a cluster with `ray start --head`") from error
    else:
        # "local": one of its own, also where another is at work on this machine.
        ray.init("local", include_dashboard=False, object_store_memory=_OBJECT_STORE_BYTES, **quiet)
