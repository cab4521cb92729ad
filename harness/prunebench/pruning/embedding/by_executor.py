"""Pictures embedded by the workers of an executor: a task for each shard, and the same rows whoever computes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prunebench.contexts import Arch
from prunebench.errors import CellFailed, UsageError
from prunebench.executors import Event, Executor
from prunebench.keys import canonical_json
from prunebench.pruning.embedding.embed import SHARD, Unread, compute
from prunebench.pruning.embedding.network import Network, open_network
from prunebench.pruning.embedding.rows import Rows
from prunebench.pruning.reading.picture_files import PictureFiles
from prunebench.pruning.source import Pictures, Taken
from prunebench.schedule import RunState, run_tasks
from prunebench.stages.bench import Bench, StageResult
from prunebench.store import Store
from prunebench.tasks import Task

STAGE = "embedding"


def embedding(bench: Bench, task: Task, inputs: Any) -> StageResult:
    """Embed the pictures of one shard and store their rows; of the facts, `unread` says why a picture has none, and
    `key` and `facts` are those of the network as this machine opens it."""
    network = _opened(bench, task.config["network"])
    places = task.locators["files"]
    offsets, lengths = (
        np.array([place[name] for place in places], dtype=np.int64) if places and name in places[0] else None
        for name in ("offset", "length")
    )
    pictures = PictureFiles("/", [place["path"] for place in places], offsets, lengths)
    digests, rows = dict(enumerate(task.config["pictures"])), Rows(bench.store, network.key)
    unread = compute(pictures, [*digests], network, rows, digests, bench.settings.threads, bench.progress)
    return {}, {"key": network.key, "facts": dict(network.facts), "unread": unread}


def _opened(bench: Bench, described: Mapping[str, Any]) -> Network:
    """Return a network, opened once per process."""
    name = canonical_json([described, bench.device])
    if name not in bench.opened:
        arch, file = Arch(**described["arch"]), described["weights"]
        entry, weights = bench.catalogue.backbone(arch.provider), Path(file) if file else None
        found = open_network(entry, arch, weights=weights, device=bench.device, source=described["source"])
        bench.opened.clear()
        bench.opened[name] = found
    network: Network = bench.opened[name]
    return network


@dataclass(frozen=True)
class EmbeddingExecutor:
    """An executor that embeds pictures with one network, described as the configuration of its tasks has it."""

    executor: Executor
    store: Store
    described: Mapping[str, Any]

    def network(self) -> Network:
        """Return the key and the facts of the network as a worker opens it; it cannot compute here."""
        [meta] = self._run([Task(STAGE, {"network": self.described, "pictures": []}, {}, {"files": []})], _unwatched)
        return Network(None, meta["key"], meta["facts"])  # type: ignore[arg-type]

    def compute(
        self, pictures: Pictures, missing: Sequence[int], network: Network, rows: Rows, digests: Mapping[int, str],
        workers: int, progress: Callable[[float, str], None],
    ) -> Unread:  # fmt: skip
        """Compute and store the rows of the pictures at `missing`, as `compute` does here."""
        files, tasks = [_place(pictures, position) for position in missing], list[Task]()
        for begin in range(0, len(missing), SHARD):
            part = slice(begin, begin + SHARD)
            config = {"network": self.described, "pictures": [digests[position] for position in missing[part]]}
            tasks.append(Task(STAGE, config, {}, {"files": files[part]}))

        def watch(state: RunState, event: Event | None) -> None:
            progress(len(state.outcomes) / len(tasks), f"shards of pictures: {len(state.outcomes)} of {len(tasks)}")

        unread: dict[str, str] = {}
        for meta in self._run(tasks, watch):
            if meta["key"] != network.key:
                text = (
                    "two workers of the executor compute with different networks: versions, weights or devices differ"
                )
                raise CellFailed(text, "install the same versions on all nodes, and ask for one kind of device")
            unread |= meta["unread"]
        return unread

    def _run(self, tasks: Sequence[Task], watch: Callable[[RunState, Event | None], None]) -> list[dict[str, Any]]:
        """Return the facts of the tasks, computed now: the rows that they stand for may have been removed."""
        for task in tasks:
            self.store.discard(STAGE, task.key)
        state = run_tasks({task.key: task for task in tasks}, self.executor, observe=watch)
        failed = [outcome for outcome in state.outcomes.values() if outcome["status"] != "ok"]
        if failed:
            raise CellFailed(f"{len(failed)} of {len(tasks)} shards: {failed[0]['reason']}", failed[0]["hint"])
        found = [self.store.meta(STAGE, task.key) for task in tasks]
        for task in tasks:
            self.store.discard(STAGE, task.key)
        if not all(found):
            text = "the cache folder does not hold what the workers of the executor have stored"
            raise CellFailed(text, "name one that all nodes share with --cache DIR")
        return [meta for meta in found if meta]


def _unwatched(state: RunState, event: Event | None) -> None: ...


def _place(pictures: Pictures, position: int) -> Mapping[str, Any]:
    """Return where the encoded bytes of a picture lie, for a worker on another machine."""
    while isinstance(pictures, Taken):
        position = int(pictures.positions[position])
        pictures = pictures.pictures
    if not isinstance(pictures, PictureFiles):
        text = "an executor embeds pictures that are files, or lie in tar files, and these are in memory or in a table"
        raise UsageError(text, "save them as files, or leave --executor out")
    return pictures.locator(position)


@contextmanager
def embedding_executor(
    start: Callable[[Path], Executor], store: Store, arch: Arch, weights: Path | None, source: str
) -> Iterator[EmbeddingExecutor]:
    """Yield what embeds pictures with a network by an executor, which ends with the block.  start: makes the executor,
    with a folder for its logs."""
    described = {"arch": asdict(arch), "weights": str(weights.absolute()) if weights else "", "source": source}
    logs = store.root / "tmp" / "embedding-logs"
    executor, killed = start(logs), True
    try:
        yield EmbeddingExecutor(executor, store, described)
        killed = False
    finally:
        executor.close(kill=killed)
