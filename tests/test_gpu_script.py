"""The script for a GPU, on any machine: what it leaves behind, what it keeps, and how many files come back."""

import importlib.util
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "gpu"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"gpu_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for the names of types
    spec.loader.exec_module(module)
    return module


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _numbers(log: Path) -> list[int]:
    lines = log.read_text().splitlines() if log.exists() else []
    return [int(one) for line in lines if line.replace(" ", "").isdigit() for one in line.split()]


@pytest.mark.parametrize("deaf", [False, True], ids=["hears the interrupt", "ignores it"])
def test_a_step_that_is_stopped_leaves_no_process_behind(deaf: bool, tmp_path: Path) -> None:
    code = "import os, signal, subprocess, sys, time\n"
    code += "signal.signal(signal.SIGINT, signal.SIG_IGN)\n" if deaf else ""
    code += "child = subprocess.Popen(['sleep', '60'])\nprint(os.getpid(), child.pid, flush=True)\ntime.sleep(60)"
    run, log = script("run"), tmp_path / "x.log"
    step = run.Step(title="x", seconds=8, commands=[[sys.executable, "-c", code]], grace_seconds=2)
    outcome = run.run(step, log, time.monotonic() + 60, dict(os.environ))
    assert outcome.startswith("killed" if deaf else "stopped at its limit")
    until = time.monotonic() + 20
    pids = _numbers(log)
    assert len(pids) == 2
    while not all(map(ended, pids)) and time.monotonic() < until:
        time.sleep(0.1)
    assert all(map(ended, pids))


def test_a_script_that_is_terminated_takes_its_step_with_it(tmp_path: Path) -> None:
    code = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    outer = f"""if True:
        import importlib.util, pathlib, sys
        spec = importlib.util.spec_from_file_location("gpu_run", {str(FOLDER / "run.py")!r})
        run = importlib.util.module_from_spec(spec)
        sys.modules["gpu_run"] = run
        spec.loader.exec_module(run)
        step = run.Step(title="b", seconds=60, commands=[[sys.executable, "-c", {code!r}]])
        run.steps = lambda *_, **__: {{"b": step}}
        run.main(["b", "--pretend", "--out", {str(tmp_path / "out")!r}])"""
    script_process = subprocess.Popen([sys.executable, "-c", outer])
    log, until = tmp_path / "out" / "b.log", time.monotonic() + 60
    while not (pids := _numbers(log)) and time.monotonic() < until:
        time.sleep(0.1)
    script_process.terminate()
    assert script_process.wait(30) == 143
    assert all(map(ended, pids))


def test_what_a_step_keeps_is_archived_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, kept, log = script("run"), tmp_path / "results", tmp_path / "d.log"
    monkeypatch.setattr(run, "_KEEP_SECONDS", 0.1)
    archive = tmp_path / "d.tar.gz"
    code = f"import pathlib, time\nkept = pathlib.Path({str(kept)!r})\nkept.mkdir()\n(kept / 'a').write_text('1')\n"
    code += f"while not pathlib.Path({str(archive)!r}).exists(): time.sleep(0.01)"
    step = run.Step(title="d", seconds=60, commands=[[sys.executable, "-c", code]], kept=kept)
    assert run.run(step, log, time.monotonic() + 60, dict(os.environ)) == "exit code 0"
    with tarfile.open(archive) as found:
        assert "results/a" in found.getnames()


def test_a_command_is_told_how_long_it_has(tmp_path: Path) -> None:
    run, log = script("run"), tmp_path / "c.log"
    code = "import sys; print(sys.argv[1])"
    step = run.Step(title="c", seconds=200, commands=[[sys.executable, "-c", code, "--seconds={left}"]])
    assert run.run(step, log, time.monotonic() + 100, dict(os.environ)) == "exit code 0"
    told = int(log.read_text().splitlines()[-1].removeprefix("--seconds="))
    assert 60 < told <= 80  # of 100, with 5 to end in and 15 to start


def test_nothing_begins_where_no_gpu_can_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit) as ended_with:
        script("run").main(["b", f"--out={tmp_path / 'out'}"])
    assert ended_with.value.code == 2
    assert "no GPU can be seen" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_all_backbones_and_the_log_are_eight_files_of_at_most_64_mib(tmp_path: Path) -> None:
    from safetensors.numpy import save

    from prunebench.contexts import Arch
    from prunebench.plugins import load_plugins

    training, provider = script("train_backbones"), load_plugins().backbone("timm").load()
    for name, one in training.BACKBONES.items():
        arch = Arch(name=name, provider="timm", model=one.model, image_size=one.image_size, kwargs=one.kwargs)
        state = provider.build(arch, 10, 3, one.image_size).state_dict()
        content = save({key: np.zeros(value.shape, np.float16) for key, value in state.items()})
        training.write(content, {"name": name}, tmp_path)
    files = [*tmp_path.iterdir()]
    assert len(files) + 1 <= 8
    assert max(one.stat().st_size for one in files) < 16 * 2**20
    assert sum(one.stat().st_size for one in files) < 64 * 2**20
