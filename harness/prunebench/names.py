"""Names of what is installed and registered, and methods by name: `scorers("*core*")`, `create_method(NAME, k=3)`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from prunebench.plugins import load_plugins
from prunebench.registry import load_registry, registry_for_own_data

if TYPE_CHECKING:
    from prunebench.pruning.scoring import Method

Globs = str | Sequence[str]


def scorers(pattern: Globs = "", exclude: Globs = "") -> list[str]:
    """Return the names of the installed plugins that score samples, sorted: what `create_method` takes.

    pattern: a glob such as "*core*", or several of which one has to fit.  exclude: globs of names to leave out."""
    return _plugins("scorers", pattern, exclude)


def selectors(pattern: Globs = "", exclude: Globs = "") -> list[str]:
    """Return the names of the installed plugins that choose from scores, sorted; globs as for `scorers`."""
    return _plugins("selectors", pattern, exclude)


def projectors(pattern: Globs = "", exclude: Globs = "") -> list[str]:
    """Return the names of the installed plugins that map features to a few dimensions, sorted; globs as for
    `scorers`."""
    return _plugins("projectors", pattern, exclude)


def datasets(pattern: Globs = "", exclude: Globs = "") -> list[str]:
    """Return the names of the installed plugins that read data of a suite, sorted; globs as for `scorers`."""
    return _plugins("datasets", pattern, exclude)


def backbones(pattern: Globs = "", exclude: Globs = "") -> list[str]:
    """Return the names of the installed plugins that provide networks, sorted; globs as for `scorers`.  The networks of
    registry.toml that they provide are `networks`."""
    return _plugins("backbones", pattern, exclude)


def learners(pattern: Globs = "", exclude: Globs = "") -> list[str]:
    """Return the names of the installed plugins that train, sorted; globs as for `scorers`."""
    return _plugins("learners", pattern, exclude)


def metrics(pattern: Globs = "", exclude: Globs = "") -> list[str]:
    """Return the names of the installed plugins that add columns to the board, sorted; globs as for `scorers`."""
    return _plugins("metrics", pattern, exclude)


def networks(pattern: Globs = "", exclude: Globs = "") -> list[str]:
    """Return the networks of registry.toml by name, sorted: what `prune` and `run_suite` take as backbone; globs as for
    `scorers`."""
    return _passing(load_registry().networks, pattern, exclude)


def methods(pattern: Globs = "", exclude: Globs = "") -> list[str]:
    """Return what `run_suite` takes as scorer, sorted: scorers, and those of registry.toml with other parameters; globs
    as for `scorers`."""
    return _passing({*load_plugins().entries["scorers"], *load_registry().methods}, pattern, exclude)


def suites(pattern: Globs = "", exclude: Globs = "") -> list[str]:
    """Return the suites of registry.toml by name, sorted: what `run_suite` takes; globs as for `scorers`."""
    return _passing(load_registry().suites, pattern, exclude)


def create_method(scorer: str, *, projector: str = "", seed: int = 0, **params: Any) -> Method:
    """Return a method for `prune(..., method=...)`: a scorer by name with its parameters, checked at once.

    projector: for scorers that read a projection, by default that of registry.toml.  Raises UsageError for a name, a
    parameter or a value that the scorer does not have, with the nearest one."""
    from prunebench.pruning.scoring import Method

    catalogue = load_plugins()
    catalogue.scorer(scorer).spec.resolve_params(params)
    projector = projector or registry_for_own_data().own_data.projector
    if "projection" in catalogue.scorer(scorer).spec.needs:
        catalogue.projector(projector)
    return Method(scorer=scorer, params=params, projector=projector, seed=seed)


def _plugins(kind: str, pattern: Globs, exclude: Globs) -> list[str]:
    return _passing(load_plugins().entries[kind], pattern, exclude)


def _passing(names: Iterable[str], pattern: Globs, exclude: Globs) -> list[str]:
    wanted, unwanted = ([globs] if isinstance(globs, str) else globs for globs in (pattern or "*", exclude))
    passing = (name for name in names if any(fnmatchcase(name, glob) for glob in wanted))
    return sorted(name for name in passing if not any(fnmatchcase(name, glob) for glob in unwanted))
