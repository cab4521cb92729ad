"""Distributions to start from: text with $placeholders, one folder a kind of plugin and one that all share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from string import Template


@dataclass(frozen=True)
class Starter:
    """What a kind's template is called: the module of the implementation, and the method that is in it."""

    stem: str
    summary: str


STARTERS: Mapping[str, Starter] = {
    "scorer": Starter("score", "Distance to the mean of the class, as a data-pruning method."),
    "projector": Starter("project", "Principal components of standardised features."),
    "dataset": Starter("load", "Noisy bars that lie, stand or lean."),
    "learner": Starter("train", "The nearest class mean on frozen features."),
}


def module_name(name: str) -> str:
    """Return the import name of a plugin: prunebench_my_method for my-method."""
    return "prunebench_" + name.replace("-", "_")


def distribution_name(name: str) -> str:
    """Return the distribution name of a plugin: prunebench-my-method for my-method or my_method."""
    return "prunebench-" + name.replace("_", "-")


def render(kind: str, name: str, version: str) -> dict[str, str]:
    """Return the text of every file of a new distribution by its path; version: that of prunebench."""
    starter, module = STARTERS[kind], module_name(name)
    values = {
        "kind": kind,
        "name": name,
        "module": module,
        "distribution": distribution_name(name),
        "stem": starter.stem,
        "summary": starter.summary,
        "version": version,
    }
    files = {
        "pyproject.toml": "common/pyproject.toml",
        "README.md": "common/README.md",
        ".gitignore": "common/gitignore",
        ".github/workflows/tests.yml": "common/workflow.yml",
        "registry.toml": f"{kind}/registry.toml",
        f"src/{module}/__init__.py": f"{kind}/declaration.py",
        f"src/{module}/{starter.stem}.py": f"{kind}/implementation.py",
        "tests/test_conformance.py": "common/test_conformance.py",
        f"tests/test_{starter.stem}.py": f"{kind}/test_implementation.py",
    }
    folder = resources.files(__name__)
    texts = {path: (folder / f"{source}.tmpl").read_text(encoding="utf-8") for path, source in files.items()}
    return {path: Template(text).substitute(values) for path, text in texts.items()} | {f"src/{module}/py.typed": ""}
