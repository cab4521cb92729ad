"""The updates of a training one after the other: plain, or at fixed addresses, which CUDA replays as graphs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch

from prunebench_learners.engine import Engine, update, update_with
from prunebench_learners.pixels import Draw, Pixels
from prunebench_learners.recipe import Plan, Recipe, cosine_rate

_REHEARSALS = 3  # before a capture: libraries allocate their workspaces, cuDNN tries its algorithms, torch compiles


class CannotPrepare(Exception):
    """The network cannot be compiled or captured as it is."""


class Steps(Protocol):
    """The updates of one training."""

    def begin(self, draw: Draw) -> None:
        """Start a pass over what `draw` has drawn."""

    def step(self, size: int) -> None:
        """Make the update on the next `size` places."""

    @property
    def total(self) -> torch.Tensor:
        """The sum of the mean losses of the batches of this pass, float32 [] on the device."""


class PlainSteps:
    """Updates as they are written, one kernel after the other: the reference."""

    def __init__(
        self, engine: Engine, pixels: Pixels, plan: Plan, recipe: Recipe, draw: Draw, seen: torch.Tensor | None
    ) -> None:
        self._engine, self._pixels, self._draw, self._seen = engine, pixels, draw, seen
        self._rate = partial(
            cosine_rate, n_iterations=plan.n_iterations, peak=recipe.learning_rate, floor=recipe.eta_min
        )
        self._iteration = self._place = 0
        self.total = torch.zeros((), device=engine.device)

    def begin(self, draw: Draw) -> None:
        self._draw, self._place = draw, 0
        self.total = torch.zeros((), device=self._engine.device)

    def step(self, size: int) -> None:
        window = self._place, self._place + size
        self.total += update(self._engine, self._pixels, self._draw, window, self._rate(self._iteration), self._seen)
        self._place, self._iteration = self._place + size, self._iteration + 1


@dataclass(frozen=True, kw_only=True)
class _State:
    """Where training stands, on the device.

    draw: of this pass.  place: int64 [1], first place of the next batch.  iteration: int64 [1].  rate: float32 [],
    which the optimiser reads.  rates: float32 [iterations].  total: float32 [], sum of the losses of this pass.
    """

    draw: Draw
    place: torch.Tensor
    iteration: torch.Tensor
    rate: torch.Tensor
    rates: torch.Tensor
    total: torch.Tensor


class StaticSteps:
    """Updates whose every input lies at a fixed address on the device; each batch size has a step of its own.

    Raises CannotPrepare where the network does not allow it, such as one that looks at the values of a tensor.
    """

    def __init__(
        self, engine: Engine, pixels: Pixels, plan: Plan, recipe: Recipe, draw: Draw, seen: torch.Tensor | None
    ) -> None:
        self._engine, self._pixels, self._seen = engine, pixels, seen
        rates = [
            cosine_rate(t, plan.n_iterations, recipe.learning_rate, recipe.eta_min) for t in range(plan.n_iterations)
        ]
        zeros = partial(torch.zeros, device=engine.device)
        self._state = _State(
            draw=_copied(draw),
            place=zeros(1, dtype=torch.int64),
            iteration=zeros(1, dtype=torch.int64),
            rate=zeros(()),
            rates=torch.tensor(rates, dtype=torch.float32, device=engine.device),
            total=zeros(()),
        )
        for group in engine.optimiser.param_groups:
            group["lr"] = self._state.rate
            if "capturable" in group:
                group["capturable"] = True
        sizes = sorted({stop - start for start, stop in plan.batches}, reverse=True)
        self._steps = self._prepared(sizes)

    def begin(self, draw: Draw) -> None:
        """Start a pass over what `draw` has drawn."""
        for ours, theirs in zip(_tensors(self._state.draw), _tensors(draw), strict=True):
            ours.copy_(theirs)
        self._state.place.zero_()
        self._state.total.zero_()

    def step(self, size: int) -> None:
        """Make the update on the next `size` places."""
        self._steps[size]()

    @property
    def total(self) -> torch.Tensor:
        """The sum of the mean losses of the batches of this pass, float32 [] on the device."""
        return self._state.total

    def _update(self, size: int) -> None:
        state = self._state
        state.rate.copy_(state.rates.index_select(0, state.iteration).view(()))
        batch = state.draw.at(state.place + torch.arange(size, device=self._engine.device))
        state.total.add_(update_with(self._engine, self._pixels, batch, self._seen))
        state.place.add_(size)
        state.iteration.add_(1)

    def _prepared(self, sizes: Iterable[int]) -> dict[int, Callable[[], None]]:
        steps: dict[int, Callable[[], None]] = {size: partial(self._update, size) for size in sizes}
        if self._engine.device.type != "cuda":
            return steps
        pool = torch.cuda.graph_pool_handle()
        try:
            for step in steps.values():
                self.rehearse(step)
            return {size: _captured(step, pool) for size, step in steps.items()}
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            raise CannotPrepare(f"{type(error).__name__}: {error}") from error

    def rehearse(self, step: Callable[[], None]) -> None:
        """Make the first update a few times, on a stream of its own where there is one, and undo all of it."""
        kept = [*self._kept()]
        before = [tensor.clone() for tensor in kept]
        devices = [self._engine.device] if self._engine.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
            with _another_stream(self._engine.device):
                for number in range(_REHEARSALS):
                    self._state.place.zero_()
                    self._state.iteration.zero_()
                    with _no_waiting(self._engine.device) if number == _REHEARSALS - 1 else nullcontext():
                        step()
        with torch.no_grad():
            for tensor, value in zip(kept, before, strict=True):
                tensor.copy_(value)
            # All that the optimisers remember begins at zero.
            for remembered in self._engine.optimiser.state.values():
                for value in remembered.values():
                    value.zero_()

    def _kept(self) -> Iterable[torch.Tensor]:
        yield from self._engine.model.state_dict(keep_vars=True).values()
        for group in self._engine.optimiser.param_groups:
            yield from group["params"]
        state = self._state
        yield from (state.place, state.iteration, state.total)
        if self._seen is not None:
            yield self._seen


def _tensors(draw: Draw) -> list[torch.Tensor]:
    return [part for part in (draw.order, draw.rows, draw.columns, draw.flips) if part is not None]


def _copied(draw: Draw) -> Draw:
    rows, columns, flips = (None if part is None else part.clone() for part in (draw.rows, draw.columns, draw.flips))
    return Draw(order=draw.order.clone(), rows=rows, columns=columns, flips=flips)


@contextmanager
def _another_stream(device: torch.device) -> Iterator[None]:
    if device.type != "cuda":
        yield
        return
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream(device).wait_stream(stream)


@contextmanager
def _no_waiting(device: torch.device) -> Iterator[None]:
    """Raise where the host waits for the device, which a capture does not survive."""
    if device.type != "cuda":
        yield
        return
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def _captured(step: Callable[[], None], pool: Any) -> Callable[[], None]:
    """Return the replay of a step, recorded without being run; graphs of one pool are never replayed at once."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool):
        step()
    replay: Callable[[], None] = graph.replay
    return replay
