"""The border between harness and plugins, checked in the source and in fresh interpreters."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

import prunebench
import prunebench.pictures
import prunebench.toolbox
from prunebench import hookspecs
from prunebench.stages import STAGES

ROOT = Path(__file__).resolve().parent.parent
PLUGINS = sorted((ROOT / "plugins").glob("prunebench_*"))
HARNESS = sorted((ROOT / "harness" / "prunebench").rglob("*.py"))
PUBLIC = {module.__name__: set(module.__all__) for module in (prunebench, prunebench.pictures, prunebench.toolbox)}


@cache
def tree(path: Path) -> ast.Module:
    """Return a file as its syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> list[tuple[str, str]]:
    """Return (module, name) for every import in a file; name is empty for `import module`."""
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [("." * node.level + (node.module or ""), alias.name) for alias in node.names]
    return found


def test_every_bundled_plugin_is_declared_and_packaged():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    names = sorted(path.name for path in PLUGINS)
    assert sorted(project["project"]["entry-points"]["prunebench"].values()) == names
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert sorted(packages) == ["harness/prunebench", *(f"plugins/{name}" for name in names)]


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_bundled_plugin_imports_only_public_names_of_the_harness(folder):
    for path in folder.rglob("*.py"):
        for module, name in imports(path):
            if module.split(".")[0] == "prunebench":
                assert name in PUBLIC.get(module, set()), f"{path.name} imports {module}.{name}"


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_bundled_plugin_imports_no_other_bundled_plugin(folder):
    for path in folder.rglob("*.py"):
        for module, _ in imports(path):
            top = module.split(".")[0]
            assert not top.startswith("prunebench_") or top == folder.name, f"{path.name} imports {module}"


def test_the_harness_imports_no_plugin():
    for path in HARNESS:
        for module, _ in imports(path):
            assert not module.startswith("prunebench_"), f"{path} imports {module}"


def imported_at_once(path: Path, modules: set[str]) -> set[str]:
    """Return which of the modules a file imports while it is itself imported."""
    found = set()
    for node in tree(path).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else str(node.module) for name in names}
    return found & modules


def test_the_imports_of_the_harness_form_no_circle():
    names = {".".join(path.relative_to(ROOT / "harness").with_suffix("").parts): path for path in HARNESS}
    files = {name.removesuffix(".__init__"): path for name, path in names.items()}
    graph = {name: imported_at_once(path, set(files)) for name, path in files.items()}
    assert "prunebench.registry.model" in graph["prunebench.registry"]
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_the_harness_names_no_method():
    names = {"topocore", "ripsnet", "moderate", "echo", "umap", "pacmap", "deepcore", "strata"}
    for path in HARNESS:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
                assert node.value not in names, f"{path}: {node.value!r}"


def test_declarations_are_read_without_importing_a_numerical_library():
    script = (
        "import sys; from prunebench.plugins import load_plugins; load_plugins();"
        "print(sorted({'torch', 'numpy', 'sklearn', 'scipy', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_listing_imports_no_numerical_library(tmp_path):
    script = (
        "import sys; from prunebench.cli import cli; cli.main(['list'], standalone_mode=False);"
        "print(sorted({'torch', 'numpy', 'pandas', 'rich'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stderr.strip() == "[]"


def test_there_are_at_most_twelve_hooks_and_each_is_one_sentence():
    hooks = [getattr(hookspecs, name) for name in dir(hookspecs) if name.startswith("prunebench_")]
    assert 0 < len(hooks) <= 12
    for hook in hooks:
        assert hook.__doc__.count("\n") == 0
        assert hook.__doc__.endswith(".")


def test_no_module_has_grown_out_of_its_room():
    for path in [*HARNESS, *(file for folder in PLUGINS for file in folder.rglob("*.py"))]:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= 360, f"{path} has {lines} lines"


def defined(path: Path) -> dict[str, ast.FunctionDef]:
    """Return the functions of a module by name, methods as Class.method."""
    found = {}
    for node in tree(path).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{one.name}": one for one in node.body if isinstance(one, ast.FunctionDef)}
    return found


def test_the_way_of_a_feature_array_is_as_its_page_says():
    page = (ROOT / "docs" / "how-it-is-built.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \| `(.+?)` \| (.+?) \|", page, flags=re.MULTILINE)
    functions = {file: re.findall(r"`([\w.]+)`", names) for file, names in rows}
    assert set(re.findall(r"`([\w/]+\.py)`", page)) == set(functions)
    assert 10 <= len(functions) <= 15
    assert 20 <= sum(map(len, functions.values())) <= 30
    found = {file: defined(ROOT / "harness" / "prunebench" / file) for file in functions}
    for file, names in functions.items():
        assert set(names) <= set(found[file]), file
    # Each is called by another one of them, or by what they call, or is a stage.
    called = {
        getattr(node.func, "attr", getattr(node.func, "id", ""))
        for by_name in found.values()
        for function in by_name.values()
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
    } | {target.rpartition(":")[2] for stage in STAGES.values() for target in (stage.function, stage.expand)}
    entrances = {"ensure", "update_board"}  # called by the worker and by the verbs
    for name in (name.rpartition(".")[2] for names in functions.values() for name in names):
        assert name in called | entrances, name


def test_the_version_is_written_in_one_way():
    import importlib.metadata

    assert importlib.metadata.version("prunebench") == prunebench.__version__


def test_the_table_of_places_names_what_is_there():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = page.split("## Where things are")[1].split("\n## ")[0]
    places = [
        place for row in re.findall(r"^\| (`.+?) \|", table, flags=re.MULTILINE) for place in re.findall("`(.+?)`", row)
    ]
    assert len(places) >= 20
    for place in places:
        assert [*ROOT.glob(place), *(ROOT / "harness" / "prunebench").glob(place)], place
    modules = {path.name for path in (ROOT / "harness" / "prunebench").iterdir() if (path / "__init__.py").is_file()}
    assert modules <= {place.rstrip("/") for place in places}
