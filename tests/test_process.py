"""The one child process: what it says, how it ends, and that nothing of it is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prunebench.executors.process import ChildProcess, child_environment

ECHO = "import sys\nfor line in sys.stdin:\n    print(line.strip(), flush=True)\n"


def python(script: str, **options) -> ChildProcess:
    return ChildProcess([sys.executable, "-c", script], environment=dict(os.environ), **options)


def is_alive(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


def gone(pid: int) -> bool:
    until = time.monotonic() + 20
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not is_alive(pid)


def test_messages_go_in_and_come_back_in_order_and_the_end_is_told_again_and_again():
    child = python(ECHO)
    for number in range(3):
        child.send({"number": number, "text": "ä\n"})
    assert [child.receive(20) for _ in range(3)] == [{"number": number, "text": "ä\n"} for number in range(3)]
    child.end_input()
    assert child.receive(20) is None
    assert child.receive(20) is None
    assert child.death == "ended with exit code 0"
    child.send({"late": True})
    child.close()
    child.close()


def test_lines_that_are_no_messages_are_passed_over():
    child = python("print('hello'); print('[1]'); print('{\"a\": 1}'); print('{')")
    assert child.receive(20) == {"a": 1}
    assert child.receive(20) is None


def test_an_answer_that_does_not_come_is_a_timeout_and_the_child_lives_on():
    child = python(ECHO)
    with pytest.raises(TimeoutError):
        child.receive(0.05)
    child.send({"a": 1})
    assert child.receive(20) == {"a": 1}
    child.close()
    assert gone(child.pid)


@pytest.mark.parametrize(
    ("script", "death"),
    [
        ("import os; os._exit(3)", "ended with exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "was killed by SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL; often memory ran out"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 1)", "was killed by signal 35"),
    ],
)
def test_its_death_is_explained(script, death):
    child = python(script)
    assert child.receive(20) is None
    assert child.death == death


STARTS = "import os, subprocess, sys\nprint('{\"pid\": %d}' % subprocess.Popen(['sleep', '600']).pid, flush=True)\n"
FORKS = "import os, time\npid = os.fork()\nif not pid:\n    time.sleep(600)\nprint('{\"pid\": %d}' % pid, flush=True)\n"


@pytest.mark.parametrize("script", [STARTS, FORKS], ids=["started", "forked"])
@pytest.mark.parametrize("ends", [True, False], ids=["that ends", "that is closed"])
def test_nothing_outlives_a_child(script, ends):
    child = python(script + ("" if ends else "import time; time.sleep(600)\n"))
    message = child.receive(20)
    assert message is not None
    if ends:
        assert child.receive(20) is None, "what holds its output open does not hide its end"
    child.close()
    assert gone(message["pid"])


def test_its_errors_are_in_the_log(tmp_path):
    child = python("import sys; print('first', file=sys.stderr)", log=tmp_path / "log", folder=tmp_path)
    assert child.receive(20) is None
    assert (tmp_path / "log").read_text() == "first\n"


def test_a_program_that_is_not_there_is_an_os_error():
    with pytest.raises(OSError, match="no-such-program"):
        ChildProcess(["/no-such-program"], environment={})


INNER = "import numba\n\n\n@numba.njit(cache=True)\ndef inner(x):\n    return {factor} * x\n"
OUTER = "import numba\nfrom inner import inner\n\n\n@numba.njit(cache=True)\ndef outer(x):\n    return inner(x)\n"


def test_compiled_code_of_a_plugin_follows_the_files_of_the_functions_that_it_calls(sandbox, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    sandbox.install("outer", OUTER)
    sandbox.install("inner", "")
    folders = set()
    for factor in (2, 2, 30):
        (sandbox.folder / "site" / "inner.py").write_text(INNER.format(factor=factor), encoding="utf-8")
        with sandbox.entered():
            environment = child_environment(sandbox.folder / "cache", 1)
        folders.add(environment["NUMBA_CACHE_DIR"])
        told = subprocess.run(
            [sys.executable, "-c", "import outer; print(outer.outer(7))"],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert told.stdout == f"{7 * factor}\n"
    assert len(folders) == 2


COMPILED = "import numba\n\n\n@numba.njit(cache=True)\ndef twice(x):\n    return 2 * x\n\n\nprint(twice(21))\n"


def test_numba_keeps_compiled_code_where_neither_the_package_nor_the_home_folder_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "compiled.py").write_text(COMPILED, encoding="utf-8")
    (tmp_path / "__pycache__").write_text("a file where numba wants a folder", encoding="utf-8")
    for name, value in {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere", "NUMBA_CACHE_DIR": ""}.items():
        monkeypatch.setenv(name, value)

    def run(environment) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "compiled.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    assert "no locator available" in run(dict(os.environ)).stderr
    assert run(child_environment(tmp_path / "cache", 1)).stdout == "42\n"
    assert list((tmp_path / "cache" / "numba").rglob("*.nbi"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "mine"))
    assert child_environment(tmp_path / "cache", 1)["NUMBA_CACHE_DIR"] == str(tmp_path / "mine")


def test_what_torch_compiles_is_shared_by_workers_of_one_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    assert child_environment(tmp_path, 1)["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "inductor")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "mine")
    assert child_environment(tmp_path, 1)["TORCHINDUCTOR_CACHE_DIR"] == "mine"


def test_the_doctor_tries_whether_compiled_code_can_be_kept(sandbox, monkeypatch):
    for name, value in {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere", "NUMBA_CACHE_DIR": ""}.items():
        monkeypatch.setenv(name, value)
    diagnoses = {one["topic"]: one for one in json.loads(sandbox.call("doctor", "--json").stdout)}
    assert diagnoses["compiled code"]["state"] == "ok"
