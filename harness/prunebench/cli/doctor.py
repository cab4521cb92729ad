"""prunebench doctor."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from prunebench import provenance
from prunebench.cli.options import cache_folder, cache_option, data_folders, data_option, json_option, registry_option
from prunebench.cli.text import columns, wrapped
from prunebench.errors import PrunebenchError
from prunebench.executors.process import ChildProcess, child_environment
from prunebench.plugins import Catalogue, load_plugins
from prunebench.registry import Registry, load_registry
from prunebench.store import Store

_COMPILE_SECONDS = 120.0


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
    registry, found = load_registry(registry_file), load_plugins(retry=True)
    diagnoses = [
        *_plugins(found),
        *_packages(),
        *_devices(),
        *_folders(cache_folder(cache)),
        *_compiled_code(cache_folder(cache)),
        *_datasets(registry, found, data_folders(data_roots)),
    ]
    if as_json:
        click.echo(json.dumps([asdict(diagnosis) for diagnosis in diagnoses], indent=1))
    else:
        for diagnosis in diagnoses:
            colour = {"ok": "green", "note": "yellow", "problem": "red"}[diagnosis.state]
            line = wrapped(f"{diagnosis.topic}: {diagnosis.text}", columns(), f"{diagnosis.state:<8}")
            click.echo(line.replace(diagnosis.state, click.style(diagnosis.state, fg=colour), 1))
            if diagnosis.hint:
                click.echo(wrapped(diagnosis.hint, columns(), " " * 8))
    if any(diagnosis.state == "problem" for diagnosis in diagnoses):
        raise SystemExit(1)


def _plugins(found: Catalogue) -> list[Diagnosis]:
    names = {entry.origin.entry_point for entries in found.entries.values() for entry in entries.values()}
    diagnoses = [Diagnosis("ok", "plugins", f"{len(names)} work")]
    for failure in found.failures:
        diagnoses.append(Diagnosis("problem", f"plugin {failure.origin}", failure.error, failure.hint))
    return diagnoses


def _packages() -> list[Diagnosis]:
    versions = provenance.versions()
    absent = sorted(name for name, version in versions.items() if version == "absent")
    text = ", ".join(f"{name} {version}" for name, version in versions.items() if version != "absent")
    diagnoses = [Diagnosis("ok", "packages", text)]
    if absent:
        diagnoses.append(Diagnosis("problem", "packages", f"absent: {', '.join(absent)}", "install prunebench again"))
    gudhi = versions["gudhi"].split(".")
    if versions["gudhi"] != "absent" and (int(gudhi[0]), int(gudhi[1])) >= (3, 13):
        diagnoses.append(
            Diagnosis("problem", "gudhi", "3.13 and multipers 2.3.2 crash together", 'pip install "gudhi<3.13"')
        )
    return diagnoses


def _devices() -> list[Diagnosis]:
    gpus = provenance.gpus()
    if not gpus:
        return [Diagnosis("note", "devices", "no NVIDIA GPU is seen; everything runs on the CPU")]
    return [Diagnosis("ok", "devices", f"GPU {i}: {g['name']}, {g['memory']}") for i, g in enumerate(gpus)]


def _folders(cache: Path) -> list[Diagnosis]:
    try:
        Store(cache).check_writable()
    except PrunebenchError as error:
        return [Diagnosis("problem", "cache", error.message, error.hint)]
    free = shutil.disk_usage(cache).free
    state = "ok" if free > 2**30 else "problem"
    return [
        Diagnosis(state, "cache", f"{cache}, {free / 2**30:.0f} GiB free", "" if state == "ok" else "free some space")
    ]


_COMPILE = """
import json
try:
    import numba
    numba.njit(cache=True)(json.dumps)  # the folder is looked for at once, nothing is compiled yet
    print(json.dumps({"error": ""}))
except Exception as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
"""


def _compiled_code(cache: Path) -> list[Diagnosis]:
    """Tell whether the libraries that compile find a folder for it, in a process like those of a run."""
    environment = child_environment(cache, threads=1)
    child = ChildProcess([sys.executable, "-c", _COMPILE], environment=environment)
    try:
        answer = child.receive(_COMPILE_SECONDS)
        error = f"a process that imports numba {child.death}" if answer is None else str(answer["error"])
    except TimeoutError:
        error = f"importing numba took longer than {_COMPILE_SECONDS:g} s"
    finally:
        child.close()
    if error:
        hint = "set NUMBA_CACHE_DIR, or --cache, to a folder that can be written"
        return [Diagnosis("problem", "compiled code", error, hint)]
    return [Diagnosis("ok", "compiled code", "numba can keep what it compiles")]


def _datasets(registry: Registry, found: Catalogue, roots: tuple[str, ...]) -> list[Diagnosis]:
    from prunebench.stages.data import check_fingerprint, fingerprint, load_dataset

    diagnoses = []
    for entry in registry.datasets.values():
        try:
            plugin = found.dataset(entry.spec)
            data = load_dataset(plugin, plugin.spec.resolve_params(entry.params), tuple(map(Path, roots)))
            check_fingerprint(entry.name, entry.fingerprint, fingerprint(data))
            text = f"{len(data.train)} + {len(data.test)} images, fingerprint {fingerprint(data)}"
            diagnoses.append(Diagnosis("ok", f"data set {entry.name}", text))
        except PrunebenchError as error:
            diagnoses.append(Diagnosis("note", f"data set {entry.name}", error.message, error.hint))
    return diagnoses
