"""Records merge without losing one, and a contradiction is never settled in silence."""

from __future__ import annotations

import math
import multiprocessing
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from prunebench.errors import DataError, ResultConflict, SchemaTooNew, StoreError
from prunebench.keys import jsonable
from prunebench.records import (
    AGREEMENT_TOLERANCE,
    decode,
    encode,
    merge,
    read_records,
    read_results,
    update_file,
    write_records,
)
from records_of import agreement, cell, key_of

FAILURES = ("failed", "oom", "timeout", "diverged", "interrupted")


def test_a_record_belongs_to_the_file_of_its_method():
    assert cell().file == Path("s/d/m.jsonl")
    assert agreement().file == Path("s/d/agreement.jsonl")


def test_one_place_is_one_record_however_the_budget_is_written_and_whichever_score_comes_first():
    assert cell(keep="0.10").place == cell(keep="0.1").place
    one, other = agreement(), agreement(backbone_a="c", backbone_b="b")
    assert one.place == other.place
    assert agreement(seed_a=1, seed_b=1).place != one.place


@given(st.permutations([cell(seed=seed, key=key_of(seed)) for seed in range(6)]))
def test_the_file_does_not_depend_on_the_order_in_which_cells_finished(records):
    merged, replaced = merge([], records)
    assert merged == sorted(records, key=lambda record: record.key)
    assert replaced == 0


def test_merging_the_same_records_again_changes_nothing():
    once, _ = merge([], [cell(), cell(seed=1), agreement()])
    assert merge(once, once) == (once, 0)


def test_the_first_result_of_a_key_stays_when_a_repeat_is_within_the_tolerance_of_its_recipe():
    repeat = cell(accuracy=0.51, started="later")
    assert merge([cell()], [repeat], tolerance={"r": 0.02})[0] == [cell()]
    with pytest.raises(ResultConflict):
        merge([cell()], [repeat], tolerance={"another": 0.02})


def test_a_repeat_that_contradicts_a_result_is_refused():
    with pytest.raises(ResultConflict, match=r"differs by 0\.1 from the result in s/d/m\.jsonl") as caught:
        merge([cell()], [cell(accuracy=0.6)], tolerance={"r": 0.02})
    assert caught.value.exit_code == 6
    far = agreement(within_class_spearman=0.5 + 2 * AGREEMENT_TOLERANCE)
    with pytest.raises(ResultConflict):
        merge([agreement()], [far])


def test_a_contradiction_is_replaced_only_with_a_reason_that_is_kept():
    merged, _ = merge([cell()], [cell(accuracy=0.6)], supersede="wrong transform before")
    assert (merged[0].attempt, merged[0].superseded) == (2, "wrong transform before")


def test_a_result_of_an_older_version_gives_way_and_is_counted():
    newer = cell(key=key_of("new"), accuracy=0.9)
    assert merge([cell()], [newer]) == ([newer], 1)


@pytest.mark.parametrize("status", FAILURES)
@pytest.mark.parametrize("key", [cell().key, key_of("new")], ids=["same key", "new key"])
def test_a_failure_gives_way_to_a_result_and_never_the_other_way_round(status, key):
    failed = cell(status=status, key=key)
    assert merge([failed], [cell()])[0] == [cell()]
    assert merge([cell()], [failed])[0] == [cell()]
    assert merge([failed, cell()], [])[0] == merge([cell(), failed], [])[0] == [cell()]


def test_a_method_that_declines_takes_the_place_of_a_failure_and_not_of_a_result():
    declined = cell(status="not_applicable", status_reason="only for faces")
    assert merge([cell(status="failed")], [declined])[0] == [declined]
    assert merge([cell()], [declined])[0] == [cell()]
    assert merge([declined], [cell()])[0] == [cell()]


@given(st.lists(st.sampled_from([*FAILURES, "ok", "not_applicable"]), min_size=1, max_size=6), st.data())
def test_whatever_comes_in_whatever_order_a_result_that_was_there_is_there(statuses, data):
    records = [cell(status=status, key=key_of(data.draw(st.integers(0, 1)))) for status in statuses]
    merged: list = []
    for record in records:
        merged, _ = merge(merged, [record])
    assert len(merged) == 1
    assert (merged[0].status == "ok") == ("ok" in statuses)


def test_records_survive_the_file(tmp_path):
    path = tmp_path / "deep" / "m.jsonl"
    record = cell(status_reason="ä\u2028b", diagnostics={"n": 3, "share": 0.1, "name": "x", "none": None, "flag": True})
    write_records(path, [record])
    assert read_records(path) == [record]
    assert path.read_bytes().endswith(b"\n")
    assert [p.name for p in path.parent.iterdir()] == ["m.jsonl"]


DAMAGE = {
    "half a line": lambda text: text[: len(text) // 2],
    "a list": lambda text: "[]",
    "nothing": lambda text: "",
    "no key": lambda text: text.replace('"key":', '"kay":'),
    "another kind": lambda text: text.replace('"kind":"cell"', '"kind":"sell"'),
    "an accuracy in percent": lambda text: text.replace('"accuracy":0.5', '"accuracy":50.0'),
    "an accuracy that is text": lambda text: text.replace('"accuracy":0.5', '"accuracy":"0.5"'),
    "a result without accuracy": lambda text: text.replace('"accuracy":0.5', '"accuracy":null'),
    "not a number": lambda text: text.replace('"accuracy":0.5', '"accuracy":NaN'),
    "a budget of ten": lambda text: text.replace('"keep":"0.1"', '"keep":"10"'),
    "a budget with an exponent": lambda text: text.replace('"keep":"0.1"', '"keep":"1e-999999999"'),
    "a budget with spaces": lambda text: text.replace('"keep":"0.1"', '"keep":" 0.1"'),
    "a budget in other digits": lambda text: text.replace('"keep":"0.1"', '"keep":"\u0660.\u0661"'),
    "a field twice": lambda text: text.replace('"accuracy":0.5', '"accuracy":0.4,"accuracy":0.5'),
    "a diagnostic twice": lambda text: text.replace('"diagnostics":{}', '"diagnostics":{"a":1,"a":2}'),
    "a path for a name": lambda text: text.replace('"suite":"s"', '"suite":"../../s"'),
    "a huge number": lambda text: text.replace('"seed":0', '"seed":1' + "0" * 5000),
    "deep nesting": lambda text: text.replace('"diagnostics":{}', '"diagnostics":' + "[" * 10000 + "]" * 10000),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_line_is_named(tmp_path, damage):
    path = tmp_path / "m.jsonl"
    text = DAMAGE[damage](encode(cell()))
    assert text != encode(cell())
    path.write_text(encode(cell(seed=1)) + "\n" + text + "\n")
    with pytest.raises(DataError, match=r"m\.jsonl, line 2: "):
        read_records(path)


def test_a_file_that_is_not_text_is_named(tmp_path):
    (tmp_path / "m.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"m\.jsonl, line 1: is not UTF-8"):
        read_records(tmp_path / "m.jsonl")


def test_a_pipe_or_a_folder_in_place_of_a_file_is_named_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(DataError, match=rf"{name}\.jsonl is no file that can be read"):
            read_records(tmp_path / f"{name}.jsonl")


@pytest.mark.parametrize("copy", ["tiny-backup/d/m.jsonl", "s/d-old/m.jsonl", "s/d/m (1).jsonl"])
def test_a_copy_in_the_folder_is_named_and_not_counted_a_second_time(tmp_path, copy):
    for path, accuracy in {"s/d/m.jsonl": 0.3, copy: 0.9}.items():
        write_records(tmp_path / path, [cell(accuracy=accuracy)])
    with pytest.raises(DataError, match=re.escape(f"{copy}, line 1: belongs to s/d/m.jsonl")):
        read_results(tmp_path)


def test_two_lines_about_one_cell_are_named_and_not_averaged(tmp_path):
    path = tmp_path / "s" / "d" / "m.jsonl"
    write_records(path, [cell(seed=1), cell(accuracy=0.3), cell(accuracy=0.9, keep="0.10")])
    with pytest.raises(DataError, match=r"m\.jsonl, line 3: is about the same cell as line 2"):
        read_results(tmp_path)


def test_a_record_of_a_newer_schema_asks_for_an_update(tmp_path):
    (tmp_path / "m.jsonl").write_text(encode(cell()).replace('"schema":2', '"schema":3,"new":1') + "\n")
    with pytest.raises(SchemaTooNew, match="line 1: has schema 3"):
        read_records(tmp_path / "m.jsonl")


@pytest.mark.parametrize(("old", "new"), [('"backbone_b":"c"', '"backbone_b":"b"'), ('"seed_b":0', '"seed_b":1')])
def test_a_comparison_is_of_two_backbones_or_of_two_seeds(old, new):
    with pytest.raises(ValueError, match="expected two backbones at one seed"):
        decode(encode(agreement()).replace(old, new))


def _add(path: Path, seed: int, barrier) -> None:
    barrier.wait()
    update_file(path, [cell(seed=seed)])


def test_writers_of_one_file_lose_nothing_of_each_other(tmp_path):
    path, n = tmp_path / "m.jsonl", 12
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(n)
    writers = [context.Process(target=_add, args=(path, seed, barrier)) for seed in range(n)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * n
    assert {record.seed for record in read_records(path)} == set(range(n))


def test_a_damaged_file_is_never_overwritten(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text("{\n")
    with pytest.raises(DataError):
        update_file(path, [cell()])
    assert path.read_text() == "{\n"


def test_results_that_cannot_be_written_say_where_to_put_them(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        update_file(tmp_path / "file" / "m.jsonl", [cell()])
    assert "--results" in caught.value.hint


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [(np.float32(0.5), 0.5), (np.int64(3), 3), (np.bool_(True), True), (np.array(2.0), 2.0), (math.nan, None),
     (np.float64("inf"), None), ("text", "text"), (None, None), ([1, math.nan], [1, None]),
     ({"a": np.int8(2)}, {"a": 2}), (np.longdouble(1.5), 1.5), ("half \ud800", "half \\ud800")],
)  # fmt: skip
def test_a_diagnostic_becomes_a_plain_value(given_value, expected):
    found = jsonable(given_value, "x")
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    "value", [np.arange(3), [1, object()], {"a": 1j}, object(), 1j], ids=lambda value: type(value).__name__
)
def test_what_is_no_number_or_text_is_refused_by_its_name(value):
    with pytest.raises(TypeError, match="'share'"):
        jsonable(value, "diagnostic 'share'")


def test_a_record_is_written_in_one_way():
    record = replace(cell(), caveat="a b")
    assert encode(decode(encode(record))) == encode(record)
    assert list(decode(encode(record)).__struct_fields__) == list(record.__struct_fields__)
