"""Threads answer in order, hold few answers, and let go of files that are mapped into memory."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunebench.pruning import parallel
from prunebench.pruning.parallel import in_order, release


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_answers_come_in_the_order_of_the_items_whichever_is_done_first(workers: int) -> None:
    def work(item: int) -> int:
        time.sleep(0.001 * (item % 3))
        return item * item

    assert list(in_order(work, range(20), workers)) == [item * item for item in range(20)]
    assert list(in_order(work, [], workers)) == []


def test_items_are_taken_only_as_answers_are() -> None:
    taken: list[int] = []

    def items() -> Any:
        for item in range(100):
            taken.append(item)
            yield item

    answers = in_order(str, items(), 2)
    next(answers)
    assert len(taken) <= 5
    answers.close()


def test_an_error_of_the_work_is_raised_and_no_thread_is_left() -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda item: 1 // item, [3, 0, 2, 1], 2))
    assert threading.active_count() == before


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from the account of the Linux kernel")
def test_mapped_files_are_let_go_and_keep_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mapped_bytes() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssFile"))

    written = np.lib.format.open_memmap(tmp_path / "rows.npy", "w+", np.float32, (4000, 1000))
    written[:] = np.arange(4000, dtype=np.float32)[:, None]
    part = written.view(np.ndarray)[100:]
    full = mapped_bytes()
    release(part, np.zeros(3))
    assert mapped_bytes() < full - 15_000_000
    assert (part[:, 7] == np.arange(100, 4000)).all()
    own = np.load(tmp_path / "rows.npy", mmap_mode="c")
    own[5] = -1
    release(own)
    assert (own[5] == -1).all()
    monkeypatch.setattr(parallel, "_RELEASED", 2)
    read = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert list(in_order(lambda row: float(read[row, 3]), range(50), 2, [read])) == list(range(50))
