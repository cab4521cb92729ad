"""Every error that a user can meet: what went wrong, and the next thing to do."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class PrunebenchError(Exception):
    """Base of all errors shown without a traceback; `hint` is the next thing to do.
    Hint: Follow the hint that is printed with it; `--traceback` shows the rest."""

    exit_code = 1
    status = "failed"  # of the task that it ends

    def __init_subclass__(cls, exit_code: int | None = None, status: str | None = None) -> None:
        cls.exit_code, cls.status = exit_code or cls.exit_code, status or cls.status

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a file: the line (from 1; 0 is the whole file), why, and what to do.
    file: its name; key: the dotted key of a TOML file; kind: the error that it amounts to."""

    line: int
    reason: str
    hint: str = ""
    file: str = ""
    key: str = ""
    kind: type[PrunebenchError] = PrunebenchError

    def __str__(self) -> str:
        place = f"{self.file}, line {self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.key, self.reason) if part)


class UsageError(PrunebenchError, exit_code=2):
    """The command line names something that does not exist or does not fit.
    Hint: Correct the name or the option; the nearest known name is suggested."""


class NotHere(UsageError):
    """A plugin that the registry lists with an `environment` is not installed here in the version that is meant.
    Hint: Run the command that the message names: it makes an environment with the requirements of the plugin."""


class RegistryError(PrunebenchError, exit_code=3):
    """registry.toml is wrong at `key` (dotted) on `line` (from 1), which are those of the first of all `faults`.
    Hint: Correct that line of the file; the message says what was expected there."""

    def __init__(self, message: str, hint: str, faults: tuple[Fault, ...]) -> None:
        super().__init__(message, hint)
        self.key, self.line, self.faults = faults[0].key, faults[0].line, faults


class PluginError(PrunebenchError, exit_code=3):
    """A plugin is at fault; the message names it, its distribution and its version.
    Hint: Update or uninstall the distribution that is named; `prunebench list` works without it."""


class PluginLoadError(PluginError):
    """A plugin could not be imported or registered.
    Hint: Update, repair or uninstall the distribution, then run `prunebench doctor`, which tries it again."""


class PluginCollision(PluginError):
    """Two distributions declare the same name.
    Hint: Rename one of the two, or uninstall the distribution that is not wanted."""


class PluginContractError(PluginError):
    """An implementation broke a promise of its spec, such as the length of its scores.
    Hint: Report it to the author of the plugin; `prunebench check NAME` shows the broken promise."""


class NotApplicable(PrunebenchError, status="not_applicable"):
    """A method declines this input; recorded as a skip with its reason, not as a failure.
    Hint: Nothing, or another input: the reason says what the method needs."""


class DataError(PrunebenchError, exit_code=4):
    """Data or weights are missing, unreadable, or not the ones that were promised.
    Hint: Restore or correct the file that is named."""


class DatasetMissing(DataError):
    """The files of a data set are not where they were looked for.
    Hint: Obtain the files as the message says, and name their folder with `--data DIR` or PRUNEBENCH_DATA."""


class FingerprintMismatch(DataError):
    """The content of a data set is not the registered one.
    Hint: Obtain the data again; if the data are meant to differ, register them under another name."""


class WeightsMissing(DataError):
    """Weights cannot be found, fetched, or loaded into the model.
    Hint: Put the file where the message says, or take the network out with `--backbone`."""


class CellFailed(PrunebenchError):
    """An implementation raised; the run goes on, and the next one tries what failed again.
    Hint: The traceback is in the log of the worker below `runs/`; report it to the author of the plugin."""


class OutOfMemory(PrunebenchError, status="oom"):
    """Memory ran out even at the smallest batch size.
    Hint: Use a device with more memory, fewer slots a device, or a smaller data set."""


class CellTimeout(PrunebenchError, status="timeout"):
    """The cell ran past its deadline. Hint: Raise the limit with `--timeout SECONDS`."""


class Diverged(PrunebenchError, status="diverged"):
    """Training produced a loss that is not finite.
    Hint: Lower the learning rate of the recipe, or leave the cell as a failure of the method."""


class StoreError(PrunebenchError, exit_code=5, status="store"):
    """The cache folder cannot be read or written.
    Hint: Free some space, or name a folder that can be written with `--cache DIR`."""


class CorruptArtefact(StoreError):
    """A stored artefact does not match its recorded digest.
    Hint: Remove the artefact that is named; it is computed again."""


class SchemaTooNew(StoreError):
    """A record was written by a newer prunebench than this one. Hint: `pip install -U prunebench`."""


class ResultConflict(PrunebenchError, exit_code=6):
    """Two records of one key disagree beyond the tolerance of the recipe.
    Hint: Find out why the two differ, then replace the older with `--supersede REASON`."""


class StaleBoard(PrunebenchError, exit_code=7):
    """The committed board is not what the committed records give.
    Hint: Write it again with the command that the message names, and commit it."""


MOST_LISTED = 100  # methods are fewer; ids of a data set are not


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest of `known` names, or lists them when none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    rest = f" and {len(names) - MOST_LISTED:,} more" if len(names) > MOST_LISTED else ""
    listed = "known: " + ", ".join(names[:MOST_LISTED]) + rest if names else "none is known"
    return f"did you mean {near[0]!r}?" if near else listed
