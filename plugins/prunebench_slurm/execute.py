"""One job per task: what is submitted before a wait becomes one array.  The jobs outlive this process, and what they
have computed is in the cache folder, which is shared by the nodes, as the folder of the results is."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunebench import Event, NotApplicable, PrunebenchError, Settings, Task, Worker

_LOOK_SECONDS = 0.2  # between looks for answers, which are files
_STATES = {"OUT_OF_MEMORY": "oom", "TIMEOUT": "timeout"}  # of jobs that end without an answer; others have failed


@dataclass(frozen=True)
class Job:
    """What a job does: it is pickled by submitit, called on the node, and kept when the job is queued again."""

    settings: Settings
    task: Task
    on_gpu: bool
    log: Path

    def __call__(self) -> Mapping[str, Any]:
        """Compute the task in a worker process and return its outcome."""
        slot = os.environ.get("CUDA_VISIBLE_DEVICES", "0") if self.on_gpu else "cpu"  # SLURM has set it
        worker = Worker(self.settings, slot, self.log)
        try:
            return worker.perform(self.task)
        finally:
            worker.end(kill=True)
            worker.close()

    def checkpoint(self) -> Any:
        """Return what to do after a preemption: the same; finished parts are in the cache."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class SlurmExecutor:
    """Follows prunebench.Executor; its slots are "cpu", or "cuda" for tasks that get a GPU."""

    def __init__(
        self, settings: Settings, slots: Sequence[str], log_folder: Path, *, minutes: int = 240, gpus: int = 0,
        cpus: int = 0, memory_gib: float = 0.0, requeues: int = 3, cluster: str = "slurm", **named: str,
    ) -> None:  # fmt: skip
        self._settings, self._slots, self._folder = settings, len(slots), log_folder
        self._on_gpu = any(slot != "cpu" for slot in slots)
        self._executor = _executor(log_folder / "slurm", cluster, requeues)
        asked: dict[str, Any] = {"timeout_min": minutes, "cpus_per_task": cpus or settings.threads}
        asked |= {"gpus_per_node": max(gpus, 1)} if self._on_gpu and not named.get("gres") else {}
        asked |= {"mem_gb": memory_gib} if memory_gib else {}
        if cluster == "slurm":
            asked |= {f"slurm_{name}": value for name, value in named.items() if value}
            again = {"requeue": True}  # also when a node fails
            asked |= {"slurm_array_parallelism": len(slots), "slurm_additional_parameters": again}
        self._executor.update_parameters(name="prunebench", **asked)
        self._waiting: list[Task] = []
        self._jobs: dict[str, tuple[Task, Any, float]] = {}

    def idle(self) -> int:
        """Return how many more tasks can be submitted now."""
        return self._slots - len(self._jobs) - len(self._waiting)

    def submit(self, task: Task) -> None:
        """Take a task for the next array."""
        self._waiting.append(task)

    def wait(self, timeout_seconds: float) -> Sequence[Event]:
        """Submit what was taken as one array; return what has ended, waiting at most so long for the first."""
        if self._waiting:
            self._send()
        until = time.monotonic() + timeout_seconds
        while not (ended := [key for key, (_, job, _) in self._jobs.items() if job.done()]):
            if (left := until - time.monotonic()) <= 0:
                return []
            time.sleep(min(_LOOK_SECONDS, left))
        return [self._event(*self._jobs.pop(key)) for key in ended]

    def close(self, *, kill: bool = False) -> None:
        """Cancel what is queued or runs."""
        for _, job, _ in self._jobs.values():
            job.cancel(check=False)
        self._jobs.clear()
        self._waiting.clear()

    def _send(self) -> None:
        import submitit

        tasks, self._waiting = self._waiting, []
        works = [Job(self._settings, task, self._on_gpu, self._folder / f"job-{task.key}.log") for task in tasks]
        try:
            with self._executor.batch():
                jobs = [self._executor.submit(work) for work in works]
        except submitit.core.utils.FailedJobError as error:
            text = f"executor slurm: sbatch refuses the jobs: {' '.join(str(error).split())}"
            raise PrunebenchError(text, "check partition, account and the other options of --executor slurm") from error
        now = time.monotonic()
        self._jobs |= {task.key: (task, job, now) for task, job in zip(tasks, jobs, strict=True)}

    def _event(self, task: Task, job: Any, started: float) -> Event:
        import submitit

        try:
            return Event(task.key, outcome=job.result())
        except (submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedJobError) as error:
            state = str(job.state).partition(" ")[0]  # "CANCELLED by 1000"
            why = " ".join(str(error).strip().splitlines()[-1:])
            reason = f"SLURM job {job.job_id} ended without an answer, in state {state}: {why}"
            hint = f"see {job.paths.stderr}"
            seconds = time.monotonic() - started
            return Event.lost(task, reason, hint, status=_STATES.get(state, "failed"), seconds=seconds)


def _executor(folder: Path, cluster: str, requeues: int) -> Any:
    try:
        import submitit
    except ImportError as error:
        raise NotApplicable("executor slurm needs submitit", "pip install 'prunebench[slurm]'") from error
    known = {"slurm_max_num_timeout": requeues} if cluster == "slurm" else {}
    try:
        return submitit.AutoExecutor(folder, cluster=cluster, **known)
    except RuntimeError as error:
        text = f"executor slurm: {' '.join(str(error).split())}"
        raise NotApplicable(text, "run it where sbatch and srun are, or try --executor slurm:cluster=debug") from error
