"""Extra columns of the board: accuracy of the worst class, and ECHO's Integrated Fidelity Score."""

from __future__ import annotations

from prunebench import MetricSpec, hookimpl


@hookimpl
def prunebench_metrics() -> list[MetricSpec]:
    """Declare the metrics."""
    return [
        MetricSpec(
            name="worst-class-accuracy",
            label="worst class",
            summary="Test accuracy of the class that the trained network knows least.",
            load="prunebench_metrics.measures:worst_class_accuracy",
        ),
        MetricSpec(
            name="integrated-fidelity",
            label="IFS",
            summary="Accuracy relative to the full training set, averaged over the budgets; small budgets weigh more.",
            load="prunebench_metrics.measures:integrated_fidelity_score",
            scope="method",
            differences="The paper's formula is garbled in print; its Table I fixes the weights exp(-keep).",
            paper="ECHO, Table I",
        ),
    ]
