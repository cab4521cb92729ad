"""Executors that break one promise each; named after what they do. They are written on public names alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

from prunebench import Event


class StartsWorkers:
    """One process per task, as a cluster would start it: keeps every promise."""

    def __init__(self, settings, slots, log_folder):
        self.settings, self.slots, self.folder, self.running = settings, slots, log_folder, {}
        log_folder.mkdir(parents=True, exist_ok=True)

    def idle(self):
        return len(self.slots) - len(self.running)

    def submit(self, task):
        cell = self.folder / f"{task.key}.json"
        cell.write_text(json.dumps({"settings": self.settings.to_json(), "task": task.to_json()}), encoding="utf-8")
        command = [sys.executable, "-m", "prunebench.worker", str(cell)]
        with (self.folder / f"{task.key}.log").open("wb") as log:
            worker = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, start_new_session=True, env=self.environment()
            )
        self.running[task.key] = (task, worker)

    def environment(self):
        return {**os.environ, "CUDA_VISIBLE_DEVICES": ""}

    def wait(self, timeout_seconds):
        until = time.monotonic() + timeout_seconds
        while not (ended := [one for one in self.running.values() if one[1].poll() is not None]):
            if time.monotonic() > until:
                return []
            time.sleep(0.02)
        return [self.event(task, worker) for task, worker in ended]

    def event(self, task, worker):
        del self.running[task.key]
        with worker.stdout as lines:
            answer = lines.read()
        if not answer:
            return Event.lost(task, f"the worker ended with {worker.returncode}")
        return Event(task.key, outcome=json.loads(answer))

    def close(self, *, kill=False):
        for _, worker in self.running.values():
            if kill:
                os.killpg(worker.pid, signal.SIGKILL)
            worker.communicate()
        self.running.clear()


class AnswersTwice(StartsWorkers):
    def wait(self, timeout_seconds):
        return [event for event in super().wait(timeout_seconds) for _ in range(2)]


class CallsEverythingFine(StartsWorkers):
    def event(self, task, worker):
        event = super().event(task, worker)
        return Event(event.key, outcome={**event.outcome, "status": "ok"})


class StopsAtADeath(StartsWorkers):
    def event(self, task, worker):
        if worker.returncode:
            raise RuntimeError("a worker died")
        return super().event(task, worker)


class ClosesOnce(StartsWorkers):
    def close(self, *, kill=False):
        super().close(kill=kill)
        if not kill:
            del self.running


class TakesTooMany(StartsWorkers):
    def idle(self):
        return 1


class ShowsEveryGpu(StartsWorkers):
    def environment(self):
        return {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}


class LeavesItsWorkers(StartsWorkers):
    def close(self, *, kill=False):
        import prunebench.testing.executors as checks

        checks.GONE_SECONDS = 1.0  # what nobody killed is there as long as anybody waits
        for _, worker in self.running.values():
            worker.stdout.close()
        self.running.clear()
