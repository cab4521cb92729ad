"""The process in which checks are made: `python -m prunebench.testing.child`, one JSON request per line.

Whatever the plugin does to this process stays in it. Answers go to the descriptor that was standard output.
"""

from __future__ import annotations

import faulthandler
import json
import os
import queue
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import prunebench
from prunebench.errors import DatasetMissing, NotApplicable, WeightsMissing
from prunebench.testing.cases import FORKED
from prunebench.testing.checks import find_check
from prunebench.testing.results import CheckFailed, DoesNotApply
from prunebench.testing.side_effects import initial_environment
from prunebench.wire import from_json

_HARNESS = str(Path(prunebench.__file__).parent)


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Make one check and return its status, reason, facts and seconds; catches everything that can be caught."""
    entry = from_json(request["entry"])
    started = time.perf_counter()
    status, reason, facts = "passed", "", None
    try:
        facts = find_check(entry.spec.kind, request["check"]).function(entry)
    except (DoesNotApply, NotApplicable, DatasetMissing, WeightsMissing) as error:
        status, reason = "not_applicable", str(error)
    except CheckFailed as error:
        status, reason = "failed", str(error)
    except SystemExit as error:
        status, reason = "failed", f"it called sys.exit({error.code!r}){_place(error)}"
    except BaseException as error:
        traceback.print_exc()
        status, reason = "failed", f"{type(error).__name__}: {error}{_place(error)}"
    seconds = time.perf_counter() - started
    return {"status": status, "reason": reason, "facts": dict(facts or {}), "seconds": seconds}


def _place(error: BaseException) -> str:
    """Return the last line of the traceback that is not the harness's, as " (file:line)"."""
    frames = traceback.extract_tb((error.__cause__ or error).__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((_HARNESS, "<frozen"))]
    return f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""


def main() -> None:
    """Answer requests until the input ends."""
    home, answers, requests = os.getpid(), os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    faulthandler.enable()
    initial_environment()
    lines: queue.Queue[str] = queue.Queue()

    def listen() -> None:
        for line in requests:
            lines.put(line)
        os._exit(0)

    def say(message: Mapping[str, Any]) -> None:
        if os.getpid() != home:  # a copy of this process that a plugin forked
            os._exit(FORKED)
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    # Read in a thread, so that the end of the input (the parent has gone) ends even a plugin that hangs.
    threading.Thread(target=listen, daemon=True).start()
    say({"ready": True})
    while True:
        say(answer(json.loads(lines.get())))


if __name__ == "__main__":
    main()
