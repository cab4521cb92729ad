"""Data as they were given to samples with features: read, and embedded where they are pictures."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from prunebench.contexts import Arch, silent
from prunebench.devices import cores, slots_for
from prunebench.errors import DataError, UsageError
from prunebench.executors import Executor, device_of
from prunebench.executors.choice import choose
from prunebench.identify import load_registered
from prunebench.plugins import Catalogue
from prunebench.pruning.progress import Progress, part
from prunebench.pruning.source import Source
from prunebench.registry import Network, Registry, Weights
from prunebench.settings import Settings
from prunebench.stages.bench import Bench, make_bench
from prunebench.stages.embed import find_weights


@dataclass(frozen=True, kw_only=True)
class Given:
    """Data as they were given, and how to read them.  data, reference: what `prunebench.prune` takes.

    labels: see `prunebench.prune`.  backbones: for pictures, the first embeds them for the choice, the others to tell
    how far it depends on that; none is the usual one.  weights: their files, in this order.  reference: such as a test
    set.  roots: folders with the files of data sets of the registry."""

    data: Any
    labels: Any = None
    ids: Sequence[str] | None = None
    split: str | None = None
    strict: bool = False
    backbones: Sequence[str] = ()
    weights: Sequence[str | Path] = ()
    reference: Any = None
    roots: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where it is computed: cache folder, device, and threads that decode pictures (by default one per core).
    executor: embeds pictures in place of this process, such as "local:slots=4" or "ray"; empty: none."""

    cache: Path
    device: str = "auto"
    workers: int | None = None
    executor: str = ""

    def started(self, catalogue: Catalogue, logs: Path) -> Executor:
        """Return the executor, ready to take shards."""
        choice = choose(self.executor, catalogue)
        asked = {"cuda": "auto"}.get(self.device, self.device)
        slots = choice.worker_slots(asked, None, 0) or slots_for(asked, choice.jobs)
        shared = 1 if choice.entry.spec.slots else max(1, cores() // len(slots))
        settings = Settings(str(self.cache), device=device_of(slots[0]), threads=self.workers or shared)
        return choice.start(settings, slots, logs)


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """Samples with features, those of the reference, and what is known of the network that embedded them.
    others: by the name of another backbone, the samples with its features, and what is known of it."""

    bench: Bench
    source: Source
    reference: Source | None = None
    network: Mapping[str, Any] = field(default_factory=dict)
    others: Mapping[str, tuple[Source, Mapping[str, Any]]] = field(default_factory=dict)


def gather(
    given: Given, machine: Machine, registry: Registry, catalogue: Catalogue, check: Callable[[Source], None],
    progress: Progress = silent,
) -> Gathered:  # fmt: skip
    """Read data and embed pictures.  check: raises for data that will not do, before pictures are embedded.  Raises
    UsageError and DataError with what to do."""
    from prunebench.pruning.reading import read

    def data_of(one: Any) -> Any:
        """A data set of the registry by its name, where no file or folder is called so."""
        if isinstance(one, str | Path) and str(one) in registry.datasets and not Path(one).exists():
            return load_registered(registry.datasets[str(one)], catalogue, given.roots)
        return one

    bench = make_bench(Settings(str(machine.cache), device=machine.device), catalogue)
    source = read(
        data_of(given.data), labels=given.labels, ids=given.ids, split=given.split, strict=given.strict,
        cache=machine.cache, progress=part(progress, 0, 0.1),
    )  # fmt: skip
    check(source)
    reference = None if given.reference is None else read(data_of(given.reference), cache=machine.cache)
    if source.features is not None:
        if given.backbones or given.weights:
            text = f"{source.title} has features, and a backbone is for pictures"
            raise UsageError(text, "leave --backbone and --weights out")
        if machine.executor:
            raise UsageError(f"{source.title} has features, and an executor embeds pictures", "leave --executor out")
        if reference is not None and reference.features is None:
            raise DataError(f"{reference.title} is pictures, and {source.title} is features", "give features of both")
        return Gathered(bench=bench, source=source, reference=reference)
    if reference is not None and reference.features is not None:
        raise DataError(f"{reference.title} is features, and {source.title} is pictures", "give pictures of both")
    networks = _networks(registry, given)
    ends = np.linspace(0.1, 1.0, len(networks) + (reference is not None) + 1)
    steps = [part(progress, start, stop) for start, stop in itertools.pairwise(ends.tolist())]
    embedded = [
        _embedded(source, network, bench, machine, given.strict, step)
        for network, step in zip(networks.values(), steps, strict=False)
    ]
    if reference is not None:
        first = next(iter(networks.values()))
        reference, _ = _embedded(reference, first, bench, machine, False, steps[-1])
    (source, facts), *others = embedded
    named = dict(zip(list(networks)[1:], others, strict=True))
    return Gathered(bench=bench, source=source, reference=reference, network=facts, others=named)


def _networks(registry: Registry, asked: Given) -> dict[str, Network]:
    """Return networks by the names of the backbones, of which there is at least one."""
    names, weights = [*asked.backbones] or [""], asked.weights
    if len({*names}) < len(names) or len(weights) > len(names):
        text = f"{len(names)} backbones ({', '.join(names)}) with {len(weights)} files of weights"
        raise UsageError(text, "name each backbone once, and at most one file for each, in the same order")
    given: Iterable[tuple[str, str | Path | None]] = itertools.zip_longest(names, weights)
    return {name: _network(registry, name, file, asked.roots) for name, file in given}


def _network(registry: Registry, backbone: str, weights: str | Path | None, roots: tuple[str, ...]) -> Network:
    """Return a network of the registry, or the model of that name by the provider of the usual one ("provider:model" by
    another).  weights: a file that takes the place of what the registry says; roots: where its files are looked for."""
    usual = registry.networks.get(registry.own_data.backbone)
    provider, _, model = backbone.rpartition(":")
    if backbone in registry.networks or not backbone:
        found = registry.networks.get(backbone) or usual
    else:
        provider = provider or (usual.arch.provider if usual else "")
        found = Network(Arch(name=backbone, provider=provider, model=model), Weights(source="hub"))
    if found is None or not found.arch.provider:
        raise UsageError("the registry names no backbone for own data", "add backbone = NAME to [own-data]")
    if not weights and (own := found.weights).file:
        weights, _ = find_weights(own.file, own.sha256, roots, own.package)
    return Network(found.arch, Weights(file=str(weights))) if weights else found


def _embedded(
    source: Source, network: Network, bench: Bench, machine: Machine, strict: bool, progress: Progress
) -> tuple[Source, Mapping[str, Any]]:
    """Return the source with features of the pictures that can be decoded, and what is known of the network."""
    from prunebench.pruning.embedding import embed, embedding_executor, open_network
    from prunebench.pruning.reading.entrance import refused

    if source.pictures is None or not len(source):
        raise DataError(f"{source.title} has no picture to embed", "look at what was skipped, and why")
    arch, weights = network.arch, network.weights
    if weights.source == "trained":
        text = f"network {arch.name!r} is trained on the data set of a suite, and your own data are another"
        raise UsageError(text, "name a pretrained one with --backbone, or give --weights FILE")
    file = Path(weights.file).expanduser() if weights.file else None
    how: dict[str, Any] = {"cache": bench.store.root, "workers": machine.workers, "progress": progress}
    if machine.executor:
        start = partial(machine.started, bench.catalogue)
        with embedding_executor(start, bench.store, arch, file, weights.source) as there:
            ready = there.network()
            found = embed(source.pictures, ready, by=there.compute, **how)
    else:
        entry = bench.catalogue.backbone(arch.provider)
        ready = open_network(entry, arch, weights=file, device=bench.device, source=weights.source)
        found = embed(source.pictures, ready, **how)
    left = source.embedded(found.features, found.positions, found.skipped, found.notes)
    if strict and found.skipped:
        raise refused(left)
    return left, found.facts
