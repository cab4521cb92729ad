"""Whatever a plugin does while it is imported, it is named, left out alone, and tried only once per version."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest

from conftest import Sandbox
from prunebench.discovery.first_import import RESULTS, read_results, write_results
from prunebench.plugins import load_plugins
from registries import NUMPY_DIGITS, TINY, TRAINING

ROOT = Path(__file__).resolve().parent.parent
REGISTRY = str(ROOT / "registry.toml")  # a copy of the harness has none of its own
FINE = """
from prunebench import ScorerSpec, hookimpl

@hookimpl
def prunebench_scorers():
    return [ScorerSpec(name="NAME", summary="Works.", load="nowhere:score")]
"""
OBSERVED = """
import json, sys
started = []
sys.addaudithook(lambda event, given: started.append(list(map(str, given[1]))) if event == "subprocess.Popen" else None)
from prunebench.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
heavy = sorted({"torch", "numpy", "sklearn", "pandas", "rich"} & set(sys.modules))
print(json.dumps({"started": started, "heavy": heavy}), file=sys.stderr)
"""


def fine(name: str) -> str:
    return FINE.replace("NAME", name)


def observed(sandbox) -> tuple[dict, dict]:
    """Return what `list --json` prints, and which processes it started and libraries it imported."""
    done = subprocess.run(
        [sys.executable, "-c", OBSERVED, "list", "--json", "scorers"],
        cwd=sandbox.folder,
        env=sandbox.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout), json.loads(done.stderr.splitlines()[-1])


def loaded(sandbox, **options) -> dict:
    with sandbox.entered():
        found = load_plugins(**options)
    entries = found.entries["scorers"].items()
    names = [name for name, entry in entries if entry.origin.distribution != "prunebench"]
    return {"names": names, "failures": {one.origin.distribution: one.error for one in found.failures}}


FATAL = {
    "segfaults": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "kills its process": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
    "calls os._exit": ("import os; os._exit(0)", "exit code 0"),
    "calls sys.exit": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "prints to standard output": ("print('welcome')", "printed to standard output while it was imported: 'welcome'"),
    "writes to the descriptor of standard output": ("import os; os.write(1, b'{')", "printed to standard output"),
    "forks": ("import os, time\nif os.fork() == 0:\n    time.sleep(60)", "forked a process"),
    "calls os._exit in a hook": (fine("x").replace("return", "import os; os._exit(4)"), "exit code 4"),
    "calls sys.exit in a hook": (fine("x").replace("return", "import sys; sys.exit(4)"), "SystemExit: 4"),
}


@pytest.fixture(scope="module")
def listings(tmp_path_factory) -> list[dict]:
    """What `prunebench list` says twice of a plugin of each fault, between plugins that work."""
    sandbox = Sandbox(tmp_path_factory.mktemp("faults"))
    sandbox.install("a-first", fine("first"))
    sandbox.install("z-last", fine("last"))
    for number, (source, _) in enumerate(FATAL.values()):
        sandbox.install(f"broken-{number}", source, "0.3")
    done = [
        sandbox.call("list", "--json", "scorers") for _ in ("the faults are found out", "the faults are remembered")
    ]
    assert [one.returncode for one in done] == [0, 0], done
    return [json.loads(one.stdout) for one in done]


@pytest.mark.parametrize("fault", FATAL)
def test_a_plugin_is_named_that(fault, listings):
    name, expected = f"broken-{list(FATAL).index(fault)}", FATAL[fault][1]
    for listed in listings:
        [failure] = [failure for failure in listed["failures"] if failure["distribution"] == name]
        assert failure["version"] == "0.3"
        assert expected in failure["error"]
        assert failure["hint"]


def test_the_plugins_beside_broken_ones_work(listings):
    for listed in listings:
        assert {"first", "last", "random"} <= {row["name"] for row in listed["scorers"]}
        assert len(listed["failures"]) == len(FATAL)


def test_a_plugin_that_hangs_is_given_up_after_the_time_limit(sandbox):
    sandbox.install("broken-one", "import time; time.sleep(600)")
    sandbox.install("z-last", fine("last"))
    started = time.monotonic()
    found = loaded(sandbox, time_limit_seconds=1.0)
    assert found == {"names": ["last"], "failures": {"broken-one": "its import took longer than 1 s"}}
    assert time.monotonic() - started < 60
    assert loaded(sandbox) == found


def test_every_culprit_of_several_is_named(sandbox):
    for name in "bdf":
        sandbox.install(f"{name}-dies", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    for name in "aceg":
        sandbox.install(f"{name}-works", fine(name))
    found = loaded(sandbox)
    assert found["names"] == ["a", "c", "e", "g"]
    assert set(found["failures"]) == {"b-dies", "d-dies", "f-dies"}
    assert all("SIGSEGV" in error for error in found["failures"].values())


def test_what_a_plugin_leaves_running_ends_with_its_first_import(sandbox):
    note = sandbox.folder / "pid"
    sandbox.install(
        "starter",
        f"import os, pathlib, subprocess\nprocess = subprocess.Popen(['sleep', '600'])\n"
        f"pathlib.Path({str(note)!r}).write_text(str(process.pid))\nos._exit(1)",
    )
    assert "exit code 1" in loaded(sandbox)["failures"]["starter"]
    pid = int(note.read_text())
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        state = Path(f"/proc/{pid}/stat")
        if state.exists() and state.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("it still runs")


def test_a_plugin_may_itself_ask_for_the_plugins(sandbox):
    sandbox.install("asks", "from prunebench.plugins import load_plugins\nload_plugins()\n" + fine("asking"))
    assert loaded(sandbox) == {"names": ["asking"], "failures": {}}


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> Sandbox:
    """A plugin that says when it is asked for its declarations, and is known to work."""
    sandbox = Sandbox(tmp_path_factory.mktemp("asked"))
    source = fine("x").replace("    return", "    import sys; print('asked', file=sys.stderr)\n    return")
    sandbox.install("asked-one", source)
    sandbox.call("list")
    return sandbox


@pytest.mark.parametrize("verb", ["list", "new scorer mine", "check no-such-plugin", "registry check"])
def test_a_verb_asks_a_plugin_once(verb, asked):
    assert asked.call(*verb.split()).stderr.count("asked\n") == 1


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.thorough)])
def test_many_plugins_are_tried_by_one_process_and_then_by_none(count, sandbox):
    for number in range(count):
        sandbox.install(f"plugin-{number:03}", fine(f"method-{number:03}"))
    cold, first = observed(sandbox)
    warm, second = observed(sandbox)
    assert len([row for row in cold["scorers"] if row["name"].startswith("method-")]) == count
    assert cold["failures"] == []
    assert warm == cold
    assert [command[-1] for command in first["started"]] == ["prunebench.discovery.import_child"]
    assert second["started"] == []
    assert first["heavy"] == second["heavy"] == []


def test_only_what_has_changed_is_tried_again(sandbox):
    log = sandbox.folder / "log"
    noted = f"with open({str(log)!r}, 'a') as log:\n    log.write(__name__ + '\\n')\n"
    for name in ("one", "two"):
        sandbox.install(name, noted + fine(name))
    loaded(sandbox)
    assert sorted(log.read_text().split()) == ["one", "one", "two", "two"]  # tried, then imported
    (sandbox.folder / "site" / "two.py").write_text(noted + fine("other"), encoding="utf-8")
    log.write_text("")
    assert loaded(sandbox)["names"] == ["one", "other"]
    assert sorted(log.read_text().split()) == ["one", "two", "two"]


def test_a_plugin_that_has_been_repaired_works_again(sandbox):
    sandbox.install("repaired", "raise RuntimeError('not yet')")
    assert loaded(sandbox)["failures"] == {"repaired": "RuntimeError: not yet"}
    (sandbox.folder / "site" / "repaired.py").write_text(fine("repaired"), encoding="utf-8")
    assert loaded(sandbox) == {"names": ["repaired"], "failures": {}}


def test_a_plugin_that_lacked_a_distribution_works_when_that_is_installed(sandbox):
    sandbox.install("needy", "import lacking\n" + fine("needy"))
    assert "ModuleNotFoundError" in loaded(sandbox)["failures"]["needy"]
    sandbox.install("lacking", "")
    assert "needy" in loaded(sandbox)["names"]


def test_what_failed_is_tried_again_when_asked_for(sandbox):
    flag = sandbox.folder / "flag"
    sandbox.install("moody", f"import pathlib\nassert pathlib.Path({str(flag)!r}).exists()\n" + fine("moody"))
    assert "moody" in loaded(sandbox)["failures"]
    flag.touch()
    assert "moody" in loaded(sandbox)["failures"]
    assert loaded(sandbox, retry=True) == {"names": ["moody"], "failures": {}}
    assert loaded(sandbox) == {"names": ["moody"], "failures": {}}


def test_a_damaged_file_of_results_is_written_again(sandbox):
    path = sandbox.folder / "cache" / RESULTS
    path.parent.mkdir(parents=True)
    for text in ("{", "[]", '{"schema": 99, "results": {}}', '{"schema": 2, "results": {"k": 3}}', "\0"):
        path.write_text(text)
        assert read_results(sandbox.folder / "cache") == {}
    sandbox.install("one", fine("one"))
    assert loaded(sandbox)["names"] == ["one"]
    assert list(read_results(sandbox.folder / "cache").values()) == [("", "")]


def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(sandbox):
    (sandbox.folder / "cache").write_text("a file where a folder should be")
    sandbox.install("one", fine("one"))
    sandbox.install("two", "import os; os._exit(1)")
    for _ in range(2):
        assert loaded(sandbox) == {
            "names": ["one"],
            "failures": {"two": "its import ended with exit code 1"},
        }


def test_the_oldest_results_make_room(tmp_path):
    write_results(tmp_path, {f"{number}": ("e", "h") for number in range(5100)})
    kept = read_results(tmp_path)
    assert len(kept) == 5000
    assert "99" not in kept
    assert kept["5099"] == ("e", "h")


def test_two_distributions_may_call_their_entry_point_the_same(sandbox):
    sandbox.install("one", fine("one"))
    sandbox.install("two", fine("two"))
    entry_points = sandbox.folder / "site" / "two-1.0.dist-info" / "entry_points.txt"
    entry_points.write_text("[prunebench]\none = two\n")
    listed = json.loads(sandbox.call("list", "scorers", "--json").stdout)
    assert {row["name"]: row["distribution"] for row in listed["scorers"] if row["name"] in ("one", "two")} == {
        "one": "one",
        "two": "two",
    }


# ---------------------------------------------------------------- plugins older and newer than the harness


@pytest.fixture(scope="module")
def harness_of_api(tmp_path_factory):
    """Return a function that gives the folder of a copy of this harness with another API number."""

    @cache
    def make(api: int, oldest: int) -> Path:
        folder = tmp_path_factory.mktemp(f"api-{api}")
        shutil.copytree(
            ROOT / "harness" / "prunebench", folder / "prunebench", ignore=shutil.ignore_patterns("__pycache__")
        )
        specs = folder / "prunebench" / "specs.py"
        text = specs.read_text(encoding="utf-8")
        assert text.count("\nAPI = 1") == text.count("\nOLDEST_API = 1") == 1
        text = text.replace("\nAPI = 1", f"\nAPI = {api}").replace("\nOLDEST_API = 1", f"\nOLDEST_API = {oldest}")
        specs.write_text(text, encoding="utf-8")
        return folder

    return make


def run_by(harness: Path, sandbox, *arguments: str) -> str:
    """Return what the command line of another harness prints."""
    path = os.pathsep.join([str(harness), sandbox.environment["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "prunebench", *arguments],
        cwd=sandbox.folder,
        env={**sandbox.environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def listed_by(harness: Path, sandbox) -> dict:
    return json.loads(run_by(harness, sandbox, "list", "scorers", "--json", "--registry", REGISTRY))


def of_api(number: int) -> str:
    return fine("dated").replace("load=", f"api={number}, load=")


@pytest.mark.parametrize("number", [1, 2])
def test_a_harness_of_api_2_takes_plugins_of_both_numbers(number, sandbox, harness_of_api):
    sandbox.install("dated", of_api(number))
    found = listed_by(harness_of_api(2, 1), sandbox)
    assert "dated" in {row["name"] for row in found["scorers"]}
    assert found["failures"] == []


def test_an_old_plugin_computes_on_a_newer_harness_and_can_read_its_number(sandbox, harness_of_api):
    score = "\ndef score(ctx):\n    assert ctx.api == 2\n    return ctx.rng.random(ctx.n)\n"
    sandbox.install("dated", of_api(1).replace("nowhere:", "dated:") + score)
    checks = ("--checks", "check_run_ends_normally", "--checks", "check_result_has_the_promised_form")
    report = json.loads(
        run_by(harness_of_api(2, 1), sandbox, "check", "dated", *checks, "--json", "-", "--registry", REGISTRY)
    )
    assert report["counts"]["passed"] == 2


def test_a_plugin_that_names_no_number_is_taken_for_an_old_one(sandbox, harness_of_api):
    sandbox.install("dated", fine("dated"))
    assert listed_by(harness_of_api(2, 1), sandbox)["failures"] == []
    failure = next(f for f in listed_by(harness_of_api(3, 2), sandbox)["failures"] if f["distribution"] == "dated")
    assert "scorer 'dated' is written for plugin API 1; this is prunebench" in failure["error"]
    assert "with plugin API 2 to 3" in failure["error"]


def test_a_plugin_of_api_2_tells_a_harness_of_api_1_what_to_do(sandbox):
    sandbox.install("dated", of_api(2))
    (failure,) = json.loads(sandbox.call("list", "scorers", "--json").stdout)["failures"]
    assert (
        "scorer 'dated' needs prunebench with plugin API 2 or newer; this is prunebench 0.1.0 with plugin API 1"
        in (failure["error"])
    )
    assert failure["hint"] == "pip install -U prunebench"


NEWER = {
    "a hook": (
        fine("dated") + "\n@hookimpl\ndef prunebench_shards():\n    return []\n",
        "unknown hook 'prunebench_shards'",
        True,
    ),
    "a field": (fine("dated").replace("load=", "shards=2, load="), "unexpected keyword argument 'shards'", False),
    "a name": ("from prunebench import ShardSpec\n" + fine("dated"), "cannot import name 'ShardSpec'", False),
}


def test_a_plugin_that_uses_what_only_a_newer_harness_has_is_told_to_update(sandbox):
    for number, (source, _, _) in enumerate(NEWER.values()):
        sandbox.install(f"dated-{number}", source.replace('"dated"', f'"dated-{number}"'))
    found = json.loads(sandbox.call("list", "scorers", "--json").stdout)
    failures = {failure["distribution"]: failure for failure in found["failures"]}
    for number, (_, expected, works) in enumerate(NEWER.values()):
        name = f"dated-{number}"
        assert expected in failures[name]["error"]
        assert "this is prunebench 0.1.0 with plugin API 1; pip install -U prunebench" in failures[name]["hint"]
        assert (name in {row["name"] for row in found["scorers"]}) is works


def test_a_number_that_is_none_is_told(sandbox):
    for number in ("'1'", "0", "True", "None"):
        sandbox.install(f"dated-{number.strip(chr(39))}", fine("dated").replace("load=", f"api={number}, load="))
    failures = json.loads(sandbox.call("list", "scorers", "--json").stdout)["failures"]
    assert sorted(f["error"].partition("api = ")[2].partition(",")[0] for f in failures) == ["'1'", "0", "None", "True"]


# What is left of a distribution that was half removed, or that a broken tool wrote, beside one that is sound.
DAMAGED = {
    "METADATA is missing or damaged": {"METADATA": None}, "it has no name and version": {"METADATA": b""},
    "it has no name": {"METADATA": b"\xff\xfe\0" * 9},
    "entry_points.txt cannot be read: UnicodeDecodeError": {"entry_points.txt": b"\xff\xfe[prunebench]"},
    "entry_points.txt cannot be read: TypeError": {"entry_points.txt": b"[prunebench]\nmodule\n"},
    "'not a module': expected module": {"entry_points.txt": b"[prunebench]\nx = not a module\n"},
    "'': expected module, or": {"entry_points.txt": b"[prunebench]\nx =\n"},
}  # fmt: skip


@pytest.mark.parametrize("told", DAMAGED)
def test_damaged_metadata_of_a_distribution_are_named_and_the_rest_works(told, sandbox):
    sandbox.register(NUMPY_DIGITS + TINY + TRAINING)
    sandbox.install("half-gone", fine("gone"))
    folder = sandbox.folder / "site" / "half_gone-1.0.dist-info"
    for name, content in DAMAGED[told].items():
        (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    (folder / "RECORD").write_bytes(b"\xff")
    listed = sandbox.call("list", "--json")
    (failure,) = json.loads(listed.stdout)["failures"]
    assert "half_gone-1.0.dist-info/" in failure["error"]
    assert told in failure["error"]
    ran = sandbox.call("run", "tiny", "--quiet")
    assert ran.returncode == 0, ran.stderr
    assert "half_gone-1.0.dist-info/" in ran.stderr
    assert "Traceback" not in listed.stderr + ran.stderr
