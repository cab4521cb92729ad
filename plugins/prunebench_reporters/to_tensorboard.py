"""A folder of event files for each record: its numbers, and the accuracy of each epoch."""

from __future__ import annotations

from pathlib import Path

from tensorboard.summary import Writer

from prunebench import AgreementRecord, CellRecord
from prunebench_reporters.numbers import numbers_of, place_of


def write_record(folder: str, record: CellRecord | AgreementRecord) -> None:
    """Write a record below folder/suite/dataset/method, in a folder that names the rest of its place."""
    method, *rest = place_of(record).items()
    place = Path(folder, record.suite, record.dataset, method[1], "-".join(f"{name}={value}" for name, value in rest))
    writer = Writer(str(place))
    try:
        for name, value in numbers_of(record).items():
            writer.add_scalar(name, value, 0)
        for epoch, value in enumerate(getattr(record, "accuracy_per_epoch", ())):
            writer.add_scalar("accuracy_by_epoch", value, epoch)
    finally:
        writer.close()
