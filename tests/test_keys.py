"""Keys are a pure function of content; seeds of named axes."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.keys import canonical_json, digest, seed_for
from prunebench.tasks import Task

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=6), st.randoms())
def test_the_digest_does_not_depend_on_the_order_in_which_keys_were_written(value, random):
    items = list(value.items())
    random.shuffle(items)
    assert digest(dict(items)) == digest(value)


@given(JSON)
def test_canonical_json_is_json_that_reads_back_as_the_same_value(value):
    assert json.loads(canonical_json(value)) == value


@given(JSON, JSON)
def test_different_values_have_different_digests(a, b):
    assert (digest(a) == digest(b)) == (canonical_json(a) == canonical_json(b))


def test_not_a_number_has_no_canonical_form():
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"learning_rate": float("nan")})


def test_a_seed_depends_on_every_named_axis_and_on_the_stage():
    seeds = {
        seed_for("train", 0, arch="a", seed=0),
        seed_for("train", 0, arch="a", seed=1),
        seed_for("train", 0, arch="b", seed=0),
        seed_for("train", 1, arch="a", seed=0),
        seed_for("scores", 0, arch="a", seed=0),
    }
    assert len(seeds) == 5
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_a_seed_does_not_depend_on_the_order_of_the_axes():
    assert seed_for("train", 0, arch="a", seed=1) == seed_for("train", 0, seed=1, arch="a")


def test_the_key_of_a_task_changes_with_its_inputs_and_not_with_where_files_lie():
    upstream = Task("features", {"arch": "a"})
    task = Task("scores", {"scorer": "x"}, {"features": upstream})
    assert task.key != Task("scores", {"scorer": "x"}, {"features": Task("features", {"arch": "b"})}).key
    assert upstream.key == Task("features", {"arch": "a"}, locators={"weights_file": "/elsewhere"}).key


def test_a_task_survives_the_way_to_a_worker():
    task = Task("scores", {"scorer": "x", "params": {"k": 5}}, {"features": Task("features", {"arch": "a"})})
    assert msgspec.convert(json.loads(json.dumps(task.to_json())), Task).key == task.key
