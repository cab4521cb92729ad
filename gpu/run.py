"""What a GPU is needed for, in steps that stand alone: `python3 gpu/run.py a b c d --data DIR --out DIR`.

a  the tests that need CUDA, training among them                                                   2.5 minutes
b  the benchmark of training: a plain loop, the engine, each of its switches, several at once        3 minutes
c  fidelity of the recipe: Random at 90 %, 3 subsets, ours and DeepCore's loop                       3 to 8 minutes
d  Table 1 of CIFAR-10 at 90 %, then 80 and 70 %, as far as time goes                                8.5 minutes
e  further backbones on CIFAR-10, whose weights come back in pieces of at most 16 MiB                8.5 minutes

Each step has a limit of its own and writes below --out as it goes, so that what is done counts when time runs out; one
that fails is reported, and the next begins.  --seconds ends the whole in time.  --pretend tries all of it on any
machine with next to no data; its figures mean nothing.  Without a GPU, or where a package is missing, nothing begins.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
FIDELITY = (
    "the engine, bf16",
    "the engine, bf16, batch 128",
    "the engine, float32",
    "DataLoader and torchvision",
)
FIRST = ("random", "moderate", "d2-published", "ccs-published", "topocore", "stable-topocore")  # of Table 1
_START_SECONDS = 15.0  # of a command, before it counts
_KEEP_SECONDS = 30.0  # between two copies of what comes back


@dataclass(frozen=True, kw_only=True)
class Step:
    """Commands, one after the other, with their limit; {left} in one stands for the seconds until its interrupt.

    grace_seconds: of the limit, to end in after the interrupt.  kept: a folder that comes back as an archive.
    """

    title: str
    seconds: float
    commands: Sequence[Sequence[str]]
    grace_seconds: float = 5
    kept: Path | None = None


def steps(data: Path, out: Path, work: Path, *, pretend: bool) -> dict[str, Step]:
    """Return all steps by their letters."""
    python, results = sys.executable, work / "results"
    files = [str(file) for file in sorted(ROOT.glob("tests/**/test_*.py")) if "mark.gpu" in file.read_text("utf-8")]
    tests = [python, "-m", "pytest", "-m", "gpu", "-n", "0", "-q", "-p", "no:cacheprovider", "-W", "default", *files]
    bench = [python, "tests/benchmarks/bench_training.py", f"--data={data}", f"--out={out / 'b-engine.json'}"]
    if pretend:
        bench += ["--images=300", "--plain-images=300", "--seconds=.1", "--turns=1", "--workers=0", "--together=2"]
    study = [python, "tests/benchmarks/study_recipe.py", str(data), f"--out={out / 'c-recipe.jsonl'}"]
    if pretend:
        study += ["--network=lenet", "--epochs=2", "--subset=100", "--seeds=1", "--arm=the engine, float32"]
    else:
        study += ["--seconds={left}", "--workers=8", "--threads=2", *(f"--arm={arm}" for arm in FIDELITY)]
    suite = [python, "-m", "prunebench", "run", "smoke" if pretend else "cifar10-table1", "--quiet", f"--data={data}"]
    suite += [f"--results={results}", f"--cache={work / 'cache'}"]
    gpu = [] if pretend else ["--until={left}s", "--devices=0", "--slots-per-device=2", "--threads=4"]
    # Without the networks of the whole set, each of which takes as long as ten of a tenth.
    table = [[*suite, *gpu, "--keep=0.1", "--seeds=3", *(f"--scorer={one}" for one in FIRST)]]
    table += [[*suite, *gpu, f"--keep={keep}"] for keep in (["0.1"] if pretend else ["0.1", "0.2", "0.3"])]
    train = [python, "gpu/train_backbones.py", f"--data={data}", f"--out={out}"]
    if pretend:
        train += ["--epochs=1", "--images=64", "--only=vit_tiny"]
    return {
        "a": Step(title="tests on CUDA", seconds=150, commands=[tests]),
        "b": Step(title="speed of training", seconds=200, commands=[bench]),
        "c": Step(title="fidelity of the recipe", seconds=500, commands=[study]),
        "d": Step(title="Table 1", seconds=510, commands=table, grace_seconds=40, kept=results),
        "e": Step(title="further backbones", seconds=510, commands=[train]),
    }


def run(step: Step, log: Path, until: float, environment: dict[str, str]) -> str:
    """Run the commands of a step until its limit or that of the whole, and say how it ended."""
    end = min(until, time.monotonic() + step.seconds)
    said = []
    with log.open("a", encoding="utf-8") as file:
        for command in step.commands:
            left = end - time.monotonic()
            if left < 5:
                said.append("no time left")
                break
            seconds = int(max(1, left - step.grace_seconds - _START_SECONDS))
            command = [part.replace("{left}", str(seconds)) for part in command]
            file.write(f"$ {' '.join(command)}\n")
            file.flush()
            said.append(_ended(command, file, environment, left, step, log.with_suffix(".tar.gz")))
    return ", ".join(said)


def _ended(
    command: Sequence[str], file: IO[str], environment: dict[str, str], seconds: float, step: Step, archive: Path
) -> str:
    """Run a command, and archive what its step keeps now and then: whoever ends this script may do so without a word.

    It has a process group of its own, of which nothing is left, and no session: what ends this script ends it, too.
    """
    end = time.monotonic() + max(1.0, seconds - step.grace_seconds)
    child = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, env=environment, process_group=0)
    try:
        while (left := end - time.monotonic()) > 0:
            with suppress(subprocess.TimeoutExpired):
                return f"exit code {child.wait(min(left, _KEEP_SECONDS))}"
            _keep(step.kept, archive)
        child.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            return f"stopped at its limit, exit code {child.wait(step.grace_seconds)}"
        return "killed at its limit"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        _keep(step.kept, archive)


def _keep(kept: Path | None, archive: Path) -> None:
    """Write the folder that comes back to an archive, whole or not at all."""
    if kept is None or not kept.exists():
        return
    part = archive.with_name(f".{archive.name}")
    with tarfile.open(part, "w:gz") as out:
        out.add(kept, arcname=kept.name)
    part.replace(archive)


def missing() -> list[str]:
    """Return what keeps this machine from running the steps, in words; packages that a few methods alone need count
    not."""
    try:
        needed = [one.split(";")[0] for one in requires("prunebench") or () if "extra ==" not in one]
    except PackageNotFoundError:
        return ["prunebench is not installed: its wheel names the plugins"]
    absent = [name for name in (re.split("[^A-Za-z0-9_.-]", one)[0] for one in needed) if not _is_there(name)]
    if absent:
        print(f"not installed here: {', '.join(absent)}", flush=True)  # noqa: T201
    try:
        import torch

        import prunebench.plugins  # noqa: F401
    except ImportError as error:
        return [str(error)]
    return [] if torch.cuda.is_available() else ["no GPU can be seen"]


def _is_there(name: str) -> bool:
    with suppress(PackageNotFoundError):
        return bool(version(name))
    return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps that were asked for; the exit code is 1 where one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="+", choices="abcde")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("PRUNEBENCH_DATA", "data")))
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "gpu-out")))
    parser.add_argument("--work", type=Path, help="folder of caches and results; default: `work` in --out's place")
    parser.add_argument("--seconds", type=float, default=540, help="of the whole")
    parser.add_argument("--pretend", action="store_true", help="tiny sizes, on any machine")
    options = parser.parse_args(arguments)
    if (faults := missing()) and not options.pretend:
        parser.error("; ".join(faults))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the step ends, too
    out = options.out.resolve()
    work = (options.work or out.parent / "gpu-work").resolve()
    for folder in (out, work):
        folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(work / "inductor"), "PYTHONUNBUFFERED": "1"}
    until, failed = time.monotonic() + options.seconds, False
    for letter in options.steps:
        step = steps(options.data.resolve(), out, work, pretend=options.pretend)[letter]
        if options.pretend:
            step = replace(step, seconds=math.inf)  # a processor is slow; --seconds is the limit
        began, log = time.monotonic(), out / f"{letter}.log"
        outcome = run(step, log, until, environment)
        failed |= outcome.replace("exit code 0", "").strip(", ") != ""
        print(f"--- {letter}: {step.title}: {outcome}, {time.monotonic() - began:.0f} s")  # noqa: T201
        print("\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-25:]), flush=True)  # noqa: T201
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
