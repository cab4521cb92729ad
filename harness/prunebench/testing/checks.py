"""Which checks a kind of plugin has to pass, in the order in which they are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prunebench.plugins import Entry
from prunebench.testing import (
    conduct,
    datasets,
    declaration,
    elsewhere,
    growth,
    learners,
    projectors,
    scorers,
    selectors,
)

Facts = Mapping[str, Any] | None


@dataclass(frozen=True)
class Check:
    """One promise: its function, and whether the later checks make no sense where it is broken.

    is_optional: a gate that those pass through to which it does not apply.
    """

    function: Callable[[Entry[Any]], Facts]
    is_gate: bool = False
    is_optional: bool = False

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def promise(self) -> str:
        """The promise in one sentence."""
        return " ".join((self.function.__doc__ or "").split())


_START = (
    Check(declaration.check_declaration_is_complete),
    Check(declaration.check_parameters_are_documented_and_their_defaults_allowed),
    Check(elsewhere.check_declaration_is_read_without_numerical_libraries),
    Check(conduct.check_implementation_can_be_imported, is_gate=True),
    Check(conduct.check_run_ends_normally, is_gate=True),
)
_CONDUCT = (
    Check(conduct.check_global_random_state_is_untouched),
    Check(conduct.check_settings_of_the_process_are_untouched),
    Check(conduct.check_nothing_is_printed),
    Check(conduct.check_nothing_is_written_outside_the_work_folder),
    Check(conduct.check_no_socket_is_opened),
    Check(conduct.check_nothing_is_left_running),
    Check(growth.check_memory_does_not_leak),
)
_REPEATABLE = (
    Check(conduct.check_same_seed_gives_the_same_result, is_gate=True),
    Check(conduct.check_another_process_gives_the_same_result),
)
_CHECKS: Mapping[str, tuple[Check, ...]] = {
    "scorer": (
        *_START[:-1],
        Check(scorers.check_pseudo_labels_have_the_promised_shape_and_type, is_gate=True, is_optional=True),
        _START[-1],
        Check(declaration.check_default_selector_exists_and_takes_its_parameters),
        Check(conduct.check_evidence_is_left_unchanged, is_gate=True),
        Check(scorers.check_only_declared_evidence_is_read, is_gate=True),
        Check(conduct.check_result_is_not_a_view_of_the_evidence, is_gate=True),
        Check(scorers.check_scores_have_the_promised_shape_and_type, is_gate=True),
        Check(scorers.check_scores_are_finite, is_gate=True),
        *_REPEATABLE,
        Check(conduct.check_stochastic_is_declared_truthfully),
        Check(scorers.check_diagnostics_can_be_stored),
        Check(scorers.check_budget_matters_where_it_is_declared),
        Check(scorers.check_row_order_does_not_matter),
        Check(scorers.check_names_of_labels_do_not_matter),
        Check(scorers.check_scores_are_finite_for_duplicates),
        Check(scorers.check_scores_are_finite_for_constant_features),
        Check(scorers.check_scores_are_finite_for_one_class),
        Check(scorers.check_scores_are_finite_for_small_classes),
        Check(scorers.check_scores_are_finite_for_collinear_features),
        Check(scorers.check_scores_are_finite_for_half_precision),
        Check(scorers.check_few_samples_are_scored_or_declined),
        Check(scorers.check_nan_is_refused_or_survived),
        Check(scorers.check_direction_is_as_declared),
        *_CONDUCT,
        Check(conduct.check_deadline_is_honoured),
        Check(growth.check_cost_is_as_declared),
    ),
    "projector": (
        *_START,
        Check(conduct.check_evidence_is_left_unchanged, is_gate=True),
        Check(conduct.check_result_is_not_a_view_of_the_evidence, is_gate=True),
        Check(projectors.check_projection_has_the_promised_shape_and_type, is_gate=True),
        Check(projectors.check_projection_is_finite, is_gate=True),
        *_REPEATABLE,
        Check(conduct.check_stochastic_is_declared_truthfully),
        Check(projectors.check_row_order_does_not_matter),
        Check(projectors.check_neighbours_stay_neighbours),
        Check(projectors.check_projection_is_finite_for_duplicates),
        Check(projectors.check_projection_is_finite_for_constant_features),
        Check(projectors.check_projection_is_finite_for_half_precision),
        Check(projectors.check_few_samples_are_projected_or_declined),
        Check(projectors.check_nan_is_refused),
        *_CONDUCT,
        Check(conduct.check_deadline_is_honoured),
    ),
    "selector": (
        *_START,
        Check(conduct.check_evidence_is_left_unchanged, is_gate=True),
        Check(selectors.check_budget_is_met_exactly, is_gate=True),
        *_REPEATABLE,
        Check(conduct.check_stochastic_is_declared_truthfully),
        Check(selectors.check_indices_are_sorted),
        Check(selectors.check_budget_is_met_when_all_scores_are_equal),
        Check(selectors.check_budget_is_met_for_one_class),
        Check(selectors.check_budget_is_met_for_few_samples),
        Check(selectors.check_budget_is_met_for_unequal_classes),
        Check(selectors.check_excluded_samples_come_last),
        *_CONDUCT,
    ),
    "dataset": (
        *_START,
        Check(datasets.check_data_set_is_valid, is_gate=True),
        Check(datasets.check_arrays_have_the_promised_types),
        Check(datasets.check_loading_twice_gives_the_same_content, is_gate=True),
        Check(conduct.check_another_process_gives_the_same_result),
        Check(declaration.check_number_of_classes_is_as_declared),
        Check(datasets.check_train_and_test_share_no_sample),
        Check(datasets.check_channel_statistics_fit_the_images),
        Check(datasets.check_missing_files_are_explained),
        *_CONDUCT,
    ),
    "learner": (
        *_START,
        Check(conduct.check_evidence_is_left_unchanged, is_gate=True),
        Check(learners.check_result_has_the_promised_form, is_gate=True),
        *_REPEATABLE,
        Check(learners.check_an_easy_problem_is_learnt),
        Check(learners.check_one_class_is_accepted),
        Check(learners.check_few_samples_are_accepted),
        Check(learners.check_weights_are_returned_when_asked_for),
        Check(learners.check_dynamics_have_the_promised_shape),
        *_CONDUCT,
        Check(conduct.check_deadline_is_honoured),
    ),
}


def checks_for(kind: str) -> tuple[Check, ...]:
    """Return the checks of a kind ("scorer", ...), in their order."""
    return _CHECKS[kind]


def find_check(kind: str, name: str) -> Check:
    """Return the check of that name."""
    return next(check for check in _CHECKS[kind] if check.name == name)


def all_checks() -> dict[str, Check]:
    """Return every check by name, in the order of kinds."""
    return {check.name: check for checks in _CHECKS.values() for check in checks}
