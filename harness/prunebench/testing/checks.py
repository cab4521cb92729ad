"""Which checks a kind of plugin has to pass, in the order in which they are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prunebench.plugins import Entry
from prunebench.testing import (
    behaviour,
    datasets,
    declaration,
    executors,
    inputs,
    metrics,
    networks,
    projectors,
    scorers,
    selectors,
)

Function = Callable[[Entry[Any]], Mapping[str, Any] | None]


@dataclass(frozen=True)
class Check:
    """One promise: its function, and whether the later checks make no sense where it is broken.

    is_optional: a gate that those pass through to which it does not apply.
    """

    function: Function
    is_gate: bool = False
    is_optional: bool = False

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def promise(self) -> str:
        """The promise in one sentence."""
        return " ".join((self.function.__doc__ or "").split())


_DECLARED: tuple[Function, ...] = (
    declaration.check_declaration_is_complete,
    declaration.check_parameters_are_documented_and_their_defaults_allowed,
    declaration.check_declaration_is_read_without_numerical_libraries,
    declaration.check_implementation_can_be_imported,
)
_RUNS: tuple[Function, ...] = (behaviour.check_run_ends_normally, behaviour.check_evidence_is_left_unchanged)
_REPEATABLE: tuple[Function, ...] = (
    behaviour.check_same_seed_gives_the_same_result,
    declaration.check_another_process_gives_the_same_result,
)
_LASTING: tuple[Function, ...] = (
    behaviour.check_state_of_the_process_is_left_unchanged,
    behaviour.check_nothing_outside_the_work_folder_is_touched,
    behaviour.check_memory_does_not_leak,
)
_FORM = inputs.check_result_has_the_promised_form
_GATES = {
    declaration.check_implementation_can_be_imported,
    behaviour.check_run_ends_normally,
    behaviour.check_evidence_is_left_unchanged,
    behaviour.check_same_seed_gives_the_same_result,
    _FORM,
    scorers.check_only_declared_evidence_is_read,
    scorers.check_pseudo_labels_have_the_promised_form,
    selectors.check_budget_is_met_exactly,
    datasets.check_data_set_is_valid,
    datasets.check_loading_twice_gives_the_same_content,
    metrics.check_a_number_or_none_is_returned,
    executors.check_every_task_is_answered_once,
}
_OPTIONAL = {scorers.check_pseudo_labels_have_the_promised_form, behaviour.check_evidence_is_left_unchanged}
_BY_KIND: Mapping[str, tuple[Function, ...]] = {
    "scorer": (
        *_DECLARED,
        scorers.check_pseudo_labels_have_the_promised_form,
        behaviour.check_run_ends_normally,
        declaration.check_default_selector_exists_and_takes_its_parameters,
        behaviour.check_evidence_is_left_unchanged,
        scorers.check_only_declared_evidence_is_read,
        _FORM,
        *_REPEATABLE,
        behaviour.check_stochastic_is_declared_truthfully,
        scorers.check_diagnostics_can_be_stored,
        scorers.check_budget_matters_where_it_is_declared,
        scorers.check_row_order_does_not_matter,
        scorers.check_names_of_labels_do_not_matter,
        inputs.check_duplicates_are_accepted,
        inputs.check_equal_samples_are_accepted,
        inputs.check_one_class_is_accepted,
        inputs.check_small_classes_are_accepted,
        inputs.check_collinear_features_are_accepted,
        inputs.check_half_precision_is_accepted,
        inputs.check_few_samples_are_accepted,
        inputs.check_nan_is_refused,
        scorers.check_direction_is_as_declared,
        *_LASTING,
        behaviour.check_deadline_is_honoured,
    ),
    "projector": (
        *_DECLARED, *_RUNS, _FORM, *_REPEATABLE,
        behaviour.check_stochastic_is_declared_truthfully,
        projectors.check_rows_follow_the_samples,
        projectors.check_neighbours_stay_neighbours,
        inputs.check_duplicates_are_accepted,
        inputs.check_equal_samples_are_accepted,
        inputs.check_half_precision_is_accepted,
        inputs.check_few_samples_are_accepted,
        inputs.check_nan_is_refused,
        *_LASTING,
        behaviour.check_deadline_is_honoured,
    ),
    "selector": (
        *_DECLARED, *_RUNS,
        selectors.check_budget_is_met_exactly,
        *_REPEATABLE,
        behaviour.check_stochastic_is_declared_truthfully,
        inputs.check_equal_samples_are_accepted,
        inputs.check_one_class_is_accepted,
        inputs.check_small_classes_are_accepted,
        inputs.check_few_samples_are_accepted,
        selectors.check_excluded_samples_come_last,
        *_LASTING,
    ),
    "dataset": (
        *_DECLARED,
        behaviour.check_run_ends_normally,
        datasets.check_data_set_is_valid,
        datasets.check_arrays_have_the_promised_types,
        datasets.check_loading_twice_gives_the_same_content,
        declaration.check_another_process_gives_the_same_result,
        datasets.check_number_of_classes_is_as_declared,
        datasets.check_train_and_test_share_no_sample,
        datasets.check_channel_statistics_fit_the_images,
        datasets.check_missing_files_are_explained,
        *_LASTING,
    ),
    "backbone": (
        *_DECLARED, *_RUNS, _FORM, *_REPEATABLE,
        networks.check_features_of_an_image_depend_on_no_other,
        networks.check_images_and_seed_decide_the_features,
        networks.check_a_built_network_can_be_trained,
        *_LASTING,
    ),
    "learner": (
        *_DECLARED, *_RUNS, _FORM, *_REPEATABLE,
        networks.check_an_easy_problem_is_learnt,
        inputs.check_one_class_is_accepted,
        inputs.check_few_samples_are_accepted,
        networks.check_weights_are_returned_when_asked_for,
        networks.check_dynamics_have_the_promised_shape,
        *_LASTING,
        behaviour.check_deadline_is_honoured,
    ),
    "executor": (
        *_DECLARED,
        executors.check_every_task_is_answered_once,
        executors.check_the_death_of_a_worker_loses_one_task,
        executors.check_close_with_kill_stops_what_runs,
        executors.check_close_may_be_called_again,
    ),
    "metric": (
        *_DECLARED,
        metrics.check_a_number_or_none_is_returned,
        metrics.check_records_are_left_unchanged,
        metrics.check_the_same_cells_give_the_same_number,
        metrics.check_few_cells_are_accepted,
        metrics.check_missing_class_accuracies_are_accepted,
    ),
}  # fmt: skip
_CHECKS = {
    kind: tuple(Check(function, function in _GATES, function in _OPTIONAL) for function in functions)
    for kind, functions in _BY_KIND.items()
}


def checks_for(kind: str) -> tuple[Check, ...]:
    """Return the checks of a kind ("scorer", ...), in their order."""
    return _CHECKS[kind]


def find_check(kind: str, name: str) -> Check:
    """Return the check of that name, or what one process asks another for a check."""
    extra = Check(declaration.fingerprint_of_a_run)
    return next(check for check in (*_CHECKS[kind], extra) if check.name == name)


def all_checks() -> dict[str, Check]:
    """Return every check by name, in the order of kinds."""
    return {check.name: check for checks in _CHECKS.values() for check in checks}
