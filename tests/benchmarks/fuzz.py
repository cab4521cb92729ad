"""The long form of tests/test_fuzz.py: python tests/benchmarks/fuzz.py [--count N] [--from NUMBER] [WORD ...]

Reads N damaged files (default 100,000) with each parser whose name has one of the words, or with all, and prints how
many were refused. What no parser may raise ends it with a traceback and the number of the file; memory is bounded."""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzzed_data import DATA
from fuzzed_results import RESULTS
from fuzzing import refused

AT_ONCE, MAX_BYTES = 1000, 8 << 30


def main() -> None:
    """Read the files, and print a line for each parser."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=100_000)
    options.add_argument("--from", type=int, default=0, dest="first")
    options.add_argument("words", nargs="*")
    asked = options.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, resource.RLIM_INFINITY))
    for parser in (
        one for one in (*RESULTS, *DATA) if not asked.words or any(word in one.name for word in asked.words)
    ):
        count, started, end = 0, time.monotonic(), asked.first + asked.count
        for first in range(asked.first, end, AT_ONCE):
            count += refused(parser, range(first, min(end, first + AT_ONCE)))
        seconds = time.monotonic() - started
        print(f"{parser.name}: {asked.count:,} files, {count:,} refused, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
