"""Parsers of what a run, a board or a registry is read from, with valid files."""

from __future__ import annotations

import contextlib
import json
import types
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import mutations
from fuzzing import Parser
from prunebench.errors import PrunebenchError
from records_of import agreement, cell, key_of
from registries import HEAD, NETWORK

# ---------------------------------------------------------------------------------------------- records and the board


def _records() -> list[bytes]:
    from prunebench.records import encode

    cells = [
        cell(method=method, score_backbone="-", seed=seed, keep=keep, accuracy=0.5 + seed / 10, n_keep=10, n_train=100,
             class_accuracy=[0.5, None], accuracy_per_epoch=[0.1, 0.2], diagnostics={"edges": 3, "deep": {"a": [1]}},
             scores_key=key_of(method, seed), train_key=key_of(method, seed, keep), caveat="a caveat")
        for method in ("random", "m") for seed in (0, 1) for keep in ("0.1", "0.5")
    ]  # fmt: skip
    rows = [
        *cells,
        cell(method="full", role="unpruned", keep="1", score_backbone="-"),
        agreement(),
        agreement(seed_a=1, seed_b=1),
    ]
    rows += [cell(method="f", status="failed", status_reason="no\nreason")]
    return ["".join(encode(row) + "\n" for row in rows).encode(), (encode(cells[0]) + "\n").encode()]


def _read_records(path: Path) -> None:
    from prunebench.records import read_records
    from prunebench.validation.lines import read_lines

    read_lines("s/d/m.jsonl", path.read_bytes())
    read_records(path)


@cache
def _known() -> tuple[Any, Any]:
    from prunebench.plugins import load_plugins
    from prunebench.registry.reader import make_registry
    from prunebench.registry.toml_lines import Source

    return make_registry(Source(Path("registry.toml"), REGISTRY)), load_plugins()


def _board(path: Path) -> None:
    from prunebench.board.render.pages import board_files
    from prunebench.board.table import make_board
    from prunebench.records import read_records

    registry, _ = _known()
    board_files(make_board(read_records(path), registry, [], []))


def _json_or_bytes(content: bytes, random: Random) -> bytes:
    return mutations.json_lines(content, random)


REGISTRY = (
    HEAD
    + NETWORK
    + """
[dataset.digits]
fingerprint = "ffffffffffffffffffffffffffffffff"

[backbone.two]
timm = "test_vit"
mean = [0.5, 0.4, 0.3]
std = [0.5, 0.4, 0.3]
weights = { file = "two.safetensors", sha256 = "aa" }

[method.narrow]
scorer = "moderate"
params = { center = "mean" }
at."0.9".params = { center = "median" }
caveat = "narrow"

[suite.tiny]
dataset = "digits"
methods = ["random", "moderate", "narrow", "full"]
backbones = ["untrained", "two"]
training = [{ arch = "untrained", recipe = "probe" }, { arch = "two", recipe = "probe" }]
keep = ["0.1", 0.5]
seeds = 2
proxy = { arch = "untrained", recipe = "probe" }
agreement = { methods = ["moderate"] }

[plugin.nearmiss]
kind = "scorer"
dist = "prunebench-nearmiss"
version = ">=1,<2"
tier = "quarantine"
reason = "none"
maintainer = "A"
added = 2026-01-31
environment = ["numpy<2"]
"""
)


def _registry(path: Path) -> None:
    from prunebench.plan import make_plan
    from prunebench.registry import load_registry

    registry = load_registry(path)
    for name in registry.suites:
        with contextlib.suppress(PrunebenchError):
            make_plan(registry, _known()[1], name)


def _published() -> list[bytes]:
    return [
        b'[methods]\nA = ["a"]\n[recipe.r]\ntitle = "t"\nsays = "s"\nours = ["probe"]\n'
        b'[[table]]\ntitle = "t"\nsource = "s"\nrecipe = "r"\ndataset = "digits"\nnetwork = "untrained"\n'
        b'pruning_rates = ["0.5", "0.9"]\nplus_minus = "spread"\nruns = 3\n'
        b'rows = { A = ["90.1\xc2\xb10.3", "-"], B = ["<10", "88"] }\nnotes = { A = "n" }\n'
    ]


def _read_published(path: Path) -> None:
    from prunebench.board import make_board
    from prunebench.board.comparison import compare
    from prunebench.board.published import load_published

    registry: Any = types.SimpleNamespace(file=path)
    published = load_published(registry)
    assert published is not None
    for table in published.table:
        [table.number(text) for row in table.rows.values() for text in row]
    board = make_board([cell(method="a", recipe="probe", dataset="digits")], _known()[0])
    compare(board, published, _known()[0])


def _run_manifest() -> list[bytes]:
    manifest = {
        "schema": 1, "run_id": "r", "started": "2026-01-01T00:00:00+00:00", "suite": "s",
        "cells": {"k" * 32: "planned"},
        "finished": {"tasks_by_status": {"ok": 3}, "exit_reason": "finished"},
    }  # fmt: skip
    return [json.dumps(manifest, indent=1).encode()]


def _events() -> list[bytes]:
    task = {"time": "2026-01-01T00:00:00.000+00:00", "key": "k", "stage": "scores", "title": "m"}
    ended = {"status": "failed", "reason": "r", "log": "l", "seconds": 3.0}
    lines = [{**task, "event": "task_started"}, {**task, "event": "task_failed", **ended}]
    lines += [{**task, "event": "task_started", "key": "l"}]
    return ["".join(json.dumps(line) + "\n" for line in lines).encode()]


def _status(path: Path) -> None:
    from click.testing import CliRunner

    from prunebench.cli.status import command

    folder = path.parent / "runs" / "r"
    folder.mkdir(parents=True, exist_ok=True)
    if path.name == "events.jsonl":
        (folder / "manifest.json").write_bytes(_run_manifest()[0].replace(b'"finished"', b'"left"'))
        (folder / "running.lock").touch()
    path.replace(folder / path.name)
    result = CliRunner().invoke(command, ["--results", str(path.parent / "results")], standalone_mode=False)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception


def _first_imports() -> list[bytes]:
    return [json.dumps([3, {key_of(1): ["", ""], key_of(2): ["error", "hint"]}]).encode()]


def _read_first_imports(path: Path) -> None:
    from prunebench.discovery.first_import import RESULTS, read_results

    (path.parent / RESULTS).parent.mkdir(exist_ok=True)
    path.replace(path.parent / RESULTS)
    for result in read_results(path.parent).values():
        assert all(isinstance(text, str) for text in result)


def _board_csv() -> list[bytes]:
    return [
        (Path(__file__).parents[1] / "results" / "board" / "accuracy.csv").read_bytes()[:20_000].rpartition(b"\n")[0]
    ]


def _read_board_csv(path: Path) -> None:
    from prunebench.pruning.board_row import nearest_board_row

    row = nearest_board_row("random", 0.1, board=path)
    if row is not None:
        row.text()


IMPORTS = "first imports: first_imports.json"
RESULTS = (
    Parser("records: m.jsonl", _records, _read_records, mutations.json_lines),
    Parser("board: m.jsonl", _records, _board, mutations.json_lines),
    Parser("registry: registry.toml", lambda: [REGISTRY.encode()], _registry),
    Parser("published tables: published.toml", _published, _read_published),
    Parser("a run: manifest.json", _run_manifest, _status, mutations.json_lines),
    Parser("a run: events.jsonl", _events, _status, mutations.json_lines, forgiving=True),
    Parser(IMPORTS, _first_imports, _read_first_imports, mutations.json_lines, forgiving=True),
    Parser("the board: accuracy.csv", _board_csv, _read_board_csv),
)
