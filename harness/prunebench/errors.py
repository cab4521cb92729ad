"""Every error that a user can meet: what went wrong, and the next thing to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PrunebenchError(Exception):
    """Base of all errors shown without a traceback; `hint` is the next thing to do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(PrunebenchError):
    """The command line names something that does not exist or does not fit."""

    exit_code = 2


class RegistryError(PrunebenchError):
    """registry.toml is wrong at `key` (dotted) on `line` (1-based, 0 when unknown)."""

    exit_code = 3

    def __init__(self, message: str, hint: str = "", *, key: str = "", line: int = 0) -> None:
        super().__init__(message, hint)
        self.key = key
        self.line = line


class PluginError(PrunebenchError):
    """A plugin is at fault; the message names it, its distribution and its version."""

    exit_code = 3


class PluginLoadError(PluginError):
    """A plugin could not be imported or registered."""


class PluginCollision(PluginError):
    """Two distributions declare the same name."""


class EnvironmentFailed(PluginError):
    """The environment that a plugin is to run in cannot be made, or does not hold the plugin."""


class PluginContractError(PluginError):
    """An implementation broke a promise of its spec, such as the length of its scores."""


class NotApplicable(PrunebenchError):
    """A method declines this input; recorded as a skip with its reason, not as a failure."""


class DataError(PrunebenchError):
    """Data or weights are missing, unreadable, or not the ones that were promised."""

    exit_code = 4


class DatasetMissing(DataError):
    """The files of a data set are not where they were looked for."""


class FingerprintMismatch(DataError):
    """The content of a data set is not the registered one."""


class WeightsMissing(DataError):
    """Weights cannot be found, fetched, or loaded into the model."""


class CellError(PrunebenchError):
    """One cell of the grid could not be computed; the run goes on."""

    status = "failed"


class CellFailed(CellError):
    """An implementation raised."""


class OutOfMemory(CellError):
    """Memory ran out even at the smallest batch size."""

    status = "oom"


class CellTimeout(CellError):
    """The cell ran past its deadline."""

    status = "timeout"


class Diverged(CellError):
    """Training produced a loss that is not finite."""

    status = "diverged"


class WorkerDied(CellError):
    """A worker process ended without an answer."""


class StoreError(PrunebenchError):
    """The cache folder cannot be read or written."""

    exit_code = 5


class CorruptArtefact(StoreError):
    """A stored artefact does not match its recorded digest."""


class SchemaTooNew(StoreError):
    """A record was written by a newer prunebench than this one."""


class ResultConflict(PrunebenchError):
    """Two records of one key disagree beyond the tolerance of the recipe."""

    exit_code = 6


class StaleBoard(PrunebenchError):
    """The committed board is not what the committed records give."""

    exit_code = 7


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest of `known` names, or lists them when none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    return "known: " + ", ".join(names) if names else "none is known"
