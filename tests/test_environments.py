"""What an environment of a plugin's own has to hold: what is asked for, and what nothing here satisfies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from prunebench.environments import make_environment, unsatisfied
from prunebench.errors import EnvironmentFailed
from prunebench.pipeline.workbench import Settings
from prunebench.tasks import Task


def install(site: Path, name: str, version: str, requirements: Sequence[str] = ()) -> None:
    metadata = site / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requirements]
    (metadata / "METADATA").write_text("\n".join([*lines, ""]), encoding="utf-8")


def test_what_is_here_in_the_right_version_is_not_asked_for_again(tmp_path):
    install(tmp_path, "odd-one", "1.0", ["numpy>=1", "prunebench", "NumPy<1", "not-there>=2; python_version>='3'"])
    assert unsatisfied(tmp_path, ["odd-one"]) == ["NumPy<1", "not-there>=2"]
    install(tmp_path, "not_there", "2.5")
    assert unsatisfied(tmp_path, ["odd-one"]) == ["NumPy<1"]


def test_extras_count_where_they_were_asked_for(tmp_path):
    install(tmp_path, "odd-one", "1.0", ["not-there; extra == 'more'", "nor-there; python_version < '3'"])
    assert unsatisfied(tmp_path, ["odd-one"]) == []
    assert unsatisfied(tmp_path, ["Odd_One[more]==1.0"]) == ["not-there"]


def test_a_version_that_prunebench_itself_cannot_use_is_found(tmp_path):
    install(tmp_path, "click", "1.0")
    assert unsatisfied(tmp_path, ["click==1.0"]) == ["click>=8.1"]


def test_without_uv_the_plugin_and_what_to_do_are_named(tmp_path, monkeypatch):
    for name in ("UV", "PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("prunebench.environments.sysconfig.get_path", lambda name: str(tmp_path))
    with pytest.raises(EnvironmentFailed, match="'odd'") as caught:
        make_environment("odd", ["odd-one"], tmp_path)
    assert caught.value.hint == "pip install uv"


def test_only_the_stages_of_a_plugin_are_computed_by_its_interpreter():
    settings = Settings("cache", interpreters={"scorer:odd": "/there/python", "projector:flat": "/flat/python"})
    settings = Settings.from_json(settings.to_json())
    scores, projection = Task("scores", {"scorer": "odd"}), Task("projection", {"projector": "flat"})
    assert settings.interpreter(scores) == "/there/python"
    assert settings.interpreter(projection) == "/flat/python"
    here = settings.interpreter(Task("scores", {"scorer": "flat"}))
    assert here == settings.interpreter(Task("cell", {}, {"scores": scores})) == Settings("cache").interpreter(scores)
