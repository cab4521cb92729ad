"""The devices of this machine: which a run may see, how many workers each gets, and in which half precision."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prunebench import provenance
from prunebench.errors import UsageError

OTHER = ("cpu", "mps")  # all other slots are devices of CUDA
MOST_WORKERS = 1_000_000  # a number above is a slip of the hand, and its slots could not be held
_MOST_SLOTS = 4  # of one GPU: four trainings at once did 1.2 times the work of one on an H100, and the gain had ended
_CONTEXT_BYTES = 1 << 30  # of each process on a GPU beside its tensors: the context of CUDA and the kernels
_FRAGMENTS = 1.25  # the allocator holds somewhat more than the tensors of the peak
WORKER_BYTES = 3 << 29  # of main memory: libraries, a network and its batches; data sets are mapped and shared
_USABLE = 0.9  # of what is free


@dataclass(frozen=True)
class Gpus:
    """What is known of the NVIDIA GPUs of this machine.

    uuids: of all GPUs by index, "" where it is unknown.  instances: UUIDs of the MIG instances.  variable: the value of
    CUDA_VISIBLE_DEVICES, None where it is not set.  free_bytes: free memory by UUID, of those for which it is known."""

    uuids: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()
    variable: str | None = None
    free_bytes: Mapping[str, int] = field(default_factory=dict)

    @property
    def visible(self) -> tuple[str, ...]:
        """The devices that a process sees, each as CUDA_VISIBLE_DEVICES names it alone."""
        return visible_devices(self.variable, self.uuids, self.instances)

    def free(self, device: str) -> int | None:
        """Return the free memory of a visible device in bytes, None where it is unknown."""
        return self.free_bytes.get(self.uuids[int(device)] if device.isdigit() else device)


def find_gpus() -> Gpus:
    """Ask nvidia-smi and the environment."""
    listed = provenance.printed("nvidia-smi", "-L")
    uuids = re.findall(r"^GPU \d+:.*\(UUID: (GPU-[^)\s]+)\)", listed, re.MULTILINE)
    instances = re.findall(r"^\s+MIG.*\(UUID: (MIG-[^)\s]+)\)", listed, re.MULTILINE)
    memory = provenance.printed("nvidia-smi", "--query-gpu=uuid,memory.free", "--format=csv,noheader,nounits")
    free = {uuid: int(mib) << 20 for uuid, mib in re.findall(r"^(GPU-\S+), (\d+)$", memory, re.MULTILINE)}
    every = tuple(uuids) or ("",) * len(provenance.gpus())
    return Gpus(every, tuple(instances), os.environ.get("CUDA_VISIBLE_DEVICES"), free)


def visible_devices(variable: str | None, uuids: Sequence[str], instances: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the devices that a process sees, by CUDA's own rule for CUDA_VISIBLE_DEVICES.

    What follows an entry that is not valid does not count, and a device that is named twice leaves none.  Entries are
    indices, UUIDs of GPUs or of MIG instances, or unique beginnings of these.  uuids: of the GPUs by index, "" where
    unknown: a UUID cannot be checked then, and is believed."""
    if variable is None:
        return tuple(map(str, range(len(uuids))))
    kind = next((prefix for prefix in ("GPU-", "MIG-") if variable.strip().startswith(prefix)), "")
    known = {"GPU-": [uuid for uuid in uuids if uuid], "MIG-": instances, "": [*map(str, range(len(uuids)))]}[kind]
    found: list[str] = []
    for entry in _entries(variable, kind):
        named = [one for one in known if one == entry or (kind and one.startswith(entry))]
        if kind and uuids and not known:
            named = [entry]
        if len(named) != 1:
            break
        found += named
    return tuple(found) if len({*found}) == len(found) else ()


def _entries(variable: str, kind: str) -> list[str]:
    """Return the entries up to the first one of another kind, none where one is there twice; indices as strtoul reads
    them."""
    found: list[str] = []
    for text in map(str.strip, variable.split(",")):
        number = re.match("[+]?([0-9]+)", text)
        entry = text if kind and text.startswith(kind) else str(int(number[1])) if number and not kind else ""
        if not entry:
            break
        found.append(entry)
    return found if len({*found}) == len(found) else []


def chosen_devices(asked: str, gpus: Gpus) -> tuple[str, ...]:
    """Return the devices that `--devices` asks for; asked: "auto", "cpu", "mps", or positions among the visible devices
    such as "0,1".  Raises UsageError for what is not understood or is not there."""
    visible = gpus.visible
    if asked == "auto":
        return visible or ("cpu",)
    if asked in OTHER:
        return (asked,)
    parts = [part.strip().removeprefix("cuda:") for part in asked.split(",")]
    if not all(re.fullmatch("[0-9]+|(GPU|MIG)-.+", part) for part in parts):
        raise UsageError(f"--devices {asked!r} is not understood", 'write "auto", "cpu", "mps", or indices such as 0,1')
    named = {
        **{str(position): one for position, one in enumerate(visible)},
        **{one: one for one in visible if "-" in one},
    }
    if absent := [part for part in parts if part not in named]:
        limited = "" if gpus.variable is None else f" with CUDA_VISIBLE_DEVICES={gpus.variable}"
        there = f"{len(visible)} can be seen{limited}" if visible else f"no GPU can be seen{limited}"
        hint = f"write 0 to {len(visible) - 1}, or auto" if len(visible) > 1 else "write auto"
        raise UsageError(f"--devices {asked}: there is no GPU {absent[0]}: {there}", hint)
    return tuple(named[part] for part in parts)


def slots_for(
    devices: str, jobs: int | None = None, per_device: int | None = 1, *, threads: int = 1, peak_bytes: int = 0,
    gpus: Gpus | None = None,
) -> tuple[str, ...]:  # fmt: skip
    """Return one entry for each worker: "cpu", "mps", or what CUDA_VISIBLE_DEVICES of the worker is to be.

    per_device: workers of each GPU; None for as many as memory allows, of a GPU or of this machine.  peak_bytes: the
    most GPU memory that such work took, 0 where it was not measured: then a GPU gets one.  Raises UsageError."""
    found = gpus or find_gpus()
    chosen = chosen_devices(devices, found)
    if chosen == ("mps",):
        return chosen * (jobs or 1)
    if chosen == ("cpu",):
        fitting = cpu_slots(cores(), threads, available_bytes()) if per_device is None else min(cores(), 8)
        return chosen * (jobs or fitting)
    each = {one: gpu_slots(found.free(one), peak_bytes) if per_device is None else per_device for one in chosen}
    rounds = [one for turn in range(max(each.values())) for one in chosen if each[one] > turn]
    return tuple(rounds[: jobs or (max(len(chosen), cores() // threads) if per_device is None else None)])


def gpu_slots(free_bytes: int | None, peak_bytes: int) -> int:
    """Return how many workers of one GPU fit into its free memory, each with such a peak of tensors in bytes; 1 where
    one of the two is unknown."""
    if not free_bytes or not peak_bytes:
        return 1
    return max(1, min(_MOST_SLOTS, int(_USABLE * free_bytes // (_FRAGMENTS * peak_bytes + _CONTEXT_BYTES))))


def cpu_slots(n_cores: int, threads: int, free_bytes: int | None) -> int:
    """Return how many workers of so many threads the cores and the free main memory of a machine carry."""
    fitting = n_cores // threads
    return max(1, fitting if free_bytes is None else min(fitting, int(_USABLE * free_bytes // WORKER_BYTES)))


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_bytes(root: Path = Path("/")) -> int | None:
    """Return the main memory that is free for this process, by the system and its control group; None if unknown."""
    found = []
    meminfo, group = root / "proc/meminfo", root / "sys/fs/cgroup"
    if meminfo.is_file() and (kib := re.search(r"^MemAvailable:\s+(\d+)", meminfo.read_text(), re.MULTILINE)):
        found.append(int(kib[1]) << 10)
    names = ("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")
    for limit, used in ((group / limit, group / used) for limit, used in names):
        if limit.is_file() and used.is_file() and (text := limit.read_text().strip()).isdigit():
            found.append(max(0, int(text) - int(used.read_text())))
    return min(found, default=None)


def half_precision(device: str, capabilities: Iterable[float] | None = None) -> str:
    """Return the type in which networks that ask for half precision are computed on a device, "" where they are not.

    device: "auto", "cpu", "mps", or a device of CUDA.  It is bfloat16, or float16 where a GPU of this machine is older
    than compute capability 8.0."""
    if device in OTHER or (device == "auto" and not find_gpus().visible):
        return ""
    if capabilities is None:
        told = provenance.printed("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader")
        capabilities = map(float, re.findall(r"^\d+\.\d+$", told, re.MULTILINE))
    return "bfloat16" if min(capabilities, default=0.0) >= 8.0 else "float16"
