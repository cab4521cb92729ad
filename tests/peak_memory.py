"""Run scorers on 50,000 samples in this process, and print the peak of its memory after each.

`python peak_memory.py NAME PARAMS ...` prints a JSON line a method: name, error, growth_bytes, the peak above what
the process held when the evidence lay ready.  PARAMS is a JSON object.  A single array of N x N bytes cannot be had.
"""

from __future__ import annotations

import json
import re
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np

from prunebench import ScoreContext
from prunebench.plugins import load_plugins

N, CLASSES, DIMENSIONS = 50_000, 10, 32


def evidence() -> dict[str, Any]:
    """Return synthetic evidence of every kind; logits are linear in the features, as after a last layer."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, N)
    centres = generator.normal(size=(CLASSES, DIMENSIONS)).astype(np.float32)
    features = centres[labels] + generator.normal(size=(N, DIMENSIONS)).astype(np.float32)
    logits = features @ centres.T - np.square(centres).sum(axis=1) / 2
    residual = np.exp(logits - logits.max(axis=1, keepdims=True))
    residual /= residual.sum(axis=1, keepdims=True)
    residual[np.arange(N), labels] -= 1
    return {
        "labels": labels,
        "pseudo_labels": labels,
        "features": features,
        "logits": logits,
        "gradients": (residual, features),
        "projection": generator.normal(size=(N, 2)).astype(np.float32),
        "dynamics": generator.dirichlet(np.ones(CLASSES), (4, N)).astype(np.float16),
        "pixels": generator.integers(0, 256, (N, 4, 4, 1), dtype=np.uint8),
    }


def status_bytes(field: str) -> int:
    """Return a size from the kernel's account of this process."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def main() -> None:
    catalogue, known = load_plugins(), evidence()
    for name, params in zip(sys.argv[1::2], map(json.loads, sys.argv[2::2]), strict=True):
        entry = catalogue.scorer(name)
        context = ScoreContext(
            params=entry.spec.resolve_params(params),
            n=N,
            n_classes=CLASSES,
            scorer=name,
            evidence={need: known[need] for need in entry.spec.needs},
            budget=100 if entry.spec.budget_dependent else None,
        )
        label = entry.load("labeller") if entry.spec.labeller else None
        score, error = entry.load(), ""
        ready = status_bytes("VmRSS")
        # what imports reserved does not count, and the greatest single array is below N x N bytes
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (status_bytes("VmSize") + 2_400_000_000, hard))
        try:
            if label is not None:
                label(context)
            score(context)
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        found = {"name": name, "error": error, "growth_bytes": status_bytes("VmHWM") - ready}
        sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
