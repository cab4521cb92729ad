"""What the files of a suite hold: the content of its data and of its weights, looked at before anything is planned."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from prunebench.contexts import Dataset
from prunebench.devices import half_precision
from prunebench.errors import StoreError, UsageError
from prunebench.plan import Plan, make_plan
from prunebench.planner import Contents
from prunebench.plugins import Catalogue
from prunebench.registry import DatasetEntry, Weights
from prunebench.registry.governance import all_faults
from prunebench.request import Request
from prunebench.stages.data import check_fingerprint, fingerprint, load_dataset, remarks, share
from prunebench.stages.embed import find_weights


def load_registered(entry: DatasetEntry, catalogue: Catalogue, roots: Iterable[str]) -> Dataset:
    """Load and validate a data set of the registry, whatever its content."""
    plugin = catalogue.dataset(entry.spec)
    per_class = (entry.train_per_class, entry.test_per_class)
    return load_dataset(plugin, plugin.spec.resolve_params(entry.params), roots, per_class)


def data_of(asked: Request) -> Dataset:
    """Load and validate the data set of a suite that is asked for, whatever its content."""
    entry = asked.registry.datasets[asked.registry.suite(asked.suite).dataset]
    return load_registered(entry, asked.plugins, asked.settings.data_roots)


def identified_plan(asked: Request, tolerated: tuple[type[UsageError], ...] = (), *, shares: bool = False) -> Plan:
    """Look at the content of the suite's data and weights, then plan: what is computed is named by its content.  Raises
    DataError where they are missing, or are not the registered ones.  tolerated: that of `make_plan`.  shares: write
    large data below the cache, for workers to map instead of loading them again."""
    registry, catalogue, suite, roots = asked.registry, asked.plugins, asked.suite, asked.settings.data_roots
    entry = registry.datasets[registry.suite(suite).dataset]
    planned = partial(make_plan, registry, catalogue, suite, tolerated=tolerated)
    # Faults of names come first. Of the seeds two show all that there is to see.
    few = replace(asked.filters, seeds=min(asked.filters.seeds or 2, 2))
    with all_faults(registry, catalogue, suite):
        sketch = planned(few, Contents({entry.name: "0" * 32}))
    is_half = any(network.arch.dtype != "float32" for network in registry.networks.values())
    half = half_precision(asked.settings.device) if is_half else ""
    loaded = data_of(asked)
    datasets, notes = {entry.name: fingerprint(loaded)}, remarks(loaded)
    check_fingerprint(entry.name, entry.fingerprint, datasets[entry.name])
    if shares:
        with suppress(StoreError):  # a cache may only be read; whoever has to compute says so
            share(asked.store, datasets[entry.name], loaded)
    del loaded  # images are the largest thing in memory
    named = [task for task in sketch.tasks() if "weights_file" in task.locators]
    files = {
        (one.locators["weights_file"], one.locators["weights_package"], one.config["weights"]["sha256"])
        for one in named
    }
    weights = {
        Weights(file=name, package=package).place: find_weights(name, sha256, roots, package)[1]
        for name, package, sha256 in sorted(files)
    }
    return replace(planned(asked.filters, Contents(datasets, weights, half)), notes=notes)
