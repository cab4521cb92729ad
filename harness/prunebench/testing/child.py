"""The process in which checks are made: `python -m prunebench.testing.child`, one JSON request per line.

Whatever the plugin does to this process stays in it. Answers go to the descriptor that was standard output."""

import faulthandler
import json
import os

from prunebench.testing.checks import answer
from prunebench.wire import from_json


def main() -> None:
    """Answer requests until the input ends."""
    answers, requests = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in requests:
        request = json.loads(line)
        faulthandler.dump_traceback_later(request["seconds"] + 60, exit=True)  # where whoever asked is gone
        said = answer(from_json(request["entry"]), request["check"])
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
    main()
