"""Which devices a run gets, and how many workers each: by rules alone, without a GPU."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunebench.cli import doctor
from prunebench.devices import (
    Gpus,
    available_bytes,
    chosen_devices,
    cpu_slots,
    find_gpus,
    gpu_slots,
    half_precision,
    slots_for,
    visible_devices,
)
from prunebench.errors import UsageError
from prunebench.executors import device_of, visible_to
from prunebench.plan import Filters
from prunebench.plugins import load_plugins
from prunebench.request import make_request, with_slots

UUIDS = ("GPU-11aa", "GPU-12bb", "GPU-2c", "GPU-3d")
MIGS = ("MIG-a1", "MIG-a2")
GIB = 1 << 30
entries = st.sampled_from(["0", "1", "2", "3", "4", "9", "-1", "+1", " 2", "", "x", "1gpu2", *UUIDS, "GPU-1", "GPU-11"])


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        (None, "0 1 2 3"), ("", ""), ("-1", ""), ("none", ""), ("NoDevFiles", ""), ("1", "1"), ("2,3", "2 3"),
        ("3,1", "3 1"), ("0,9,1", "0"), ("0,-1,1", "0"), ("0,x,1", "0"), ("0,0", ""), (" 2 , 1 ", "2 1"),
        ("GPU-2c,GPU-11aa", "GPU-2c GPU-11aa"), ("GPU-3", "GPU-3d"), ("GPU-1", ""), ("GPU-2c,GPU-9,GPU-3d", "GPU-2c"),
        ("GPU-2c,0", "GPU-2c"), ("0,GPU-2c", "0"), ("GPU-2c,GPU-2", ""), ("MIG-a2,MIG-a1", "MIG-a2 MIG-a1"),
        ("MIG-zz", ""), ("1gpu2", "1"),
    ],
)  # fmt: skip
def test_what_a_process_sees_is_what_cuda_says(variable, expected):
    assert visible_devices(variable, UUIDS, MIGS) == tuple(expected.split())


def test_uuids_that_cannot_be_checked_are_believed_where_there_is_a_gpu():
    assert visible_devices("GPU-5,GPU-6", ("", "")) == ("GPU-5", "GPU-6")
    assert visible_devices("MIG-5/7/0", UUIDS) == ("MIG-5/7/0",)
    assert visible_devices("GPU-5", ()) == visible_devices("MIG-5", ()) == visible_devices("0", ()) == ()


@given(st.lists(entries, max_size=5))
def test_indices_and_uuids_are_read_as_torch_reads_them(parts):
    variable = ",".join(parts)
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = variable
    try:
        found = torch.cuda._parse_visible_devices()
    finally:
        del os.environ["CUDA_VISIBLE_DEVICES"]
        os.environ |= {"CUDA_VISIBLE_DEVICES": before} if before is not None else {}
    if found and isinstance(found[0], str):
        ordinals = torch.cuda._transform_uuid_to_ordinals(found, list(UUIDS))
        expected = tuple(UUIDS[one] for one in ordinals)
    else:  # counted as torch.cuda._device_count_nvml does
        beyond = [place for place, one in enumerate(found) if one >= len(UUIDS)]
        expected = tuple(map(str, found[: beyond[0] if beyond else None]))
    assert visible_devices(variable, UUIDS) == expected


@pytest.mark.parametrize(
    ("asked", "variable", "expected"),
    [
        ("auto", None, "0 1 2 3"), ("auto", "2,3", "2 3"), ("auto", "", "cpu"), ("auto", "-1", "cpu"),
        ("auto", "GPU-3", "GPU-3d"), ("auto", "MIG-a1", "MIG-a1"), ("cpu", "2,3", "cpu"), ("mps", None, "mps"),
        ("0", "2,3", "2"), ("1,0", "2,3", "3 2"), ("cuda:1", "GPU-2c,GPU-3d", "GPU-3d"), ("0,0", None, "0 0"),
        ("GPU-3d", "GPU-2c,GPU-3d", "GPU-3d"), ("1", "MIG-a1,MIG-a2", "MIG-a2"),
    ],
)  # fmt: skip
def test_devices_are_positions_among_those_that_are_visible(asked, variable, expected):
    assert chosen_devices(asked, Gpus(UUIDS, MIGS, variable)) == tuple(expected.split())


@pytest.mark.parametrize(
    ("asked", "gpus", "told"),
    [
        ("2", Gpus(UUIDS, (), "2,3"), "--devices 2: there is no GPU 2: 2 can be seen with CUDA_VISIBLE_DEVICES=2,3"),
        ("3", Gpus(UUIDS, (), "3"), "there is no GPU 3: 1 can be seen with CUDA_VISIBLE_DEVICES=3"),
        ("0", Gpus(UUIDS, (), ""), "there is no GPU 0: no GPU can be seen with CUDA_VISIBLE_DEVICES="),
        ("0,1", Gpus(), "there is no GPU 0: no GPU can be seen"),
        ("4", Gpus(UUIDS), "there is no GPU 4: 4 can be seen"),
        ("GPU-3d", Gpus(UUIDS, (), "0"), "there is no GPU GPU-3d"),
        ("gpu", Gpus(UUIDS), "--devices 'gpu' is not understood"),
        ("-1", Gpus(UUIDS), "--devices '-1' is not understood"),
        ("0,,1", Gpus(UUIDS), "is not understood"),
        ("", Gpus(UUIDS), "is not understood"),
    ],
)
def test_a_device_that_is_not_there_is_refused_in_one_sentence(asked, gpus, told):
    with pytest.raises(UsageError) as caught:
        slots_for(asked, gpus=gpus)
    assert told in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_workers_are_spread_over_the_gpus_and_limited_by_jobs():
    gpus = Gpus(UUIDS, (), "2,3")
    assert slots_for("auto", None, 2, gpus=gpus) == ("2", "3", "2", "3")
    assert slots_for("auto", 3, 2, gpus=gpus) == ("2", "3", "2")
    assert slots_for("auto", 3, gpus=Gpus()) == ("cpu",) * 3
    assert slots_for("mps", gpus=Gpus()) == ("mps",)


def test_a_gpu_gets_as_many_workers_as_its_free_memory_holds_of_the_measured_peak(monkeypatch):
    monkeypatch.setattr("prunebench.devices.cores", lambda: 16)
    free = {"GPU-11aa": 78 * GIB, "GPU-12bb": 9 * GIB, "GPU-2c": GIB}
    gpus = Gpus(UUIDS, (), "0,GPU-2c", free)
    assert slots_for("auto", None, None, peak_bytes=3 * GIB, gpus=gpus) == ("0",) * 4
    three = Gpus(UUIDS, (), "0,1,2,3", free)  # of the last, nothing is known
    assert slots_for("auto", None, None, peak_bytes=2 * GIB, gpus=three) == tuple("01230100")
    assert slots_for("auto", None, None, gpus=three) == tuple("0123")
    assert slots_for("auto", 2, None, peak_bytes=2 * GIB, gpus=three) == ("0", "1")
    assert slots_for("auto", None, None, threads=8, peak_bytes=2 * GIB, gpus=gpus) == ("0", "0")


@given(free=st.integers(0, 200 * GIB), peak=st.integers(1, 50 * GIB))
def test_the_workers_of_a_gpu_fit_beside_each_other(free, peak):
    count = gpu_slots(free, peak)
    assert 1 <= count <= 4
    assert count == 1 or count * (peak + GIB) <= free
    assert count <= gpu_slots(free, peak // 2 + 1)


def test_workers_on_the_processor_follow_from_cores_and_memory():
    assert cpu_slots(16, 1, None) == 16
    assert cpu_slots(16, 4, 128 * GIB) == 4
    assert cpu_slots(64, 1, 16 * GIB) == 9
    assert cpu_slots(2, 8, GIB // 2) == 1


def test_free_memory_is_that_of_the_system_or_of_the_control_group_whichever_is_less(tmp_path):
    assert available_bytes(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal:  99 kB\nMemAvailable:    4096 kB\n")
    assert available_bytes(tmp_path) == 4 << 20
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.current").write_text("1000\n")
    for limit, expected in (("max\n", 4 << 20), ("3000\n", 2000), ("500\n", 0)):
        (group / "memory.max").write_text(limit)
        assert available_bytes(tmp_path) == expected


@pytest.mark.parametrize(
    ("device", "capabilities", "expected"),
    [("cpu", (9.0,), ""), ("mps", (), ""), ("cuda", (9.0, 8.0), "bfloat16"), ("0", (8.6, 7.5), "float16"),
     ("GPU-1", (), "float16")],
)  # fmt: skip
def test_half_precision_is_bfloat16_where_all_gpus_have_it(device, capabilities, expected):
    assert half_precision(device, capabilities) == expected


def test_a_worker_sees_its_device_alone():
    assert [device_of(slot) for slot in ("cpu", "mps", "3", "GPU-3d", "MIG-a1")] == ["cpu", "mps", *["cuda"] * 3]
    assert visible_to("MIG-a1") == {"CUDA_VISIBLE_DEVICES": "MIG-a1"}
    assert visible_to("cpu") == {"CUDA_VISIBLE_DEVICES": ""}
    assert visible_to("mps") == {}


SMI = """#!/bin/sh
case "$*" in
-L) echo "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-11aa)"
    echo "GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-12bb)"
    echo "  MIG 1g.10gb     Device  0: (UUID: MIG-a1)";;
*memory.free*) echo "GPU-11aa, 80000"; echo "GPU-12bb, 100";;
*compute_cap*) echo 9.0; echo 9.0;;
*name*) echo "NVIDIA H100 80GB HBM3, 81559 MiB, 560.35"; echo "NVIDIA H100 80GB HBM3, 81559 MiB, 560.35";;
esac
"""


@pytest.fixture
def two_gpus(tmp_path, monkeypatch) -> None:
    """Let nvidia-smi tell of two GPUs, the second with a MIG instance."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(SMI)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)


def test_nvidia_smi_is_asked_for_gpus_instances_and_free_memory(two_gpus, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpus = find_gpus()
    assert gpus == Gpus(("GPU-11aa", "GPU-12bb"), ("MIG-a1",), None, {"GPU-11aa": 80000 << 20, "GPU-12bb": 100 << 20})
    assert [gpus.free(device) for device in ("1", "GPU-11aa", "MIG-a1")] == [100 << 20, 80000 << 20, None]
    assert half_precision("auto") == "bfloat16"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert half_precision("auto") == ""
    assert slots_for("auto", 1) == ("cpu",)


@pytest.mark.parametrize(
    ("variable", "seen"),
    [
        (None, ["GPU 0", "GPU 1"]), ("0", ["GPU 0"]), ("1,0", ["GPU 0", "GPU 1"]), ("GPU-12bb", ["GPU 0: GPU-12bb"]),
        ("GPU-12", ["GPU 0"]), ("GPU-11aa,GPU-12bb", ["GPU 0", "GPU 1"]), ("MIG-a1", ["GPU 0: MIG-a1"]), ("", []),
        ("-1", []), ("none", []), ("0,0", []), ("0,7,1", ["GPU 0"]), ("GPU-zz", []), ("\N{CIRCLED DIGIT ONE}", []),
    ],
)  # fmt: skip
def test_the_command_line_sees_the_gpus_that_every_form_of_the_variable_leaves(
    variable, seen, two_gpus, sandbox, monkeypatch
):
    if variable is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    told = [found.text for found in doctor.devices()]
    assert [text.startswith(start) for text, start in zip(told, seen, strict=False)] == [True] * len(seen)
    assert len(told) == len(seen) + (1 if seen else 2)  # and the processor, after what is said where no GPU is seen
    planned = sandbox.call("run", "smoke", "--devices", "1", "--keep", "0.33")
    assert "Traceback" not in planned.stderr
    assert (len(seen) < 2) == ("there is no GPU 1" in planned.stderr)


def test_the_doctor_tells_which_devices_are_left(two_gpus, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    gpu, cpu = (found.text for found in doctor.devices())
    assert gpu == "GPU 0: NVIDIA H100 80GB HBM3, 81559 MiB, 0 GiB free (CUDA_VISIBLE_DEVICES=1)"
    assert cpu.startswith("CPU: ")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert next(doctor.devices()).text.startswith("no NVIDIA GPU is seen (CUDA_VISIBLE_DEVICES=7 leaves none of 2)")


EXECUTOR = """
from pathlib import Path
from prunebench import Event, ExecutorSpec, hookimpl

@hookimpl
def prunebench_executors():
    return [ExecutorSpec(name="telling", summary="Tells its slots, and computes nothing.", load="telling:Telling")]

class Telling:
    def __init__(self, settings, slots, log_folder):
        Path("slots").write_text(" ".join([settings.device, *slots]))
        self.tasks = []

    def idle(self):
        return 1 - len(self.tasks)

    def submit(self, task):
        self.tasks = [task]

    def wait(self, timeout_seconds):
        lost, self.tasks = self.tasks, []
        return [Event.lost(task, "it was not tried") for task in lost]

    def close(self, *, kill=False):
        pass
"""
REGISTRY = """
schema = 1
protocol = "test"
[dataset.digits]
[arch.small]
timm = "test_resnet"
[recipe.short]
learner = "deepcore"
params = { iterations = 2, batch_size = 32 }
[suite.tiny]
dataset = "digits"
methods = ["random"]
pruning_rates = ["0.9"]
seeds = 1
training = [{ arch = "small", recipe = "short" }]
"""


def test_a_run_gives_its_executor_the_visible_gpus(two_gpus, sandbox, monkeypatch):
    sandbox.install("telling", EXECUTOR)
    (sandbox.folder / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert (
        "it was not tried"
        in sandbox.run("run", "tiny", "--executor", "telling", "--quiet", "--slots-per-device", "2").stderr
    )
    assert Path(sandbox.folder, "slots").read_text() == "cuda 1 1"
    for option, value, told in (
        ("--devices", "1", "there is no GPU 1: 1 can be seen with CUDA_VISIBLE_DEVICES=1"),
        ("--slots-per-device", "0", "write auto, or a number from 1 to"),
    ):
        done = sandbox.call("run", "tiny", option, value)
        assert done.returncode == 2
        assert told in done.stderr


@pytest.mark.parametrize(
    ("option", "numbers"),
    [("jobs", (0, 1, 1)), ("jobs", (10**20, 1, 1)), ("slots_per_device", (1, 0, 1)), ("threads", (None, None, -1))],
)
def test_a_number_that_no_machine_has_is_refused_from_python_too(option, numbers, tmp_path):
    jobs, per_device, threads = numbers
    file = tmp_path / "registry.toml"
    file.write_text(REGISTRY, encoding="utf-8")
    asked = make_request(
        "tiny", Filters(), load_plugins(), registry_file=file, results=tmp_path, cache=tmp_path, data_roots=(),
        threads=threads,
    )  # fmt: skip
    with pytest.raises(UsageError, match=rf"{option} = (0|-1|10+) is no number from 1 to"):
        with_slots(asked, "cpu", jobs, per_device)
