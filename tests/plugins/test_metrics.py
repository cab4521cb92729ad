"""The metrics that come with prunebench: the score of ECHO's Table I, and the class that is known least."""

from __future__ import annotations

import pytest

from boards import cell
from prunebench import DataError
from prunebench_metrics.measures import integrated_fidelity, integrated_fidelity_score, worst_class_accuracy

ECHO_BUDGETS = ("0.001", "0.01", "0.05", "0.1", "0.2", "0.3", "0.5")
# ECHO, Table I: CIFAR-10, ResNet-18, 95.6 % on the full set; accuracies by budget, the printed score, and the
# score to four digits.
ECHO_TABLE = {
    "Random": ((21.5, 36.8, 64.7, 74.4, 82.5, 87.4, 91.4), 0.65, 0.6517),
    "Herding": ((20.0, 34.8, 50.8, 62.6, 74.2, 80.4, 88.3), 0.58, 0.5799),
    "k-Center": ((18.2, 30.6, 49.8, 74.9, 85.6, 90.2, 93.4), 0.62, 0.6215),
    "FacLoc": ((22.4, 39.3, 60.6, 74.1, 85.2, 91.3, 93.9), 0.66, 0.6618),
    "GraphCut": ((24.2, 42.8, 65.5, 76.6, 84.1, 87.7, 93.3), 0.68, 0.6762),
    "CD": ((14.9, 23.1, 37.6, 58.9, 80.8, 90.4, 94.0), 0.55, 0.5515),
    "Craig": ((22.5, 31.0, 44.5, 61.1, 79.4, 88.5, 93.2), 0.59, 0.5880),
    "GradMatch": ((17.1, 30.9, 47.1, 61.7, 80.0, 87.4, 93.0), 0.58, 0.5829),
    "LC": ((14.2, 19.9, 36.0, 57.2, 81.8, 90.1, 94.5), 0.54, 0.5411),
    "Entropy": ((14.5, 21.0, 35.1, 57.2, 81.4, 89.6, 94.3), 0.54, 0.5406),
    "Margin": ((17.3, 26.9, 43.6, 59.4, 81.7, 90.0, 93.9), 0.57, 0.5736),
    "DeepFool": ((17.3, 27.1, 43.0, 60.6, 83.2, 90.0, 94.0), 0.58, 0.5771),
    "CAL": ((22.3, 37.5, 60.1, 71.2, 80.7, 86.4, 89.3), 0.64, 0.6356),
    "Forgetting": ((21.2, 35.2, 52.0, 66.9, 86.1, 91.5, 94.0), 0.63, 0.6287),
    "GraNd": ((17.5, 26.2, 40.1, 52.9, 78.3, 91.1, 94.6), 0.55, 0.5541),
    "TDDS": ((10.3, 24.3, 48.4, 68.1, 82.4, 87.6, 91.8), 0.57, 0.5743),
    "Glister": ((19.8, 32.6, 50.9, 66.0, 84.7, 90.8, 93.9), 0.62, 0.6156),
    "ELFS": ((17.3, 32.2, 57.2, 78.4, 86.2, 87.1, 88.8), 0.63, 0.6325),
    "ECHO": ((65.6, 75.2, 86.4, 89.4, 92.5, 93.8, 95.2), 0.88, 0.8806),
}


@pytest.mark.parametrize("method", ECHO_TABLE)
def test_integrated_fidelity_reproduces_the_published_table(method: str) -> None:
    accuracies, printed, exact = ECHO_TABLE[method]
    found = integrated_fidelity(dict(zip(ECHO_BUDGETS, accuracies, strict=True)), 95.6)
    assert round(found, 2) == printed
    assert found == pytest.approx(exact, abs=5.1e-5)


def test_integrated_fidelity_of_a_method_as_good_as_all_data_is_one() -> None:
    assert integrated_fidelity({"0.1": 0.9, "0.5": 0.9}, 0.9) == pytest.approx(1.0)


def test_integrated_fidelity_needs_budgets_and_a_full_accuracy() -> None:
    with pytest.raises(DataError):
        integrated_fidelity({}, 0.9)
    with pytest.raises(DataError):
        integrated_fidelity({"0.1": 0.5}, 0.0)


def test_the_score_of_a_method_averages_its_backbones_and_needs_the_full_set() -> None:
    given = (("0.1", "x", 0.4), ("0.1", "y", 0.6), ("0.5", "x", 0.7), ("0.5", "y", 0.7))
    cells = [cell("m", keep=keep, score_backbone=backbone, accuracy=accuracy) for keep, backbone, accuracy in given]
    full = cell("full", keep="1", accuracy=0.9, role="unpruned")
    assert integrated_fidelity_score([*cells, full]) == pytest.approx(
        integrated_fidelity({"0.1": 0.5, "0.5": 0.7}, 0.9)
    )
    assert integrated_fidelity_score(cells) is None
    assert integrated_fidelity_score([full]) is None


def test_the_worst_class_is_averaged_over_backbones_and_unknown_where_a_record_does_not_hold_it() -> None:
    first, second = cell(class_accuracy=[0.5, None, 0.9]), cell(class_accuracy=[0.8, 0.7])
    assert worst_class_accuracy([first]) == 0.5
    assert worst_class_accuracy([first, second]) == pytest.approx(0.6)
    assert worst_class_accuracy([first, cell()]) is None
