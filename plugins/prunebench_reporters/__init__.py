"""Finished cells, told to MLflow and to TensorBoard where a variable of the environment asks for it.

PRUNEBENCH_MLFLOW: the tracking URI of a server or folder.  PRUNEBENCH_TENSORBOARD: the folder of the event files."""

import os
from collections.abc import Mapping
from typing import Any

from prunebench import AgreementRecord, CellRecord, hookimpl


@hookimpl
def prunebench_cell_finished(record: CellRecord | AgreementRecord) -> None:
    """Report a record; a failed one is reported as failed."""
    if uri := os.environ.get("PRUNEBENCH_MLFLOW"):
        from prunebench_reporters.to_mlflow import report_record

        report_record(uri, record)
    if folder := os.environ.get("PRUNEBENCH_TENSORBOARD"):
        from prunebench_reporters.to_tensorboard import write_record

        write_record(folder, record)


@hookimpl
def prunebench_run_finished(manifest: Mapping[str, Any]) -> None:
    """Report how a run ended."""
    if uri := os.environ.get("PRUNEBENCH_MLFLOW"):
        from prunebench_reporters.to_mlflow import report_run

        report_run(uri, manifest)
