"""Distributions to start from: text with $placeholders, a folder for each kind of plugin and one that all share."""

import tomllib
from importlib import resources
from string import Template


def starter(kind: str, name: str) -> dict[str, str]:
    """Return what kinds.toml says of a kind: the stem of its module, its summary, and the parts of its small suite."""
    table = tomllib.loads((resources.files(__name__) / "kinds.toml").read_text(encoding="utf-8"))
    return {key: Template(text).substitute(name=name) for key, text in {**table["all"], **table[kind]}.items()}


def module_name(name: str) -> str:
    """Return the import name of a plugin: prunebench_my_method for my-method."""
    return "prunebench_" + name.replace("-", "_")


def distribution_name(name: str) -> str:
    """Return the distribution name of a plugin: prunebench-my-method for my-method or my_method."""
    return "prunebench-" + name.replace("_", "-")


def render(kind: str, name: str, version: str) -> dict[str, str]:
    """Return the text of every file of a new distribution by its path; version: that of prunebench."""
    chosen, module = starter(kind, name), module_name(name)
    run = f"prunebench run try{chosen['option']}".ljust(34) + "# a small suite, about a minute"
    values = {**chosen, "kind": kind, "name": name, "module": module, "version": version, "run": run}
    values["distribution"] = distribution_name(name)
    files = {
        "pyproject.toml": "common/pyproject.toml",
        "README.md": "common/README.md",
        ".gitignore": "common/gitignore",
        ".github/workflows/tests.yml": "common/workflow.yml",
        "registry.toml": "common/registry.toml",
        f"src/{module}/__init__.py": f"{kind}/declaration.py",
        f"src/{module}/{chosen['stem']}.py": f"{kind}/implementation.py",
        "tests/test_conformance.py": "common/test_conformance.py",
        f"tests/test_{chosen['stem']}.py": f"{kind}/test_implementation.py",
    }
    folder = resources.files(__name__)
    texts = {path: (folder / f"{source}.tmpl").read_text(encoding="utf-8") for path, source in files.items()}
    return {path: Template(text).substitute(values) for path, text in texts.items()} | {f"src/{module}/py.typed": ""}
