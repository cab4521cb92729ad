"""Puts the commit that a wheel or an sdist is built from into it: records of a run from there name it."""

import json
import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "built_from.json"  # beside the modules of prunebench, which read it there


class CommitHook(BuildHookInterface[Any]):
    """Adds the state of the source tree; an sdist brings that of the tree it was made from, and an editable install has
    none, as its tree goes on changing."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the state beside the tree, never into it."""
        package = Path(self.root, "harness", "prunebench")
        if version == "editable" or (package / NAME).exists():
            return
        vcs = runpy.run_path(str(package / "vcs.py"))
        top = vcs["printed"]("git", "-C", self.root, "rev-parse", "--show-toplevel")
        if not top or not Path(top).samefile(self.root):  # a copy inside the tree of something else
            return
        self.scratch = tempfile.TemporaryDirectory()
        written = Path(self.scratch.name, NAME)
        written.write_text(json.dumps(vcs["git_state"](Path(self.root)), sort_keys=True) + "\n", encoding="utf-8")
        folder = "prunebench" if self.target_name == "wheel" else "harness/prunebench"
        build_data["force_include"][str(written)] = f"{folder}/{NAME}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was written beside the tree."""
        if scratch := getattr(self, "scratch", None):
            scratch.cleanup()
