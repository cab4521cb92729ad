"""Environments for plugins whose dependencies clash with those of others: made once, by uv, in the cache folder.

Such an environment sees the packages of the one that prunebench runs in, and holds only what its requirements want in
another version, or what is not there at all. So it is small, is made in seconds, and the numerical libraries are the
same: a plugin of another environment is compared with the others under the same torch.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from site import ENABLE_USER_SITE, getsitepackages, getusersitepackages
from typing import TYPE_CHECKING

from filelock import FileLock

from prunebench.errors import EnvironmentFailed
from prunebench.keys import digest
from prunebench.plugins import HOST
from prunebench.provenance import package_list_digest

if TYPE_CHECKING:
    from packaging.requirements import Requirement

DECLARATIONS = "declarations.json"
_FORMAT = 1


@dataclass(frozen=True)
class Environment:
    """A folder made by `uv venv`, with the declarations of its plugins as JSON."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        scripts = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
        return self.folder / scripts

    @property
    def declarations(self) -> Path:
        """What its plugins declare; there once the environment is complete."""
        return self.folder / DECLARATIONS


def make_environment(plugin: str, requirements: Sequence[str], cache: Path) -> Environment:
    """Return the environment of these PEP 508 requirements, made now unless it is in the cache.

    The key covers the requirements, this interpreter and every package installed beside it, prunebench too.
    Raises EnvironmentFailed, which names the plugin, with what uv or the interpreter said.
    """
    key = digest([_FORMAT, sorted(requirements), sys.version, sys.prefix, package_list_digest()])
    environment = Environment(cache / "environments" / key)
    if environment.declarations.is_file():
        return environment
    environment.folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{environment.folder}.lock"):
        if not environment.declarations.is_file():
            shutil.rmtree(environment.folder, ignore_errors=True)
            _build(plugin, requirements, environment)
    return environment


def _build(plugin: str, requirements: Sequence[str], environment: Environment) -> None:
    uv = _find_uv(plugin)
    _run(plugin, [uv, "venv", "--quiet", "--python", sys.executable, str(environment.folder)])
    site = _site_packages(environment)
    # addsitedir, unlike a plain path, reads the .pth files there too: packages may be installed editable.
    parents = [*getsitepackages(), *([getusersitepackages()] if ENABLE_USER_SITE else [])]
    lines = [f"import site; site.addsitedir({folder!r})\n" for folder in parents]
    (site / "_prunebench_parent.pth").write_text("".join(lines), encoding="utf-8")
    wanted = list(requirements)
    while True:
        install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", str(environment.python), *wanted]
        _run(plugin, install)
        lacking = [requirement for requirement in unsatisfied(site, wanted) if requirement not in wanted]
        if not lacking:
            break
        wanted += lacking
    # Last, and by the environment's own interpreter: it is complete when its plugins can be declared.
    partial = environment.folder / "declarations.partial"
    _run(plugin, [str(environment.python), "-m", "prunebench.declarations", str(partial)])
    partial.replace(environment.declarations)


def _site_packages(environment: Environment) -> Path:
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(environment.folder)}))


def unsatisfied(site: Path, wanted: Iterable[str]) -> list[str]:
    """Return what the distributions in `site`, and prunebench itself, require and neither it nor this process has.

    wanted: the requirements that were installed; they say which extras count.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    own = _first_of_each(distributions(path=[str(site)]))
    installed = {**_first_of_each(distributions()), **own}
    extras: dict[str, set[str]] = {}
    for text in wanted:
        requirement = Requirement(text)
        extras.setdefault(canonicalize_name(requirement.name), set()).update(requirement.extras)
    lacking: dict[str, None] = {}
    for name in (*own, HOST):
        for requirement in _requirements(installed.get(name), extras.get(name, set())):
            found = installed.get(canonicalize_name(requirement.name))
            if found is None or not requirement.specifier.contains(found.version, prereleases=True):
                requirement.marker = None
                lacking[str(requirement)] = None
    return list(lacking)


def _first_of_each(found: Iterable[Distribution]) -> dict[str, Distribution]:
    from packaging.utils import canonicalize_name

    first: dict[str, Distribution] = {}
    for distribution in found:
        first.setdefault(canonicalize_name(distribution.name), distribution)
    return first


def _requirements(distribution: Distribution | None, extras: set[str]) -> Iterator[Requirement]:
    from packaging.requirements import Requirement

    for text in (distribution.requires or []) if distribution else []:
        requirement = Requirement(text)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": e}) for e in ("", *extras)):
            yield requirement


def _find_uv(plugin: str) -> str:
    found = os.environ.get("UV") or shutil.which("uv") or shutil.which("uv", path=sysconfig.get_path("scripts"))
    if not found:
        raise EnvironmentFailed(f"plugin {plugin!r} wants an environment of its own, which uv makes", "pip install uv")
    return found


def _run(plugin: str, command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise EnvironmentFailed(
            f"the environment of plugin {plugin!r} cannot be made: {Path(command[0]).stem} "
            f"{' '.join(command[1:3])} ended with {done.returncode}: {said}",
            f"look at environment = [...] of [plugin.{plugin}] in the registry",
        )
