"""What a record holds: the type and range of every field that the board or a reader relies on."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from prunebench.records import SCHEMA

Rule = Callable[[Any], str]
STATUSES = ("ok", "failed", "oom", "timeout", "diverged", "not_applicable", "interrupted")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}|-")
_MAX_TEXT = 2000


def _text(value: Any) -> str:
    return "" if isinstance(value, str) and len(value) <= _MAX_TEXT else f"expected at most {_MAX_TEXT} characters"


def _name(value: Any) -> str:
    fits = isinstance(value, str) and _NAME.fullmatch(value)
    return "" if fits else "expected letters, digits, '.', '_', '+' and '-'"


def _digest(value: Any) -> str:
    return "" if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32}", value) else "expected 32 hexadecimal digits"


def _one_of(*allowed: str) -> Rule:
    return lambda value: "" if value in allowed else f"expected one of {', '.join(allowed)}"


def _count(minimum: int) -> Rule:
    def problem(value: Any) -> str:
        return "" if type(value) is int and value >= minimum else f"expected an integer of at least {minimum}"

    return problem


def _number(low: float, high: float) -> Rule:
    def problem(value: Any) -> str:
        fits = type(value) in (int, float) and math.isfinite(value) and low <= value <= high
        return "" if fits else f"expected a number in [{low:g}, {high:g}]"

    return problem


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "expected true or false"


def _object(value: Any) -> str:
    return "" if isinstance(value, dict) else "expected an object"


def _fraction(value: Any) -> str:
    try:
        fits = isinstance(value, str) and 0 < Decimal(value) <= 1
    except InvalidOperation:
        fits = False
    return "" if fits else 'expected a decimal fraction as text, such as "0.1"'


def _moment(value: Any) -> str:
    try:
        fits = datetime.fromisoformat(value).utcoffset() is not None
    except (TypeError, ValueError):
        fits = False
    return "" if fits else "expected a date and time with its zone"


def _schema(value: Any) -> str:
    return "" if value == SCHEMA else f"expected {SCHEMA}"


_ANY: dict[str, Rule] = {
    "schema": _schema, "kind": _one_of("cell", "agreement"), "key": _digest, "attempt": _count(1), "partial": _flag,
    "suite": _name, "protocol": _name, "dataset": _name, "method": _name, "scorer": _name, "projector": _name,
    "status": _one_of(*STATUSES),
}  # fmt: skip
_CELL: dict[str, Rule] = {
    "role": _name, "scorer_params": _object, "scorer_version": _name, "scorer_dist": _text, "api": _count(1),
    "score_backbone": _name, "projector_version": _name, "selector": _name, "selector_params": _object,
    "keep": _fraction, "train_arch": _name, "recipe": _name, "seed": _count(0),
}  # fmt: skip
_CELL_OK: dict[str, Rule] = {
    "accuracy": _number(0, 1), "accuracy_best": _number(0, 1), "dataset_fingerprint": _digest, "n_train": _count(1),
    "n_classes": _count(1), "n_keep": _count(1), "subset_digest": _digest, "train_key": _digest,
    "recipe_digest": _digest, "seconds_score": _number(0, 1e9), "seconds_train": _number(0, 1e9), "epochs": _count(0),
    "peak_gpu_bytes": _count(0), "ties_at_cut": _count(0), "run_id": _name, "started": _moment,
    "prunebench_version": _name, "git_commit": _text, "git_dirty": _flag, "machine_class": _text,
}  # fmt: skip
_AGREEMENT: dict[str, Rule] = {
    "backbone_a": _name, "backbone_b": _name, "seed_a": _count(0), "seed_b": _count(0), "backbone_control": _flag,
}  # fmt: skip
_AGREEMENT_OK: dict[str, Rule] = {"n": _count(1)}
_MEASURES = ("within_class_spearman", "pooled_spearman", "pearson")


def record_problems(record: Any) -> Iterator[str]:
    """Yield what is wrong with one record by schema; fields that the schema does not know are let through."""
    if not isinstance(record, dict):
        yield "a line is not an object"
        return
    done = record.get("status") == "ok"
    rules = dict(_ANY)
    if record.get("kind") == "agreement":
        rules |= _AGREEMENT | (_AGREEMENT_OK if done else {})
        correlation = _number(-1, 1)
        rules |= {name: correlation for name in _MEASURES if record.get(name) is not None}
    else:
        rules |= _CELL | (_CELL_OK if done else {})
        if not done and record.get("accuracy") is not None:
            yield f"accuracy is given although the status is {record.get('status')!r}"
    for name, rule in rules.items():
        if name not in record:
            yield f"{name} is missing"
        elif problem := rule(record[name]):
            yield f"{name} = {str(record[name])[:60]!r}: {problem}"
