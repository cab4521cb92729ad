"""A run of MLflow for each record, in an experiment for each suite."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from prunebench import AgreementRecord, CellRecord
from prunebench_reporters.numbers import numbers_of, place_of


def report_record(uri: str, record: CellRecord | AgreementRecord) -> None:
    """Log a record: its place as parameters, its numbers as metrics, the accuracy of each epoch as steps."""
    place, numbers = place_of(record), numbers_of(record)
    steps = [("accuracy_by_epoch", value, at) for at, value in enumerate(getattr(record, "accuracy_per_epoch", ()))]
    metrics = [(name, value, 0) for name, value in numbers.items()] + steps
    tags = {"key": record.key, "run_id": record.run_id, "dataset": record.dataset, "reason": record.status_reason}
    _log(uri, record.suite, "-".join(place.values()), metrics, place, tags, record.status in ("ok", "not_applicable"))


def report_run(uri: str, manifest: Mapping[str, Any]) -> None:
    """Log how a run ended: its time, and its tasks by status."""
    ended = manifest["finished"]
    counts = [(f"tasks_{status}", float(count), 0) for status, count in ended["tasks_by_status"].items()]
    metrics = [("wall_seconds", float(ended["wall_seconds"]), 0), *counts]
    tags = {"run_id": manifest["run_id"], "exit_reason": ended["exit_reason"]}
    _log(uri, manifest["suite"], manifest["run_id"], metrics, {}, tags, ended["exit_reason"] == "finished")


def _log(
    uri: str, experiment: str, title: str, metrics: list[tuple[str, float, int]], params: Mapping[str, str],
    tags: Mapping[str, str], is_good: bool,
) -> None:  # fmt: skip
    client, now = MlflowClient(tracking_uri=uri), int(1000 * time.time())
    found = client.get_experiment_by_name(experiment)
    number = found.experiment_id if found else client.create_experiment(experiment)
    run = client.create_run(number, run_name=title).info.run_id
    client.log_batch(
        run,
        metrics=[Metric(name, value, now, step) for name, value, step in metrics],
        params=[Param(name, value) for name, value in params.items()],
        tags=[RunTag(name, value[:5000]) for name, value in tags.items()],
    )
    client.set_terminated(run, "FINISHED" if is_good else "FAILED")
