"""A plugin that the registry lists and that may be installed, for tests of what is official."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from prunebench.registry import Listing

ROOT = Path(__file__).resolve().parent.parent
LISTED = """
[plugin.odd]
kind = "scorer"
dist = "odd-one"
version = ">=1,<2"
tier = "contrib"
maintainer = "Someone Else"
added = 2026-01-31
"""
ODD = """
import numpy
from prunebench import ScorerSpec, hookimpl

@hookimpl
def prunebench_scorers():
    return [ScorerSpec(name="odd", summary="Works.", load="odd_one:score", stochastic=True, cost="n")]

def score(ctx):
    numpy.random.seed(0)
    return ctx.rng.random(ctx.n)
"""


def listing(**changes) -> Listing:
    given = {"name": "odd", "kind": "scorer", "dist": "odd-one", "version": ">=1,<2", "tier": "contrib",
             "maintainer": "Someone", "added": date(2026, 1, 31)}  # fmt: skip
    return Listing(**{**given, **changes})


def written(sandbox, tables: str) -> Path:
    """Write a registry with tables, and return its path."""
    path = sandbox.folder / "registry.toml"
    path.write_text('schema = 1\nprotocol = "test" # kept\n' + tables, encoding="utf-8")
    return path
