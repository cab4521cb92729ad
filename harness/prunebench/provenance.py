"""Where a number comes from: code, packages, machine, plugins."""

import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prunebench.discovery.installed import named
from prunebench.keys import digest
from prunebench.plugins import Catalogue
from prunebench.vcs import git_state
from prunebench.vcs import printed as printed

ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG", "OMP_NUM_THREADS", "HF_HUB_OFFLINE",
               "PRUNEBENCH_DATA", "PRUNEBENCH_LOAD_PLUGINS")  # fmt: skip


def source_state(folder: Path) -> dict[str, Any]:
    """Return commit, branch and whether the tree is dirty, of the code that runs: those that a wheel was built from,
    else those of the tree that `folder` is in; empty where neither is known."""
    built = Path(__file__).with_name("built_from.json")
    return dict(json.loads(built.read_text(encoding="utf-8"))) if built.is_file() else git_state(folder)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that prunebench requires, without importing them."""
    required = importlib.metadata.requires("prunebench") or ()
    names = sorted(re.split(r"[^\w.-]", requirement)[0] for requirement in required)
    found = {name: next((d.version for d in importlib.metadata.distributions(name=name)), "absent") for name in names}
    return {"python": platform.python_version(), **found}


def machine() -> dict[str, Any]:
    """Return processor, cores and memory in bytes, and the GPUs with memory and driver where nvidia-smi tells."""
    cpuinfo = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*:(.*)", cpuinfo.read_text() if cpuinfo.is_file() else "", re.MULTILINE)
    facts = {"system": platform.platform(), "cores": os.cpu_count(), "gpus": gpus()}
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        facts["memory_bytes"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {**facts, "processor": named[1].strip() if named else platform.processor()}


def gpus() -> list[dict[str, str]]:
    """Return name, memory and driver of each NVIDIA GPU, empty when there is none."""
    listed = printed("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    rows = [line.split(", ") for line in listed.splitlines() if line.count(", ") == 2]
    return [{"name": name, "memory": memory, "driver": driver} for name, memory, driver in rows]


def describe(catalogue: Catalogue, folder: Path, devices: Iterable[str]) -> dict[str, Any]:
    """Return all of this and the plugins for a manifest; `folder` is the one whose git state counts.  machine_class: a
    digest of what makes times and numbers comparable: processor or GPU, driver, torch minor."""
    packages, facts = versions(), machine()
    installed = sorted("==".join(one) for one in map(named, importlib.metadata.distributions()) if one)
    origins = [entry.origin for entries in catalogue.entries.values() for entry in entries.values()]
    found = [*((origin, {}) for origin in origins), *((f.origin, {"error": f.error}) for f in catalogue.failures)]
    kind = facts["gpus"] if {*devices} != {"cpu"} and facts["gpus"] else facts["processor"]
    plugins = {o.entry_point: {"distribution": o.distribution, "version": o.version, **error} for o, error in found}
    return {
        "versions": packages, "package_list_digest": digest(installed), "git": source_state(folder), "machine": facts,
        "machine_class": digest([kind, packages["torch"].rsplit(".", 1)[0]])[:12], "plugins": plugins,
        "environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
    }  # fmt: skip
