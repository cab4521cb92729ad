"""The version of a method changes with the code that it reaches, and with nothing else."""

from __future__ import annotations

import importlib
import itertools
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from prunebench import ScorerSpec
from prunebench.code_version import _found, _read, code_digest
from prunebench.plugins import load_plugins
from prunebench.testing import entry_of

_numbers = itertools.count()
FILES = {
    "__init__.py": 'from .public import shared\nTITLE = "declared"\nfrom . import impl\n',
    "impl.py": '"""Doc."""\nfrom .helper import mean\n\n\ndef score(ctx):\n    """Doc."""\n    return mean(ctx)\n',
    "helper.py": "def mean(values):\n    total = sum(values)\n    return total\n",
    "public.py": "def shared():\n    return 1\n",
    "unreached.py": "X = 1\n",
}


class Package:
    """A package of a name of its own, on the import path and never imported."""

    def __init__(self, folder: Path) -> None:
        self.name = f"measured_{next(_numbers)}"
        self.folder = folder / self.name
        for path, text in FILES.items():
            self.write(path, text)

    def write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("PACKAGE", self.name), encoding="utf-8")
        importlib.invalidate_caches()  # two files may be written in one tick of the clock

    def digest(self, target: str = "impl:score", *more: str) -> str:
        targets = [f"{self.name}.{name}" if not name.startswith(":") else self.name + name for name in (target, *more)]
        _read.cache_clear()
        _found.clear()
        return code_digest(targets)

    def counts(self, path: str, target: str = "impl:score", text: str = "\nCHANGED = 1\n") -> bool:
        """Tell whether a change of a file changes the version."""
        before = self.digest(target)
        assert len(before) == 16
        file = self.folder / path
        self.write(path, (file.read_text(encoding="utf-8") if file.exists() else "") + text)
        return self.digest(target) != before


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    made = Package(tmp_path)
    yield made
    assert made.name not in sys.modules


def test_comments_docstrings_and_layout_do_not_matter(package):
    before = package.digest()
    package.write(
        "impl.py", "# why\nfrom .helper import (mean)\ndef score(ctx):\n    'Other.'\n    return (mean(ctx))\n"
    )
    package.write("helper.py", FILES["helper.py"].replace("return", "# a comment\n    return"))
    assert package.digest() == before


def test_the_name_of_a_local_variable_and_a_text_that_is_used_do_matter(package):
    before = package.digest()
    package.write("helper.py", FILES["helper.py"].replace("total", "result"))
    renamed = package.digest()
    package.write("impl.py", FILES["impl.py"].replace("mean(ctx)", 'mean(ctx, "a text")'))
    assert len({before, renamed, package.digest()}) == 3


def test_what_is_reached_counts_and_nothing_else(package):
    assert package.counts("helper.py")
    assert not package.counts("unreached.py")
    assert not package.counts("public.py")
    assert not package.counts("__init__.py")


STATEMENTS = {
    "inside a function": "def score(ctx):\n    from .extra import f\n    return f(ctx)\n",
    "of a module by its full name": "import PACKAGE.extra\ndef score(ctx):\n    return PACKAGE.extra.f(ctx)\n",
    "of the package alone": "import PACKAGE\ndef score(ctx):\n    return PACKAGE.extra.f(ctx)\n",
    "of a module from the package": "from . import extra\n",
    "of a module under another name": "from PACKAGE import extra as other\n",
    "through another module": "from .helper import mean\nfrom .between import g\n",
    "of a name that the package re-exports": "from . import shared\n",
    "in a circle": "from .between import g\n",
    "from above": "from .below import g\n",
    "for the sake of types": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .extra import f\n",
}


@pytest.mark.parametrize("kind", STATEMENTS)
def test_an_import(kind, package):
    package.write("impl.py", STATEMENTS[kind])
    package.write("extra.py", "def f(ctx):\n    from .impl import score\n")
    package.write("public.py", "from .extra import f as shared\n")
    package.write("between.py", "from .impl import score\nfrom .extra import f as g\n")
    package.write("below/__init__.py", "from ..extra import f as g\n")
    assert package.counts("extra.py")


def test_a_name_of_the_package_itself_counts_its_init_and_a_name_of_a_submodule_does_not(package):
    package.write("impl.py", "from . import helper\n")
    assert not package.counts("__init__.py")
    package.write("impl.py", "from . import TITLE\n")
    assert package.counts("__init__.py")
    assert package.counts("public.py"), "the package itself imports it"
    assert package.counts("__init__.py", ":score")


def test_a_folder_without_an_init_is_followed(package):
    package.write("impl.py", "from .space.inner import f\n")
    package.write("space/inner.py", "def f():\n    return 1\n")
    assert package.counts("space/inner.py")
    package.write("impl.py", "from .space import inner\n")
    assert package.counts("space/inner.py")


def test_what_cannot_be_parsed_counts_by_its_bytes(package):
    package.write("impl.py", "from . import fast\nfrom .broken import f\n")
    package.write(f"fast{EXTENSION_SUFFIXES[0]}", "machine code")
    package.write("broken.py", "def (\n")
    assert package.counts("broken.py", text="# a comment\n")
    assert package.counts(f"fast{EXTENSION_SUFFIXES[0]}")


def test_two_targets_count_together(package):
    package.write("labels.py", "def label(ctx):\n    return 1\n")
    both = package.digest("impl:score", "labels:label")
    assert both == package.digest("labels:label", "impl:score")
    package.write("labels.py", "def label(ctx):\n    return 2\n")
    assert package.digest("impl:score", "labels:label") != both


def test_a_changed_file_is_seen_with_the_cache_and_a_hidden_change_only_without(package):
    target = [f"{package.name}.impl:score"]
    before = code_digest(target)
    file = package.folder / "helper.py"
    state = file.stat()
    package.write("helper.py", FILES["helper.py"].replace("sum", "max"))
    import os

    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert code_digest(target) == before
    _read.cache_clear()
    _found.clear()
    assert code_digest(target) != before
    before = code_digest(target)
    package.write("helper.py", FILES["helper.py"].replace("sum", "min(3, 4)"))
    assert code_digest(target) != before


def test_a_module_without_a_package_and_one_that_is_nowhere(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "alone_here.py").write_text("import json\n", encoding="utf-8")
    assert len(code_digest(["alone_here:score"])) == 16
    assert code_digest(["nowhere_at_all:score"]) == code_digest(["sys:exit"]) == "unknown"


def test_the_version_of_an_entry_is_the_code_of_its_targets_unless_the_author_pins_it(package):
    spec = {"name": "odd", "summary": "A test.", "load": f"{package.name}.impl:score"}
    entry = entry_of(ScorerSpec(**spec))
    assert entry.version == entry.code_version() == package.digest()
    assert (
        entry_of(ScorerSpec(**spec, version="7")).version
        == entry_of(ScorerSpec(**spec, version="7")).code_version()
        == "7"
    )
    labelled = ScorerSpec(**spec, needs=frozenset({"pseudo_labels"}), labeller=f"{package.name}.unreached:label")
    before = entry_of(labelled).version
    package.write("unreached.py", "X = 2\n")
    assert entry_of(labelled).version != before
    assert entry.version == entry.code_version()


def test_every_bundled_plugin_has_a_version_of_its_own_code():
    found = load_plugins()
    versions = {entry.spec.name: entry.version for entries in found.entries.values() for entry in entries.values()}
    assert {len(version) for version in versions.values()} == {16}
    assert len(set(versions.values())) > len(versions) / 3


def test_the_same_name_elsewhere_on_the_search_path_is_other_code(tmp_path, monkeypatch):
    found = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "one_of_two.py").write_text(f"def score(ctx):\n    return {number}\n", encoding="utf-8")
        monkeypatch.setattr("sys.path", [str(folder), *sys.path[number:]])
        found.append(code_digest(["one_of_two:score"]))
    assert found[0] != found[1]


def test_a_file_that_comes_between_is_seen(package):
    package.write("impl.py", "from . import later\n")
    before = code_digest([f"{package.name}.impl:score"])
    package.write("later.py", "x = 1\n")
    assert code_digest([f"{package.name}.impl:score"]) != before
