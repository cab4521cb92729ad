"""Distributions to start from: text with $placeholders, a folder for each kind of plugin and one that all share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from string import Template


@dataclass(frozen=True)
class Starter:
    """What is in a kind's template, and where its small suite uses the plugin; $name stands for the plugin.

    stem: the module of the implementation.  table: a table of registry.toml that the suite needs.  option: what the
    command that runs the suite needs.
    """

    stem: str
    summary: str
    dataset: str = "digits"
    network: str = 'timm = "test_resnet"'
    recipe: str = "probe"
    table: str = ""
    method: str = "moderate"
    projector: str = "pca"
    option: str = ""


STARTERS: Mapping[str, Starter] = {
    "scorer": Starter("score", "Distance to the mean of the class, as a data-pruning method.", method="$name"),
    "projector": Starter(
        "project", "Principal components of standardised features.", method="prototype", projector="$name"
    ),
    "selector": Starter(
        "select",
        "The middle of every class.",
        method="moderate-$name",
        table='\n[method.moderate-$name]\nscorer = "moderate"\nselector = "$name"\n',
    ),
    "dataset": Starter("load", "Noisy bars that lie, stand or lean.", dataset="$name"),
    "backbone": Starter("network", "One convolution as a network.", network='provider = "$name"\nmodel = "16"'),
    "learner": Starter("train", "The nearest class mean on frozen features.", recipe="$name"),
    "metric": Starter("measure", "How many classes a pruned training set has lost."),
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
    values = {key: Template(text).substitute(name=name) for key, text in vars(starter).items()}
    values |= {
        "kind": kind,
        "name": name,
        "module": module,
        "distribution": distribution_name(name),
        "version": version,
        "run": f"prunebench run try{values['option']}".ljust(34) + "# a small suite, about a minute",
    }
    files = {
        "pyproject.toml": "common/pyproject.toml",
        "README.md": "common/README.md",
        ".gitignore": "common/gitignore",
        ".github/workflows/tests.yml": "common/workflow.yml",
        "registry.toml": "common/registry.toml",
        f"src/{module}/__init__.py": f"{kind}/declaration.py",
        f"src/{module}/{starter.stem}.py": f"{kind}/implementation.py",
        "tests/test_conformance.py": "common/test_conformance.py",
        f"tests/test_{starter.stem}.py": f"{kind}/test_implementation.py",
    }
    folder = resources.files(__name__)
    texts = {path: (folder / f"{source}.tmpl").read_text(encoding="utf-8") for path, source in files.items()}
    return {path: Template(text).substitute(values) for path, text in texts.items()} | {f"src/{module}/py.typed": ""}
