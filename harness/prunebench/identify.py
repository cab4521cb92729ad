"""What the files of a suite hold: the content of its data and of its weights, looked at before anything is planned."""

from collections.abc import Iterable
from functools import partial

from prunebench.contexts import Dataset
from prunebench.errors import UsageError
from prunebench.plan import Filters, Plan, make_plan
from prunebench.planner import Contents
from prunebench.plugins import Catalogue
from prunebench.registry import DatasetEntry, Registry
from prunebench.settings import Settings
from prunebench.stages.data import check_fingerprint, fingerprint, load_dataset
from prunebench.stages.embed import find_weights


def load_registered(entry: DatasetEntry, catalogue: Catalogue, roots: Iterable[str]) -> Dataset:
    """Load and validate a data set of the registry, whatever its content."""
    plugin = catalogue.dataset(entry.spec)
    return load_dataset(plugin, plugin.spec.resolve_params(entry.params), roots)


def identified_plan(
    registry: Registry, catalogue: Catalogue, suite: str, filters: Filters, settings: Settings,
    tolerated: tuple[type[UsageError], ...] = (),
) -> Plan:  # fmt: skip
    """Look at the content of the suite's data and weights, then plan: what is computed is named by its content.  Raises
    DataError where they are missing, or are not the registered ones.  tolerated: that of `make_plan`."""
    entry, roots = registry.datasets[registry.suite(suite).dataset], settings.data_roots
    planned = partial(make_plan, registry, catalogue, suite, filters, tolerated=tolerated)
    planned(Contents({entry.name: "0" * 32}))  # faults of names come first
    datasets = {entry.name: fingerprint(load_registered(entry, catalogue, roots))}
    check_fingerprint(entry.name, entry.fingerprint, datasets[entry.name])
    plan = planned(Contents(datasets))
    embedded = [task for task in plan.tasks() if "weights_file" in task.locators]
    files = sorted({(task.locators["weights_file"], task.config["weights"]["sha256"]) for task in embedded})
    weights = {file: find_weights(file, expected, roots)[1] for file, expected in files}
    return planned(Contents(datasets, weights)) if weights else plan
