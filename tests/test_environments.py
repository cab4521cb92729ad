"""What an environment of a plugin's own has to hold: what is asked for, and what nothing here satisfies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from prunebench.environments import interpreter_of, lacking
from prunebench.errors import EnvironmentFailed, UsageError
from prunebench.plugins import load_plugins
from prunebench.registry import Listing


def package(site: Path, name: str, version: str, requirements: Sequence[str] = ()) -> Distribution:
    metadata = site / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requirements]
    (metadata / "METADATA").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return Distribution.at(metadata)


def installed(*more: Distribution) -> dict[str, Distribution]:
    return {canonicalize_name(one.name): one for one in (*distributions(), *more)}


def test_what_is_here_in_the_right_version_lacks_nothing(tmp_path):
    wanted = ["numpy>=1", "prunebench", "NumPy<1", "not_there>=2; python_version>='3'", "nor-there; extra == 'more'",
              "never-there; python_version < '3'"]  # fmt: skip
    odd = package(tmp_path, "odd-one", "1.0", wanted)
    assert lacking(odd, installed()) == ["NumPy<1", "not_there>=2"]
    there = package(tmp_path, "Not.There", "2.5")
    assert lacking(odd, installed(there)) == ["NumPy<1"]


def test_a_version_that_prunebench_itself_cannot_use_is_found(tmp_path):
    old = package(tmp_path, "click", "1.0")
    assert lacking(installed()["prunebench"], installed(old)) == ["click>=8.1"]


def listing(name: str) -> Listing:
    more = {"version": ">=1", "tier": "contrib", "maintainer": "A third party", "added": date(2026, 1, 31)}
    return Listing(name=name, kind="scorer", dist="odd-one", environment=("odd-one",), **more)


def test_without_uv_the_plugin_and_what_to_do_are_named(tmp_path, monkeypatch):
    for name in ("UV", "PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("prunebench.environments.shutil.which", lambda *given, **more: None)
    with pytest.raises(EnvironmentFailed, match="'odd'") as caught:
        interpreter_of(["odd"], load_plugins(), {"odd": listing("odd")}, tmp_path)
    assert caught.value.hint == "pip install uv"


def test_only_a_plugin_that_is_not_here_has_an_environment_and_it_is_named_alone(tmp_path):
    catalogue, listings = load_plugins(), {"odd": listing("odd")}
    for names in (["random"], ["selector:odd"], ["nobody"], []):
        assert interpreter_of(names, catalogue, listings, tmp_path) is None
    with pytest.raises(UsageError):
        interpreter_of(["random", "odd"], catalogue, listings, tmp_path)
