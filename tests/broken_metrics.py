"""Metrics that break one promise each; named after what they do."""

from __future__ import annotations

import random


def mean_accuracy(cells):
    """The mean over the cells: keeps every promise."""
    return sum(cell.accuracy for cell in cells) / len(cells) if cells else None


def text(cells):
    return "good"


def nan(cells):
    return float("nan")


def sorts_the_records(cells):
    cells.sort(key=lambda cell: cell.accuracy)
    return mean_accuracy(cells)


def first_of_the_cells(cells):
    return cells[0].accuracy if cells else None


def draws(cells):
    return random.random()


def needs_a_cell(cells):
    return sum(cell.accuracy for cell in cells) / len(cells)


def needs_class_accuracies(cells):
    return min(a for cell in cells for a in cell.class_accuracy if a is not None) if cells else None
