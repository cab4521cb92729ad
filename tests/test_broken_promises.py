"""A plugin that breaks one promise fails exactly the check of it, and each check has one that does."""

from __future__ import annotations

from dataclasses import replace

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
def examiner():
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
def test_a_good(title, examiner):
    entry = renamed(GOOD[title])
    is_thorough = title == "scorer with a deadline"
    names = [c.name for c in checks_for(entry.spec.kind) if c.name not in SLOW or is_thorough]
    results = list(examine(entry, names, examiner=examiner))
    assert_conformant(results, min_run=2 * len(results) // 3)
    assert count(results)["not_run"] == 0


BROKEN_SCORERS = [
    ("check_declaration_is_complete", scorer("centred", summary="No stop"), "expected one sentence"),
    ("check_declaration_is_complete", scorer("centred", cost="n^3"), "cost = 'n^3'"),
    (
        "check_parameters_are_documented_and_their_defaults_allowed",
        scorer("centred", params={"k": Param(default=5, maximum=3, doc="Neighbours.")}),
        "its default 5 is not allowed: expected at most 3",
    ),
    (
        "check_parameters_are_documented_and_their_defaults_allowed",
        scorer("centred", params={"k": Param(default=5, doc="")}),
        "'k' has no doc",
    ),
    ("check_implementation_can_be_imported", scorer("nothing_here"), "cannot be loaded"),
    ("check_implementation_can_be_imported", scorer("NOT_CALLABLE"), "is int, expected a function"),
    (
        "check_implementation_can_be_imported",
        scorer("doubts_its_labels", **{**LABELLED, "labeller": "broken_scorers:nothing_here"}),
        "cannot be loaded from 'broken_scorers:nothing_here'",
    ),
    *(
        (
            "check_pseudo_labels_have_the_promised_form",
            scorer("doubts_its_labels", **{**LABELLED, "labeller": f"broken_scorers:{labeller}"}),
            reason,
        )
        for labeller, reason in (
            ("thirds_as_float", "expected pseudo-labels int64 [120] in 0..119, got float64 [120]"),
            ("thirds_from_one", "got labels in 0..120"),
            ("thirds_of_what_was_learnt", "read 'dynamics', which it did not declare"),
        )
    ),
    (
        "check_same_seed_gives_the_same_result",
        scorer(
            "doubts_its_labels", **{**LABELLED, "labeller": "broken_scorers:thirds_without_a_seed"}, stochastic=True
        ),
        "draw from ctx.rng",
    ),
    ("check_run_ends_normally", scorer("raises"), "KeyError: 'labels' (broken_scorers.py:"),
    ("check_run_ends_normally", scorer("exits"), "it called sys.exit(3) (broken_scorers.py:"),
    ("check_run_ends_normally", scorer("exits_hard"), "ended with exit code 4"),
    ("check_run_ends_normally", scorer("segfaults"), "was killed by SIGSEGV"),
    (
        "check_default_selector_exists_and_takes_its_parameters",
        scorer("centred", selector="clas_top"),
        "did you mean 'class_top'?",
    ),
    (
        "check_default_selector_exists_and_takes_its_parameters",
        scorer("centred", selector="double_end", selector_params={"dorp": 0.1}),
        "did you mean 'drop'?",
    ),
    ("check_only_declared_evidence_is_read", scorer("reads_undeclared_logits"), "add 'logits' to `needs`"),
    ("check_only_declared_evidence_is_read", scorer("reads_the_budget"), "set budget_dependent=True"),
    ("check_evidence_is_left_unchanged", scorer("writes_into_its_evidence"), "read-only"),
    ("check_evidence_is_left_unchanged", scorer("makes_its_evidence_writable"), "it changed features"),
    ("check_evidence_is_left_unchanged", scorer("returns_a_view"), "a view of features"),
    ("check_result_has_the_promised_form", scorer("returns_float32"), "got float32 [120]"),
    ("check_result_has_the_promised_form", scorer("returns_one_too_few"), "got float64 [119]"),
    ("check_result_has_the_promised_form", scorer("returns_a_column"), "got float64 [120, 1]"),
    ("check_result_has_the_promised_form", scorer("returns_a_list"), "got list"),
    (
        "check_result_has_the_promised_form",
        scorer("returns_no_permutation", output="order"),
        "each of 0..119 once; 1 distinct came",
    ),
    ("check_result_has_the_promised_form", scorer("excludes_by_number"), "excluded: expected bool [120], got int64"),
    ("check_result_has_the_promised_form", scorer("returns_nan"), "1 of 120 values are not finite"),
    (
        "check_same_seed_gives_the_same_result",
        scorer("draws_without_a_seed", needs=frozenset(), stochastic=True),
        "draw from ctx.rng",
    ),
    ("check_another_process_gives_the_same_result", scorer("depends_on_the_hash_seed"), "set or dict"),
    (
        "check_stochastic_is_declared_truthfully",
        scorer("draws", needs=frozenset()),
        "declare stochastic=True",
    ),
    ("check_stochastic_is_declared_truthfully", scorer("centred", stochastic=True), "it ignores its seed"),
    ("check_diagnostics_can_be_stored", scorer("has_diagnostics_that_are_not_json"), "ndarray"),
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
    ("check_duplicates_are_accepted", scorer("fails_for_duplicates"), "values are not finite"),
    ("check_equal_samples_are_accepted", scorer("fails_for_constant_features"), "singular matrix"),
    (
        "check_one_class_is_accepted",
        scorer("fails_for_one_class", needs=frozenset({"features", "labels"})),
        "needs two classes",
    ),
    (
        "check_small_classes_are_accepted",
        scorer("fails_for_small_classes", needs=frozenset({"features", "labels"})),
        "values are not finite",
    ),
    ("check_collinear_features_are_accepted", scorer("fails_for_collinear_features"), "singular matrix"),
    ("check_half_precision_is_accepted", scorer("fails_for_half_precision"), "no float16"),
    ("check_few_samples_are_accepted", scorer("fails_for_few_samples"), "IndexError"),
    ("check_nan_is_refused", scorer("crashes_for_nan"), "did not converge; raise DataError"),
    ("check_nan_is_refused", scorer("passes_nan_on"), "values are not finite"),
    ("check_direction_is_as_declared", scorer("centred", favours="easy"), "the mean ranks (1 = kept first)"),
    ("check_direction_is_as_declared", scorer("copies_first", favours="diverse"), "favours = 'diverse'"),
    ("check_state_of_the_process_is_left_unchanged", scorer("seeds_numpy"), "the generator of numpy.random"),
    ("check_state_of_the_process_is_left_unchanged", scorer("draws_from_python"), "the generator of random"),
    ("check_state_of_the_process_is_left_unchanged", scorer("changes_the_environment"), "os.environ"),
    ("check_state_of_the_process_is_left_unchanged", scorer("changes_the_folder"), "the working directory"),
    ("check_nothing_outside_the_work_folder_is_touched", scorer("writes_beside_its_folder"), "left.txt"),
    ("check_nothing_outside_the_work_folder_is_touched", scorer("makes_a_temporary_folder"), "it writes to"),
    ("check_nothing_outside_the_work_folder_is_touched", scorer("opens_a_socket"), "socket.__new__"),
    ("check_nothing_outside_the_work_folder_is_touched", scorer("asks_for_an_address"), "socket.getaddrinfo"),
    ("check_nothing_outside_the_work_folder_is_touched", scorer("forks"), "os.fork"),
    ("check_memory_does_not_leak", scorer("leaks"), "more behind than the one before"),
    ("check_deadline_is_honoured", scorer("ignores_the_deadline"), "call ctx.check_deadline()"),
]
PLANE, MODEL, FORM = {"stochastic": False}, {"check_model": "small"}, "check_result_has_the_promised_form"
BROKEN_OTHERS = [
    ("check_evidence_is_left_unchanged", ProjectorSpec, "view_of_the_features", PLANE),
    ("check_result_has_the_promised_form", ProjectorSpec, "float64_plane", PLANE),
    ("check_result_has_the_promised_form", ProjectorSpec, "plane_with_infinity", PLANE),
    ("check_stochastic_is_declared_truthfully", ProjectorSpec, "plane", {"stochastic": True}),
    ("check_neighbours_stay_neighbours", ProjectorSpec, "scrambled_plane", PLANE),
    ("check_rows_follow_the_samples", ProjectorSpec, "plane_by_row", PLANE),
    ("check_duplicates_are_accepted", ProjectorSpec, "refuses_duplicates", PLANE),
    ("check_equal_samples_are_accepted", ProjectorSpec, "divides_by_the_spread", PLANE),
    ("check_half_precision_is_accepted", ProjectorSpec, "refuses_float16", PLANE),
    ("check_few_samples_are_accepted", ProjectorSpec, "needs_three_samples", PLANE),
    ("check_nan_is_refused", ProjectorSpec, "projects_nan", PLANE),
    ("check_budget_is_met_exactly", SelectorSpec, "one_too_many", {}),
    ("check_budget_is_met_exactly", SelectorSpec, "the_same_one", {}),
    ("check_budget_is_met_exactly", SelectorSpec, "best_first", {}),
    ("check_equal_samples_are_accepted", SelectorSpec, "only_distinct_scores", {}),
    ("check_one_class_is_accepted", SelectorSpec, "only_several_classes", {}),
    ("check_few_samples_are_accepted", SelectorSpec, "only_many_samples", {}),
    ("check_small_classes_are_accepted", SelectorSpec, "equal_shares", {}),
    ("check_excluded_samples_come_last", SelectorSpec, "ignores_exclusion", {}),
    ("check_data_set_is_valid", DatasetSpec, "no_sample_of_a_class", {}),
    ("check_arrays_have_the_promised_types", DatasetSpec, "float_images", {}),
    ("check_loading_twice_gives_the_same_content", DatasetSpec, "another_order_every_time", {}),
    ("check_number_of_classes_is_as_declared", DatasetSpec, "images", {"n_classes": 10}),
    ("check_train_and_test_share_no_sample", DatasetSpec, "the_same_ids_twice", {}),
    ("check_channel_statistics_fit_the_images", DatasetSpec, "statistics_of_another_set", {}),
    ("check_missing_files_are_explained", DatasetSpec, "no_explanation", {}),
    ("check_result_has_the_promised_form", LearnerSpec, "percent", {"needs": FEATURES}),
    ("check_an_easy_problem_is_learnt", LearnerSpec, "learns_nothing", {"needs": FEATURES}),
    ("check_one_class_is_accepted", LearnerSpec, "needs_two_classes", {"needs": FEATURES}),
    ("check_few_samples_are_accepted", LearnerSpec, "needs_a_batch", {"needs": FEATURES}),
    ("check_weights_are_returned_when_asked_for", LearnerSpec, "keeps_no_weights", {"needs": FEATURES}),
    ("check_dynamics_have_the_promised_shape", LearnerSpec, "odds_for_dynamics", {"needs": FEATURES}),
    ("check_implementation_can_be_imported", BackboneSpec, "NOT_A_BACKBONE", MODEL),
    (FORM, BackboneSpec, "FLOAT64", MODEL),
    (FORM, BackboneSpec, "TEN_CLASSES", MODEL),
    (FORM, BackboneSpec, "NAN", MODEL),
    ("check_same_seed_gives_the_same_result", BackboneSpec, "WEIGHTS_BY_CHANCE", MODEL),
    ("check_features_of_an_image_depend_on_no_other", BackboneSpec, "IN_TRAIN_MODE", MODEL),
    ("check_images_and_seed_decide_the_features", BackboneSpec, "ONE_SEED", MODEL),
    ("check_a_built_network_can_be_trained", BackboneSpec, "BUILDS_FOR_TEN_CLASSES", MODEL),
    ("check_a_built_network_can_be_trained", BackboneSpec, "BUILDS_ONE_NETWORK", MODEL),
    ("check_every_task_is_answered_once", ExecutorSpec, "AnswersTwice", {}),
    ("check_every_task_is_answered_once", ExecutorSpec, "CallsEverythingFine", {}),
    ("check_the_death_of_a_worker_loses_one_task", ExecutorSpec, "StopsAtADeath", {}),
    ("check_close_with_kill_stops_what_runs", ExecutorSpec, "LeavesWorkersRunning", {}),
    ("check_close_may_be_called_again", ExecutorSpec, "ClosesOnce", {}),
    ("check_a_number_or_none_is_returned", MetricSpec, "text", {}),
    ("check_a_number_or_none_is_returned", MetricSpec, "nan", {}),
    ("check_records_are_left_unchanged", MetricSpec, "sorts_the_records", {}),
    ("check_the_same_cells_give_the_same_number", MetricSpec, "first_of_the_cells", {}),
    ("check_the_same_cells_give_the_same_number", MetricSpec, "draws", {}),
    ("check_few_cells_are_accepted", MetricSpec, "needs_a_cell", {}),
    ("check_missing_class_accuracies_are_accepted", MetricSpec, "needs_class_accuracies", {}),
]


def title_of(case) -> str:
    function = case[1].spec.labeller or case[1].spec.load
    return f"{function.partition(':')[2]}-{case[0]}"


@pytest.mark.parametrize("case", BROKEN_SCORERS, ids=title_of)
def test_a_broken_scorer_fails_exactly_the_check_of_its_promise(case, examiner):
    check, entry, reason = case
    found = failed(entry, examiner, check)
    assert list(found) == [check]
    assert reason in found[check]


@pytest.mark.parametrize("case", BROKEN_OTHERS, ids=lambda case: f"{case[1].kind}-{case[2]}")
def test_another_broken_plugin_fails_exactly_the_check_of_its_promise(case, examiner):
    check, kind, function, fields = case
    assert list(failed(other(kind, function, **fields), examiner, check)) == [check]


def test_every_check_has_a_plugin_that_breaks_it():
    broken = {check for check, *_ in (*BROKEN_SCORERS, *BROKEN_OTHERS)}
    tested_with_entry_points = {"check_declaration_is_read_without_numerical_libraries"}
    assert broken | tested_with_entry_points == set(all_checks())
