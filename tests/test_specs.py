"""Declarations are checked when they are made, parameters when they are given."""

from __future__ import annotations

import pytest

from prunebench import Param, PluginContractError, ScoreContext, ScorerSpec
from prunebench.errors import UsageError

SPEC = ScorerSpec(
    name="mine",
    summary="A test.",
    load="x:y",
    params={
        "k": Param(default=5, doc="Neighbours.", minimum=1),
        "metric": Param(default="cosine", doc="Distance.", choices=("cosine", "euclidean")),
        "weight": Param(default=0.5, doc="Weight.", minimum=0, maximum=1),
    },
)


def test_defaults_are_filled_in_and_whole_numbers_are_accepted_for_fractions():
    assert SPEC.resolve_params({"weight": 1}) == {"k": 5, "metric": "cosine", "weight": 1.0}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kk": 3}, "no parameter 'kk'"),
        ({"k": 0}, "at least 1"),
        ({"k": 2.5}, "expected int, got float"),
        ({"k": True}, "expected int, got bool"),
        ({"metric": "manhattan"}, "expected one of 'cosine', 'euclidean'"),
        ({"weight": 1.5}, "at most 1"),
        ({"weight": "half"}, "expected float, got str"),
        ({"weight": float("nan")}, "expected a finite number"),
        ({"weight": -float("inf")}, "expected a finite number"),
        ({"k": 10**400}, "expected a finite number"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused(given, words):
    with pytest.raises(UsageError, match=words):
        SPEC.resolve_params(given)


def test_an_unknown_parameter_is_answered_with_the_nearest_name():
    with pytest.raises(UsageError) as caught:
        SPEC.resolve_params({"metrik": "cosine"})
    assert caught.value.hint == "did you mean 'metric'?"


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "Big"},
        {"load": "no_object"},
        {"needs": frozenset({"mind"})},
        {"labeller": "x:label"},
        {"needs": frozenset({"pseudo_labels"})},
    ],
)
def test_a_declaration_that_cannot_work_is_refused_at_once(fields):
    with pytest.raises(PluginContractError):
        ScorerSpec(**{"name": "mine", "summary": "A test.", "load": "x:y", **fields})


@pytest.mark.parametrize(
    "name", ["features", "logits", "labels", "projection", "pseudo_labels", "dynamics", "gradients", "pixels", "n_keep"]
)
def test_evidence_that_was_not_declared_cannot_be_read(name):
    with pytest.raises(PluginContractError, match="did not declare"):
        getattr(ScoreContext(n=3, n_classes=2, scorer="mine"), name)


LABELLED = {"needs": frozenset({"features", "pseudo_labels", "dynamics"}), "labeller": "x.labels:make"}


def test_a_labeller_reads_what_there_is_without_its_labels():
    spec = ScorerSpec(name="mine", summary="A test.", load="x:y", **LABELLED)
    assert spec.label_needs == {"features"}


def test_a_labeller_lies_in_the_package_whose_digest_is_the_version():
    with pytest.raises(PluginContractError, match="in another package"):
        ScorerSpec(name="mine", summary="A test.", load="other:y", **LABELLED)
    assert ScorerSpec(name="mine", summary="A test.", load="other:y", version="2", **LABELLED).version == "2"


def test_a_labeller_that_names_no_object_is_refused():
    with pytest.raises(PluginContractError, match="names no object"):
        ScorerSpec(name="mine", summary="A test.", load="x:y", **{**LABELLED, "labeller": "x"})
