"""What can be checked before any work starts: a missing file should not cost an hour first."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prunebench.keys import canonical_json
from prunebench.pipeline.data import check_fingerprint, fingerprint, load_dataset
from prunebench.pipeline.embed import find_weights
from prunebench.pipeline.workbench import Settings
from prunebench.plugins import Catalogue
from prunebench.tasks import Task


def preflight(tasks: Iterable[Task], catalogue: Catalogue, settings: Settings) -> None:
    """Load every data set and find every weights file that the tasks name, and check their content.

    Raises DataError (DatasetMissing, FingerprintMismatch, WeightsMissing) with what to do about it.
    """
    roots = tuple(Path(root) for root in settings.data_roots)
    seen: set[str] = set()
    for task in tasks:
        data = task.config.get("dataset")
        if data is not None and canonical_json(data) not in seen:
            seen.add(canonical_json(data))
            loaded = load_dataset(catalogue.dataset(data["spec"]), data["params"], roots)
            check_fingerprint(data["name"], data["fingerprint"], fingerprint(loaded))
        if "weights_file" in task.locators and task.key not in seen:
            seen.add(task.key)
            find_weights(task.locators["weights_file"], task.config["weights"]["sha256"], roots)
