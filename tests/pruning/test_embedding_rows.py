"""Rows of pictures: computed once, stored by content, the same whatever else is computed, and never lost in bulk."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedding_doubles import Numbers, echo, row
from prunebench.errors import DataError, PluginContractError
from prunebench.pruning.embedding import embed
from prunebench.pruning.embedding.compute import in_order

HERE = Path(__file__).resolve().parent


def test_each_picture_has_the_row_of_its_content(tmp_path):
    found = embed(Numbers([5, 300, 70_000, 300]), echo(), cache=tmp_path)
    assert found.features.tolist() == [row(5), row(300), row(70_000), row(300)]
    assert found.logits.tolist() == [[-a, -b] for a, b, _ in found.features.tolist()]
    assert isinstance(found.features, np.memmap)
    assert not found.features.flags.writeable
    assert found.positions.tolist() == [0, 1, 2, 3]
    assert (found.computed, dict(found.skipped), found.facts["model"]) == (3, {}, "echo")


def test_a_second_call_decodes_nothing_and_gives_the_same_bytes(tmp_path):
    numbers = [*range(20, 70)]
    first = embed(Numbers(numbers), echo(), cache=tmp_path)
    pictures, network = Numbers(numbers), echo()
    second = embed(pictures, network, cache=tmp_path)
    assert not pictures.decoded
    assert not network.ready.batches
    assert second.computed == 0
    assert second.features.tobytes() == first.features.tobytes()
    assert second.logits.tobytes() == first.logits.tobytes()


def test_only_what_is_new_is_decoded_when_a_folder_grows_or_is_put_in_another_order(tmp_path):
    embed(Numbers([*range(20, 60)]), echo(), cache=tmp_path)
    grown = Numbers([*range(79, 14, -1)])
    found = embed(grown, echo(), cache=tmp_path)
    assert sorted(grown.decoded) == [*range(15, 20), *range(60, 80)]
    assert found.computed == 25
    assert found.features.tolist() == [row(number) for number in range(79, 14, -1)]


def test_another_network_has_rows_of_its_own(tmp_path):
    embed(Numbers([1, 2]), echo(), cache=tmp_path)
    other = embed(Numbers([1, 2]), echo(has_head=False, title="other"), cache=tmp_path)
    assert other.computed == 2
    assert other.logits is None


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.integers(-3, 30), max_size=30), st.lists(st.integers(-3, 30), min_size=1, max_size=30), st.booleans()
)
def test_what_was_stored_before_never_shows_in_the_rows(tmp_path_factory, before, numbers, two):
    cache = tmp_path_factory.mktemp("cache")
    sound = [number for number in numbers if number >= 0 and number != 13]
    if any(number >= 0 and number != 13 for number in before):
        embed(Numbers(before), echo(), cache=cache)
    if not sound:
        with pytest.raises(DataError, match=r"none of the \d+ pictures could be read"):
            embed(Numbers(numbers), echo(), cache=cache)
        return
    found = embed(Numbers(numbers), echo(), cache=cache, workers=1 + two)
    assert found.features.tolist() == [row(number) for number in sound]
    assert [numbers[position] for position in found.positions] == sound
    assert {numbers[position] for position in found.skipped} == {*numbers} - {*sound}


def test_a_picture_that_cannot_be_read_is_skipped_with_its_reason(tmp_path):
    found = embed(Numbers([4, -1, 5, 13]), echo(), cache=tmp_path)
    reasons = {
        1: "unreadable: number -1 is no picture",
        3: "not-finite: the network gives features that are not finite",
    }
    assert dict(found.skipped) == reasons
    assert found.features.tolist() == [row(4), row(5)]


def test_no_picture_at_all_is_an_error(tmp_path):
    with pytest.raises(DataError, match="there are no pictures"):
        embed(Numbers([]), echo(), cache=tmp_path)


def test_every_batch_is_full_so_that_kernels_do_not_change_with_the_data(tmp_path):
    network = echo()
    embed(Numbers([1, 2, -1, 3, 4, 5, 6]), network, cache=tmp_path)
    assert {*network.ready.batches} == {4}


def test_a_damaged_shard_is_computed_again(tmp_path):
    numbers = [*range(20, 40)]
    first = embed(Numbers(numbers), echo(), cache=tmp_path).features.tolist()
    for file in tmp_path.rglob("data.safetensors"):
        content = bytearray(file.read_bytes())
        content[-5] ^= 1
        file.write_bytes(content)
    again = embed(Numbers(numbers), echo(), cache=tmp_path)
    assert again.computed == 20
    assert again.features.tolist() == first


def test_two_at_once_compute_each_picture_once(tmp_path):
    pictures, found = Numbers([*range(20, 60)]), []
    threads = [
        threading.Thread(target=lambda: found.append(embed(pictures, echo(), cache=tmp_path, workers=2))) for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.computed for one in found) == [0, 40]
    assert {*pictures.decoded.values()} == {1}


def test_an_interruption_keeps_what_is_done(tmp_path):
    def stop(fraction: float, text: str) -> None:
        if fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(Numbers([*range(20, 60)]), echo(), cache=tmp_path, workers=1, progress=stop)
    rest = Numbers([*range(20, 60)])
    assert embed(rest, echo(), cache=tmp_path).computed == len(rest.decoded) == 16


def test_kill_loses_at_most_one_shard(tmp_path):
    script = f"""
        import sys, time
        sys.path.insert(0, {str(HERE)!r})
        from pathlib import Path
        import importlib
        from embedding_doubles import Numbers, echo
        module = importlib.import_module("prunebench.pruning.embedding.embed")
        module.SHARD = 8
        class Slow(Numbers):
            def picture(self, index):
                time.sleep(0.01)
                return super().picture(index)
        def say(fraction, text):
            print(round(fraction * 400), flush=True)
        module.embed(Slow([*range(20, 420)]), echo(), cache=Path({str(tmp_path)!r}), workers=2, progress=say)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True)
    done = next(int(line) for line in process.stdout if int(line) >= 100)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    rest = Numbers([*range(20, 420)])
    found = embed(rest, echo(), cache=tmp_path)
    assert 0 < found.computed == len(rest.decoded) <= 400 - done + 8
    assert found.features.tolist() == [row(number) for number in range(20, 420)]


def test_a_network_that_breaks_its_promise_is_named(tmp_path):
    network = echo()
    network.ready.run = lambda batch: (np.zeros((3, 2), np.float64), None)
    with pytest.raises(PluginContractError, match=r"returned float64 \[3, 2\] for a batch of 4, expected float32"):
        embed(Numbers([1]), network, cache=tmp_path)


def test_work_is_done_in_order_and_little_waits():
    started, most = [], []

    def work(part: int) -> int:
        started.append(part)
        time.sleep(0.001 * (part % 3))
        return part

    for count, part in enumerate(in_order(work, range(30), 3), start=1):
        assert part == count - 1
        most.append(len(started) - count)
    assert max(most) <= 6


def test_settings_of_torch_are_as_before_and_others_meanwhile(tmp_path):
    import torch

    def state() -> tuple[int, bool]:
        return torch.get_num_threads(), torch.backends.cudnn.allow_tf32

    def fail(fraction: float, text: str) -> None:
        seen.append(state())
        raise RuntimeError

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    before, seen = state(), []
    with pytest.raises(RuntimeError):
        embed(Numbers([1, 2]), echo(), cache=tmp_path, progress=fail)
    after = state()
    torch.set_num_threads(threads)
    assert seen == [(1, False)]
    assert after == before == (2, True)
