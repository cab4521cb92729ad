"""Records merge without losing one, and a contradiction is never settled in silence."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.errors import DataError, ResultConflict, SchemaTooNew, StoreError
from prunebench.records import coordinates, merge, read_records, record_file, write_records


def cell(**fields):
    base = {
        "schema": 1, "kind": "cell", "suite": "s", "dataset": "d", "method": "m", "score_backbone": "b",
        "projector": "-",
        "keep": "0.1", "train_arch": "a", "recipe": "r", "seed": 0, "key": "k0", "status": "ok", "accuracy": 0.5,
        "attempt": 1,
    }  # fmt: skip
    return {**base, **fields}


def test_a_record_belongs_to_the_file_of_its_method(tmp_path):
    assert record_file(tmp_path, cell()) == tmp_path / "s" / "d" / "m.jsonl"


@given(st.permutations([cell(seed=seed, key=f"k{seed}") for seed in range(6)]))
def test_the_file_does_not_depend_on_the_order_in_which_cells_finished(records):
    merged, replaced = merge([], records, tolerance=0)
    assert [record["key"] for record in merged] == [f"k{seed}" for seed in range(6)]
    assert replaced == 0


def test_merging_the_same_records_again_changes_nothing():
    once, _ = merge([], [cell(), cell(seed=1, key="k1")], tolerance=0)
    assert merge(once, once, tolerance=0) == (once, 0)


def test_the_first_result_of_a_key_stays_when_a_repeat_is_within_the_tolerance():
    merged, _ = merge([cell()], [cell(accuracy=0.51, started="later")], tolerance=0.02)
    assert merged == [cell()]


def test_a_repeat_that_contradicts_a_result_is_refused():
    with pytest.raises(ResultConflict, match=r"accuracy 0\.6 now, 0\.5 in the results") as caught:
        merge([cell()], [cell(accuracy=0.6)], tolerance=0.02)
    assert caught.value.exit_code == 6


def test_a_contradiction_is_replaced_only_with_a_reason_that_is_kept():
    merged, _ = merge([cell()], [cell(accuracy=0.6)], tolerance=0.02, supersede="wrong transform before")
    assert (merged[0]["attempt"], merged[0]["superseded"]) == (2, "wrong transform before")


def test_a_result_of_an_older_version_gives_way_and_is_counted():
    merged, replaced = merge([cell(key="old")], [cell(key="new", accuracy=0.9)], tolerance=0)
    assert (merged[0]["key"], replaced) == ("new", 1)


def test_a_failure_gives_way_to_a_result_and_never_the_other_way_round():
    failed = cell(status="failed", accuracy=None)
    assert merge([failed], [cell()], tolerance=0)[0] == [cell()]
    assert merge([cell()], [failed], tolerance=0)[0] == [cell()]


def test_records_survive_the_file(tmp_path):
    path = tmp_path / "deep" / "m.jsonl"
    write_records(path, [cell(status_reason="ä\u2028b")])
    assert read_records(path) == [cell(status_reason="ä\u2028b")]
    assert path.read_bytes().endswith(b"\n")
    assert [p.name for p in path.parent.iterdir()] == ["m.jsonl"]


@pytest.mark.parametrize("line", ["{", "[]", '{"schema": 1}', '{"schema": 1, "kind": "sell"}'])
def test_a_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(cell()) + "\n" + line + "\n")
    with pytest.raises(DataError, match=r"m\.jsonl, line 2"):
        read_records(path)


def test_a_record_of_a_newer_prunebench_is_refused(tmp_path):
    write_records(tmp_path / "m.jsonl", [cell(schema=99)])
    with pytest.raises(SchemaTooNew, match="schema 99"):
        read_records(tmp_path / "m.jsonl")


def test_results_that_cannot_be_written_say_where(tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(StoreError, match="results") as caught:
        write_records(tmp_path / "results" / "m.jsonl", [cell()])
    assert "--results" in caught.value.hint


def test_an_agreement_has_its_own_place():
    record = {
        "kind": "agreement",
        "method": "m",
        "projector": "-",
        "backbone_a": "x",
        "seed_a": 0,
        "backbone_b": "y",
        "seed_b": 1,
    }
    assert coordinates(record) == ("m", "-", "x", 0, "y", 1)
