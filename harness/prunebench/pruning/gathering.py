"""Data as they were given to samples with features: read, and embedded where they are pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prunebench.contexts import Arch, silent
from prunebench.errors import DataError, UsageError
from prunebench.identify import load_registered
from prunebench.plugins import Catalogue
from prunebench.pruning.flow import Progress, part
from prunebench.pruning.source import Source
from prunebench.registry import Network, Registry, Weights
from prunebench.settings import Settings
from prunebench.stages.bench import Bench, make_bench


@dataclass(frozen=True, kw_only=True)
class Given:
    """Data as they were given, and how to read them.  data, reference: what `prunebench.prune` takes.

    labels: see `prunebench.prune`.  backbone: for pictures, "" is the usual one.  reference: such as a test set.
    roots: folders with the files of data sets of the registry."""

    data: Any
    labels: Any = None
    ids: Sequence[str] | None = None
    split: str | None = None
    strict: bool = False
    backbone: str = ""
    weights: str | Path | None = None
    reference: Any = None
    roots: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where it is computed: cache folder, device, and threads that decode pictures (by default one per core)."""

    cache: Path
    device: str = "auto"
    workers: int | None = None


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """Samples with features, those of the reference, and what is known of the network that embedded them."""

    bench: Bench
    source: Source
    reference: Source | None = None
    network: Mapping[str, Any] = field(default_factory=dict)


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
        if reference is not None and reference.features is None:
            raise DataError(f"{reference.title} is pictures, and {source.title} is features", "give features of both")
        return Gathered(bench=bench, source=source, reference=reference)
    if reference is not None and reference.features is not None:
        raise DataError(f"{reference.title} is features, and {source.title} is pictures", "give pictures of both")
    network = _network(registry, given.backbone, given.weights)
    source, facts = _embedded(source, network, bench, machine, given.strict, part(progress, 0.1, 0.9))
    if reference is not None:
        reference, _ = _embedded(reference, network, bench, machine, False, part(progress, 0.9, 1.0))
    return Gathered(bench=bench, source=source, reference=reference, network=facts)


def _network(registry: Registry, backbone: str, weights: str | Path | None) -> Network:
    """Return a network of the registry, or the model of that name by the provider of the usual one ("provider:model" by
    another).  weights: a file that takes the place of what the registry says."""
    usual = registry.networks.get(registry.own_data.backbone)
    provider, _, model = backbone.rpartition(":")
    if backbone in registry.networks or not backbone:
        found = registry.networks.get(backbone) or usual
    else:
        provider = provider or (usual.arch.provider if usual else "")
        found = Network(Arch(name=backbone, provider=provider, model=model), Weights(source="hub"))
    if found is None or not found.arch.provider:
        raise UsageError("the registry names no backbone for own data", "add backbone = NAME to [own-data]")
    return Network(found.arch, Weights(file=str(weights))) if weights else found


def _embedded(
    source: Source, network: Network, bench: Bench, machine: Machine, strict: bool, progress: Progress
) -> tuple[Source, Mapping[str, Any]]:
    """Return the source with features of the pictures that can be decoded, and what is known of the network."""
    from prunebench.pruning.embedding import embed, open_network
    from prunebench.pruning.reading.entrance import refused

    if source.pictures is None or not len(source):
        raise DataError(f"{source.title} has no picture to embed", "look at what was skipped, and why")
    arch, weights = network.arch, network.weights
    if weights.source == "trained":
        text = f"network {arch.name!r} is trained on the data set of a suite, and your own data are another"
        raise UsageError(text, "name a pretrained one with --backbone, or give --weights FILE")
    file = Path(weights.file).expanduser() if weights.file else None
    entry = bench.catalogue.backbone(arch.provider)
    ready = open_network(entry, arch, weights=file, device=bench.device, source=weights.source)
    found = embed(source.pictures, ready, cache=bench.store.root, workers=machine.workers, progress=progress)
    left = source.embedded(found.features, found.positions, found.skipped)
    if strict and found.skipped:
        raise refused(left)
    return left, found.facts
