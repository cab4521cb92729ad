"""Which checks a kind of plugin has to pass, in the order in which they are made, and how one is made."""

import time
import traceback
from pathlib import Path
from typing import Any

import prunebench
from prunebench.errors import DatasetMissing, NotApplicable, PrunebenchError, WeightsMissing
from prunebench.plugins import Entry
from prunebench.testing import behaviour, executors, kinds, methods
from prunebench.testing.cases import fingerprint, ordinary_run
from prunebench.testing.results import ALL, Check, CheckFailed

_MADE = [value for module in (behaviour, methods, kinds, executors) for value in vars(module).values()]
_FOUND = {check.name: check for check in _MADE if isinstance(check, Check)}
_HARNESS = str(Path(prunebench.__file__).parent)


def checks_for(kind: str) -> tuple[Check, ...]:
    """Return the checks of a kind ("scorer", ...), in their order."""
    return tuple(sorted((check for check in _FOUND.values() if kind in check.kinds), key=lambda check: check.stage))


def all_checks() -> dict[str, Check]:
    """Return every check by name, in the order of kinds."""
    return {check.name: check for kind in ALL.split() for check in checks_for(kind)}


def answer(entry: Entry[Any], name: str) -> dict[str, Any]:
    """Make one check, or a digest of a run where no name is given, and return status, reason and seconds."""
    started, status = time.perf_counter(), "passed"
    try:
        reason = (_FOUND[name].function(entry) or "") if name else fingerprint(ordinary_run(entry))
    except (NotApplicable, DatasetMissing, WeightsMissing) as error:
        status, reason = "not_applicable", str(error)
    except CheckFailed as error:
        status, reason = "failed", str(error)
    except PrunebenchError as error:
        status, reason = "failed", f"{error.message}: {error.hint}"
    except SystemExit as error:
        status, reason = "failed", f"it called sys.exit({error.code!r}){_place(error)}"
    except Exception as error:
        status, reason = "failed", f"{type(error).__name__}: {error}{_place(error)}"
    return {"status": status, "reason": reason, "seconds": time.perf_counter() - started}


def _place(error: BaseException) -> str:
    """Return the last line of the traceback that is not the harness's, as " (file:line)"."""
    frames = traceback.extract_tb((error.__cause__ or error).__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((_HARNESS, "<frozen"))]
    return f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
