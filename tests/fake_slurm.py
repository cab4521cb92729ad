"""A small SLURM on one machine: `sbatch`, `srun`, `sacct`, `scancel` and `scontrol` that really run jobs.

The state is a folder, named by FAKE_SLURM: jobs/ID holds state, script and the process of a job.  A supervisor for each
array runs as many of its jobs at a time as the array allows.  Which command it is says the name of the file."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = ("sbatch", "srun", "sacct", "scancel", "scontrol", "squeue")
TIMES = {"PENDING", "RUNNING", "REQUEUED"}  # states of jobs that have not ended


def install(folder: Path) -> dict[str, str]:
    """Put the commands into a folder and return the environment in which they are found."""
    (folder / "bin").mkdir(parents=True)
    (folder / "jobs").mkdir()
    for name in COMMANDS:
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    return {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "FAKE_SLURM": str(folder)}


def jobs() -> Path:
    return Path(os.environ["FAKE_SLURM"], "jobs")


def state(job: str, new: str = "") -> str:
    """Return the state of a job, after it was set to a new one."""
    file = jobs() / job / "state"
    if new:
        file.with_suffix(".new").write_text(new, encoding="utf-8")
        file.with_suffix(".new").replace(file)
    return file.read_text(encoding="utf-8")


def sbatch(script: str) -> None:
    text = Path(script).read_text(encoding="utf-8")
    if "--partition=closed" in text:
        sys.exit("sbatch: error: invalid partition specified: closed")
    number = str(1 + max((int(path.name.partition("_")[0]) for path in jobs().iterdir()), default=100))
    array = re.search(r"--array=0-(\d+)%(\d+)", text)
    names = [f"{number}_{at}" for at in range(int(array[1]) + 1)] if array else [number]
    for name in names:
        (jobs() / name).mkdir()
        (jobs() / name / "script").write_text(text, encoding="utf-8")
        state(name, "PENDING")
    most = array[2] if array else "1"
    command = [sys.executable, __file__, "supervise", most, *names]
    nowhere = subprocess.DEVNULL  # a pipe that it held open would make whoever reads the answer wait
    subprocess.Popen(command, start_new_session=True, stdin=nowhere, stdout=nowhere, stderr=nowhere)
    print(f"Submitted batch job {number}")  # noqa: T201


def supervise(most: str, *names: str) -> None:
    """Run the jobs, a limited number at a time, and queue those again that were told to."""
    running: dict[str, subprocess.Popen[bytes]] = {}
    while running or any(state(name) == "PENDING" for name in names):
        for name in (name for name in names if state(name) == "PENDING" and len(running) < int(most)):
            state(name, "RUNNING")
            running[name] = started(name)
        for name, process in [*running.items()]:
            if process.poll() is not None:
                del running[name]
                ended = {"REQUEUED": "PENDING", "RUNNING": "FAILED" if process.returncode else "COMPLETED"}
                state(name, ended.get(state(name), state(name)))
        time.sleep(0.02)


def started(name: str) -> subprocess.Popen[bytes]:
    number, _, at = name.partition("_")
    given = {"SLURM_JOB_ID": number, "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0",
             "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "FAKE_SLURM_JOB": name}  # fmt: skip
    given |= {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": at} if at else {}
    text = (jobs() / name / "script").read_text(encoding="utf-8")
    if gpus := re.search(r"--gpus-per-node=(\d+)", text):
        given["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(int(gpus[1]))))
    process = subprocess.Popen(["bash", jobs() / name / "script"], env={**os.environ, **given}, start_new_session=True)
    (jobs() / name / "pid").write_text(str(process.pid), encoding="utf-8")
    return process


def srun(*arguments: str) -> None:
    """Become the command, with its output in the files that are named."""
    rest, name = list(arguments), os.environ["FAKE_SLURM_JOB"]
    number, _, at = name.partition("_")
    for option, descriptor in (("--output", 1), ("--error", 2)):
        if option in rest:
            place = rest.index(option)
            file = rest[place + 1]
            del rest[place : place + 2]
            for word, value in (("%A", number), ("%a", at), ("%j", name), ("%t", "0")):
                file = file.replace(word, value)
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), descriptor)
    command = [word for word in rest if word != "--unbuffered"]
    os.execvp(command[0], command)


def sacct(*arguments: str) -> None:
    wanted = {arguments[at + 1] for at, word in enumerate(arguments) if word == "-j"}
    print("JobID|State|NodeList")  # noqa: T201
    for path in sorted(jobs().iterdir()):
        if path.name.partition("_")[0] in wanted:
            print(f"{path.name}|{state(path.name)}|here")  # noqa: T201


def squeue(*arguments: str) -> None:
    for path in sorted(jobs().iterdir()):
        if state(path.name) in TIMES:
            print(path.name)  # noqa: T201


def scancel(name: str, *options: str) -> None:
    number = getattr(signal, options[1] if options[1].startswith("SIG") else f"SIG{options[1]}") if options else None
    for path in (path for path in jobs().iterdir() if name in (path.name, path.name.partition("_")[0])):
        if number is None and state(path.name) in TIMES:
            state(path.name, "CANCELLED by 1000")
        if (path / "pid").exists() and state(path.name) in ("RUNNING", "CANCELLED by 1000"):
            with contextlib.suppress(ProcessLookupError):
                deliver(int((path / "pid").read_text(encoding="utf-8")), number or signal.SIGKILL)


def deliver(leader: int, number: int) -> None:
    """Send a signal to the processes of a job step: the session of a job, without the shell that waits for it."""
    if number == signal.SIGKILL:
        killed = descendants(leader)
        # All are stopped first: none sees another die, and says something of it.
        for pid, sent in [*((pid, signal.SIGSTOP) for pid in killed[::-1]), *((pid, number) for pid in killed)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sent)
        return
    [step] = [pid for pid in descendants(leader) if parent(pid) == leader]
    os.kill(step, number)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])


def descendants(leader: int) -> list[int]:
    """Return a process and all that it has started, the newest first, as the accounting of a cluster knows them."""
    found, above = [leader], {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            above[int(path.name)] = parent(int(path.name))
    for pid in sorted(above):
        if above[pid] in found:
            found.append(pid)
    return found[::-1]


def scontrol(verb: str, name: str) -> None:
    assert verb == "requeue", shlex.join(sys.argv)
    with (jobs() / name / "requeues").open("a", encoding="utf-8") as file:
        file.write("again\n")
    state(name, "REQUEUED")


if __name__ == "__main__":
    {f.__name__: f for f in (sbatch, supervise, srun, sacct, squeue, scancel, scontrol)}[sys.argv[1]](*sys.argv[2:])
