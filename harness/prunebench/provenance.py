"""Where a number comes from: code, packages, machine, plugins."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prunebench.keys import digest
from prunebench.plugins import Catalogue

ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG", "OMP_NUM_THREADS", "HF_HUB_OFFLINE",
               "PRUNEBENCH_DATA", "PRUNEBENCH_LOAD_PLUGINS")  # fmt: skip


def git_state(folder: Path) -> dict[str, Any]:
    """Return commit, branch, whether the tree is dirty and a digest of the difference; empty outside git."""
    if shutil.which("git") is None:
        return {}
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    difference = _git(folder, "diff", "HEAD", "--", ".", ":!results")
    return {
        "commit": commit,
        "branch": _git(folder, "rev-parse", "--abbrev-ref", "HEAD"),
        "dirty": bool(difference),
        "diff_digest": hashlib.blake2b(difference.encode(), digest_size=8).hexdigest() if difference else "",
    }


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that prunebench requires, without importing them."""
    found = {"python": platform.python_version()}
    required = importlib.metadata.requires("prunebench") or []
    for name in sorted(re.split(r"[^\w.-]", requirement)[0] for requirement in required):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def package_list_digest() -> str:
    """Return a digest of every installed distribution with its version."""
    return digest(sorted(f"{d.name}=={d.version}" for d in importlib.metadata.distributions()))


def machine() -> dict[str, Any]:
    """Return processor, cores and memory in bytes, and the GPUs with memory and driver where nvidia-smi tells."""
    facts: dict[str, Any] = {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpus": gpus(),
    }
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        facts["memory_bytes"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return facts


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def gpus() -> list[dict[str, str]]:
    """Return name, memory and driver of each NVIDIA GPU, empty when there is none."""
    if shutil.which("nvidia-smi") is None:
        return []
    done = subprocess.run(
        ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [line.split(", ") for line in done.stdout.splitlines() if line.count(", ") == 2]
    return [{"name": name, "memory": memory, "driver": driver} for name, memory, driver in rows]


def machine_class(facts: Mapping[str, Any], packages: Mapping[str, str], devices: str) -> str:
    """Return a digest of what makes times and numbers comparable: processor or GPU, driver, torch minor."""
    kind = facts["gpus"] if devices != "cpu" and facts["gpus"] else facts["processor"]
    return digest([kind, packages["torch"].rsplit(".", 1)[0]])[:12]


def plugins(catalogue: Catalogue) -> dict[str, Any]:
    """Return each plugin with its distribution and version, and those that failed to load."""
    found: dict[str, Any] = {}
    for entries in catalogue.entries.values():
        for entry in entries.values():
            origin = entry.origin
            found[origin.entry_point] = {"distribution": origin.distribution, "version": origin.version}
    for failure in catalogue.failures:
        origin = failure.origin
        found.setdefault(origin.entry_point, {"distribution": origin.distribution, "version": origin.version})[
            "error"
        ] = failure.error
    return found


def environment() -> dict[str, str]:
    """Return the environment variables on the allow-list that are set."""
    return {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
