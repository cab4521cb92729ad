"""A plugin that breaks one promise fails exactly the check of it, and each check has one that does."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from broken_entries import FEATURES, GOOD, LABELLED, SLOW, other, scorer
from prunebench import (
    BackboneSpec,
    DatasetSpec,
    ExecutorSpec,
    LearnerSpec,
    MetricSpec,
    Param,
    ProjectorSpec,
    SelectorSpec,
)
from prunebench.plugins import Entry
from prunebench.testing import Examiner, assert_conformant, checks_for, count, examine
from prunebench.testing.checks import all_checks


@pytest.fixture(scope="module")
def here() -> Iterator[Examiner]:
    """Checks in this process, which is quick."""
    with Examiner(in_process=True) as made, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        yield made


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Examiner]:
    """Checks in a process of their own, for what ends its process."""
    with Examiner(seconds=60) as made:
        yield made


def failed(entry: Entry, examiner: Examiner, wanted: str = "") -> dict[str, str]:
    """Return the checks that an entry fails, with the reasons; slow ones are made when they are wanted."""
    names = [c.name for c in checks_for(entry.spec.kind) if c.name not in SLOW or c.name == wanted]
    # A name of its own, because the examiner remembers for each plugin which gate it failed.
    results = list(examine(renamed(entry), names, examiner=examiner))
    assert {r.origin for r in results} == {entry.origin}
    return {result.check: result.reason for result in results if result.status == "failed"}


def renamed(entry: Entry) -> Entry:
    function = entry.spec.load.partition(":")[2].lower().replace(".", "-")
    fields = sorted(str(v) for v in vars(entry.spec).values() if isinstance(v, bool | str))
    return Entry(replace(entry.spec, name=f"{function}-{abs(hash(tuple(fields)))}"), entry.origin)


@pytest.mark.parametrize("title", GOOD)
def test_a_good(title, here):
    entry = renamed(GOOD[title])
    names = [c.name for c in checks_for(entry.spec.kind) if c.name not in SLOW or title == "scorer with a deadline"]
    results = list(examine(entry, names, examiner=here))
    assert_conformant(results, min_run=2 * len(results) // 3)
    assert count(results)["not_run"] == 0


def labelled(labeller: str, **fields) -> Entry:
    return scorer("doubts_its_labels", **{**LABELLED, "labeller": f"broken_scorers:{labeller}"}, **fields)


DECLARATION, RUN, FORM = (
    "check_declaration_is_complete",
    "check_run_ends_normally",
    "check_result_has_the_promised_form",
)
EVIDENCE, SEED, ODD = (
    "check_evidence_is_left_unchanged",
    "check_same_seed_gives_the_same_result",
    "check_odd_inputs_are_accepted",
)
OUTSIDE = "check_nothing_outside_the_work_folder_is_touched"
LABELS = {"needs": frozenset({"features", "labels"})}
BROKEN_SCORERS = [
    (DECLARATION, scorer("centred", cost="n^3"), "cost = 'n^3'"),
    (
        DECLARATION,
        scorer("centred", params={"k": Param(default=5, maximum=3, doc="Neighbours.")}),
        "default 5: expected at most 3",
    ),
    (DECLARATION, scorer("centred", params={"k": Param(default=5, doc="")}), "it has no doc"),
    (RUN, scorer("nothing_here"), "cannot be loaded"),
    (RUN, scorer("NOT_CALLABLE"), "not callable"),
    (RUN, labelled("nothing_here"), "cannot be loaded from 'broken_scorers:nothing_here'"),
    (RUN, labelled("thirds_as_float"), "expected pseudo-labels int64 [120] in 0..119, got float64 [120]"),
    (RUN, labelled("thirds_from_one"), "got labels in 0..120"),
    (RUN, labelled("thirds_of_what_was_learnt"), "read 'dynamics', which it did not declare"),
    (SEED, labelled("thirds_without_a_seed", stochastic=True), "draw from ctx.rng"),
    (RUN, scorer("raises"), "KeyError: 'labels' (broken_scorers.py:"),
    (RUN, scorer("exits"), "it called sys.exit(3) (broken_scorers.py:"),
    (RUN, scorer("exits_hard"), "ended with exit code 4"),
    (RUN, scorer("segfaults"), "was killed by SIGSEGV"),
    ("check_only_declared_evidence_is_read", scorer("reads_undeclared_logits"), "add 'logits' to `needs`"),
    ("check_only_declared_evidence_is_read", scorer("reads_the_budget"), "set budget_dependent=True"),
    (RUN, scorer("writes_into_its_evidence"), "read-only (broken_scorers.py:"),
    (EVIDENCE, scorer("makes_its_evidence_writable"), "it changed features"),
    (EVIDENCE, scorer("returns_a_view"), "a view of features"),
    (FORM, scorer("returns_float32"), "got float32 [120]"),
    (FORM, scorer("returns_one_too_few"), "got float64 [119]"),
    (FORM, scorer("returns_a_column"), "got float64 [120, 1]"),
    (FORM, scorer("returns_a_list"), "got list"),
    (FORM, scorer("returns_no_permutation", output="order"), "each of 0..119 once"),
    (FORM, scorer("excludes_by_number"), "excluded: expected bool [120], got int64"),
    (FORM, scorer("returns_nan"), "expected float64 [120], got 1 of 120 that are not finite"),
    (SEED, scorer("draws_without_a_seed", needs=frozenset(), stochastic=True), "draw from ctx.rng"),
    (SEED, scorer("seeds_numpy"), "the generator of numpy.random"),
    (SEED, scorer("draws_from_python"), "the generator of random"),
    ("check_another_process_gives_the_same_result", scorer("depends_on_the_hash_seed"), "set or dict"),
    ("check_stochastic_is_declared_truthfully", scorer("draws", needs=frozenset()), "declare stochastic=True"),
    ("check_stochastic_is_declared_truthfully", scorer("centred", stochastic=True), "it ignores its seed"),
    ("check_budget_matters_where_it_is_declared", scorer("centred", budget_dependent=True), "the same scores"),
    ("check_row_order_does_not_matter", scorer("depends_on_the_row"), "come in another order"),
    (
        "check_row_order_does_not_matter",
        scorer("draws_and_depends_on_the_row", stochastic=True),
        "agree to 1.00 from seed to seed, and to -0",
    ),
    (
        "check_names_of_labels_do_not_matter",
        scorer("depends_on_the_number_of_the_class", needs=frozenset({"labels"})),
        "numbered differently",
    ),
    (ODD, scorer("fails_for_duplicates"), "(where every sample occurs twice)"),
    (ODD, scorer("fails_for_constant_features"), "singular matrix (where all samples look the same)"),
    (ODD, scorer("fails_for_one_class", **LABELS), "needs two classes (where there is one class)"),
    (ODD, scorer("fails_for_small_classes", **LABELS), "(where classes have one, two and three samples)"),
    (ODD, scorer("fails_for_half_precision"), "no float16 (where evidence is float16)"),
    (ODD, scorer("fails_for_few_samples"), "(where there are 1 samples)"),
    ("check_nan_is_refused", scorer("crashes_for_nan"), "did not converge"),
    ("check_nan_is_refused", scorer("passes_nan_on"), "that are not finite"),
    ("check_direction_is_as_declared", scorer("centred", favours="easy"), "the mean ranks (1 = kept first)"),
    ("check_direction_is_as_declared", scorer("copies_first", favours="diverse"), "favours = 'diverse'"),
    (OUTSIDE, scorer("writes_beside_its_folder"), "left.txt"),
    (OUTSIDE, scorer("makes_a_temporary_folder"), "it writes to"),
    (OUTSIDE, scorer("writes_into_an_open_folder"), f"it writes to {Path(tempfile.gettempdir()).resolve()}"),
    (OUTSIDE, scorer("opens_a_socket"), "socket.__new__"),
    (OUTSIDE, scorer("asks_for_an_address"), "socket.getaddrinfo"),
    (OUTSIDE, scorer("forks"), "os.fork"),
    ("check_memory_does_not_leak", scorer("leaks"), "more behind than the one before"),
    ("check_deadline_is_honoured", scorer("ignores_the_deadline"), "call ctx.check_deadline()"),
]
# A process that has freed a lot of memory takes new objects from there: a leak does not show in it.
NEED_A_PROCESS = {
    "exits_hard",
    "segfaults",
    "forks",
    "leaks",
    "writes_beside_its_folder",
    "seeds_numpy",
    "draws_from_python",
}
ALIKE = "check_a_picture_is_seen_alike_in_any_company"
PLANE, MODEL, NEEDS = {"stochastic": False}, {"check_model": "small"}, {"needs": FEATURES}
BROKEN_OTHERS = [
    (EVIDENCE, ProjectorSpec, "view_of_the_features", PLANE),
    (FORM, ProjectorSpec, "float64_plane", PLANE),
    (FORM, ProjectorSpec, "plane_with_infinity", PLANE),
    ("check_stochastic_is_declared_truthfully", ProjectorSpec, "plane", {"stochastic": True}),
    ("check_neighbours_stay_neighbours", ProjectorSpec, "scrambled_plane", PLANE),
    (ODD, ProjectorSpec, "refuses_duplicates", PLANE),
    (ODD, ProjectorSpec, "divides_by_the_spread", PLANE),
    (ODD, ProjectorSpec, "refuses_float16", PLANE),
    (ODD, ProjectorSpec, "needs_three_samples", PLANE),
    ("check_nan_is_refused", ProjectorSpec, "projects_nan", PLANE),
    ("check_budget_is_met_exactly", SelectorSpec, "one_too_many", {}),
    ("check_budget_is_met_exactly", SelectorSpec, "the_same_one", {}),
    ("check_budget_is_met_exactly", SelectorSpec, "best_first", {}),
    (ODD, SelectorSpec, "only_distinct_scores", {}),
    (ODD, SelectorSpec, "only_several_classes", {}),
    (ODD, SelectorSpec, "only_many_samples", {}),
    (ODD, SelectorSpec, "equal_shares", {}),
    ("check_excluded_samples_come_last", SelectorSpec, "ignores_exclusion", {}),
    ("check_data_set_is_valid", DatasetSpec, "no_sample_of_a_class", {}),
    ("check_data_set_is_valid", DatasetSpec, "float_images", {}),
    ("check_data_set_is_valid", DatasetSpec, "images", {"n_classes": 10}),
    ("check_data_set_is_valid", DatasetSpec, "the_same_ids_twice", {}),
    (SEED, DatasetSpec, "another_order_every_time", {}),
    ("check_only_declared_evidence_is_read", LearnerSpec, "asks_for_a_teacher", NEEDS),
    (FORM, LearnerSpec, "percent", NEEDS),
    (FORM, LearnerSpec, "keeps_no_weights", NEEDS),
    ("check_an_easy_problem_is_learnt", LearnerSpec, "learns_nothing", NEEDS),
    (ODD, LearnerSpec, "needs_two_classes", NEEDS),
    (ODD, LearnerSpec, "needs_a_batch", NEEDS),
    ("check_dynamics_have_the_promised_shape", LearnerSpec, "odds_for_dynamics", NEEDS),
    (RUN, BackboneSpec, "NOT_A_BACKBONE", MODEL),
    (FORM, BackboneSpec, "FLOAT64", MODEL),
    (FORM, BackboneSpec, "TEN_CLASSES", MODEL),
    (FORM, BackboneSpec, "NAN", MODEL),
    (SEED, BackboneSpec, "WEIGHTS_BY_CHANCE", MODEL),
    ("check_features_belong_to_the_image", BackboneSpec, "IN_TRAIN_MODE", MODEL),
    ("check_features_belong_to_the_image", BackboneSpec, "ONE_SEED", MODEL),
    ("check_a_built_network_can_be_trained", BackboneSpec, "BUILDS_FOR_TEN_CLASSES", MODEL),
    ("check_a_built_network_can_be_trained", BackboneSpec, "BUILDS_ONE_NETWORK", MODEL),
    (ALIKE, BackboneSpec, "GOOD", MODEL | {"pictures": "broken_backbones:NO_FACTS"}),
    (ALIKE, BackboneSpec, "GOOD", MODEL | {"pictures": "broken_backbones:SIZES_OF_THEIR_OWN"}),
    (ALIKE, BackboneSpec, "GOOD", MODEL | {"pictures": "broken_backbones:COMPANY"}),
    (ALIKE, BackboneSpec, "GOOD", MODEL | {"pictures": "broken_backbones:PICTURES_IN_FLOAT64"}),
    ("check_every_task_is_answered_once", ExecutorSpec, "AnswersTwice", {}),
    ("check_every_task_is_answered_once", ExecutorSpec, "CallsEverythingFine", {}),
    ("check_every_task_is_answered_once", ExecutorSpec, "StopsAtADeath", {}),
    ("check_every_task_is_answered_once", ExecutorSpec, "ClosesOnce", {}),
    ("check_every_task_is_answered_once", ExecutorSpec, "TakesTooMany", {}),
    ("check_slots_are_kept", ExecutorSpec, "ShowsEveryGpu", {}),
    ("check_an_interruption_leaves_nothing_behind", ExecutorSpec, "LeavesItsWorkers", {}),
    ("check_a_number_or_none_is_returned", MetricSpec, "text", {}),
    ("check_a_number_or_none_is_returned", MetricSpec, "nan", {}),
    ("check_a_number_or_none_is_returned", MetricSpec, "needs_a_cell", {}),
    ("check_a_number_or_none_is_returned", MetricSpec, "needs_class_accuracies", {}),
    ("check_the_same_cells_give_the_same_number", MetricSpec, "sorts_the_records", {}),
    ("check_the_same_cells_give_the_same_number", MetricSpec, "first_of_the_cells", {}),
    ("check_the_same_cells_give_the_same_number", MetricSpec, "draws", {}),
]


def title_of(case) -> str:
    function = case[1].spec.labeller or case[1].spec.load
    return f"{function.partition(':')[2]}-{case[0]}"


@pytest.mark.parametrize("case", BROKEN_SCORERS, ids=title_of)
def test_a_broken_scorer_fails_exactly_the_check_of_its_promise(case, here, elsewhere):
    check, entry, reason = case
    found = failed(entry, elsewhere if entry.spec.load.partition(":")[2] in NEED_A_PROCESS else here, check)
    assert list(found) == [check]
    assert reason in found[check]


@pytest.mark.parametrize("case", BROKEN_OTHERS, ids=lambda case: f"{case[1].kind}-{case[2]}")
def test_another_broken_plugin_fails_exactly_the_check_of_its_promise(case, here, elsewhere):
    check, kind, function, fields = case
    examiner = elsewhere if kind is ExecutorSpec else here  # what dies there leaves pipes open
    assert list(failed(other(kind, function, **fields), examiner, check)) == [check]


def test_every_check_has_a_plugin_that_breaks_it():
    assert {check for check, *_ in (*BROKEN_SCORERS, *BROKEN_OTHERS)} == set(all_checks())
