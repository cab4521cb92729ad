"""prunebench doctor."""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from packaging.version import Version

from prunebench import provenance
from prunebench.cli.options import cache_option, data_option, json_option, registry_option
from prunebench.cli.text import columns, wrapped
from prunebench.devices import available_bytes, cores, cpu_slots, find_gpus
from prunebench.errors import PrunebenchError
from prunebench.executors.process import ChildProcess, child_environment
from prunebench.identify import load_registered
from prunebench.plugins import Catalogue, load_plugins
from prunebench.registry import Registry, load_registry
from prunebench.request import cache_folder, data_folders
from prunebench.stages.data import check_fingerprint, fingerprint
from prunebench.store import Store

_COMPILE_SECONDS = 120.0
_COMPILE = """
import json
try:
    import numba
    numba.njit(cache=True)(json.dumps)  # the folder is looked for at once, nothing is compiled yet
    print(json.dumps({"error": ""}))
except Exception as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
"""


@dataclass(frozen=True)
class Diagnosis:
    """What was found out about one topic: "ok", "note" for something optional that is absent, or "problem"."""

    state: str
    topic: str
    text: str
    hint: str = ""


@click.command()
@registry_option
@cache_option
@data_option
@json_option
def command(registry_file: Path | None, cache: Path | None, data_roots: tuple[Path, ...], as_json: bool) -> None:
    """Tell whether this machine is ready: plugins, data, devices, folders."""
    registry, found, folder = load_registry(registry_file), load_plugins(retry=True), cache_folder(cache)
    diagnoses = [*_plugins(found), *_packages(), *devices(), *_folders(folder), *_compiled_code(folder)]
    diagnoses += _datasets(registry, found, data_folders(data_roots))
    if as_json:
        click.echo(json.dumps([asdict(diagnosis) for diagnosis in diagnoses], indent=1))
    for one in () if as_json else diagnoses:
        colour = {"ok": "green", "note": "yellow", "problem": "red"}[one.state]
        line = wrapped(f"{one.topic}: {one.text}", columns(), f"{one.state:<8}")
        click.echo(line.replace(one.state, click.style(one.state, fg=colour), 1))
        if one.hint:
            click.echo(wrapped(one.hint, columns(), " " * 8))
    if any(diagnosis.state == "problem" for diagnosis in diagnoses):
        raise SystemExit(1)


def _plugins(found: Catalogue) -> Iterator[Diagnosis]:
    names = {entry.origin.entry_point for entries in found.entries.values() for entry in entries.values()}
    yield Diagnosis("ok", "plugins", f"{len(names)} work")
    for failure in found.failures:
        yield Diagnosis("problem", f"plugin {failure.origin}", failure.error, failure.hint)


def _packages() -> Iterator[Diagnosis]:
    versions = provenance.versions()
    present = {name: version for name, version in versions.items() if version != "absent"}
    yield Diagnosis("ok", "packages", ", ".join(f"{name} {version}" for name, version in present.items()))
    if absent := ", ".join(sorted(versions.keys() - present.keys())):
        yield Diagnosis("problem", "packages", f"absent: {absent}", "install prunebench again")
    if Version(present.get("gudhi", "0")) >= Version("3.13"):
        yield Diagnosis("problem", "gudhi", "3.13 and multipers 2.3.2 crash together", 'pip install "gudhi<3.13"')


def devices() -> Iterator[Diagnosis]:
    """Yield what there is to compute on: the GPUs that may be used, and the CPU."""
    found, named = find_gpus(), provenance.gpus()
    limit = "" if found.variable is None else f"CUDA_VISIBLE_DEVICES={found.variable}"
    if not found.visible:
        hidden = f"{limit} leaves none of {len(found.uuids)}" if found.uuids else "none is there"
        yield Diagnosis("note", "devices", f"no NVIDIA GPU is seen ({hidden}); everything runs on the CPU")
    for position, device in enumerate(found.visible):
        gpu = named[int(device)] if device.isdigit() and int(device) < len(named) else {}
        what = ", ".join([gpu.get("name", ""), gpu.get("memory", "")] if gpu else [device])
        free = "" if (left := found.free(device)) is None else f", {left / 2**30:.0f} GiB free"
        yield Diagnosis("ok", "devices", f"GPU {position}: {what}{free}" + (f" ({limit})" if limit else ""))
    memory = available_bytes()
    carry = f"{cpu_slots(cores(), 1, memory)} workers" + ("" if memory is None else f", {memory / 2**30:.0f} GiB free")
    yield Diagnosis("ok", "devices", f"CPU: {cores()} cores, which carry {carry}")


def _folders(cache: Path) -> Iterator[Diagnosis]:
    try:
        Store(cache).check_writable()
    except PrunebenchError as error:
        yield Diagnosis("problem", "cache", error.message, error.hint)
        return
    gib = shutil.disk_usage(cache).free / 2**30
    state, hint = ("ok", "") if gib > 1 else ("problem", "free some space")
    yield Diagnosis(state, "cache", f"{cache}, {gib:.0f} GiB free", hint)


def _compiled_code(cache: Path) -> Iterator[Diagnosis]:
    """Tell whether the libraries that compile find a folder for it, in a process like those of a run."""
    child = ChildProcess([sys.executable, "-c", _COMPILE], environment=child_environment(cache, threads=1))
    try:
        answer = child.receive(_COMPILE_SECONDS)
        error = f"a process that imports numba {child.death}" if answer is None else str(answer["error"])
    except TimeoutError:
        error = f"importing numba took longer than {_COMPILE_SECONDS:g} s"
    finally:
        child.close()
    hint = "set NUMBA_CACHE_DIR, or --cache, to a folder that can be written"
    works = Diagnosis("ok", "compiled code", "numba can keep what it compiles")
    yield Diagnosis("problem", "compiled code", error, hint) if error else works


def _datasets(registry: Registry, found: Catalogue, roots: tuple[str, ...]) -> Iterator[Diagnosis]:
    for entry in registry.datasets.values():
        try:
            data = load_registered(entry, found, roots)
            check_fingerprint(entry.name, entry.fingerprint, seen := fingerprint(data))
            text = f"{len(data.train)} + {len(data.test)} images, fingerprint {seen}"
            yield Diagnosis("ok", f"data set {entry.name}", text)
        except PrunebenchError as error:
            yield Diagnosis("note", f"data set {entry.name}", error.message, error.hint)
