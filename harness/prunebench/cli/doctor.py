"""prunebench doctor."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from prunebench import provenance
from prunebench.cli.options import cache_folder, cache_option, data_folders, data_option, json_option, registry_option
from prunebench.errors import PrunebenchError
from prunebench.plugins import Catalogue, load_plugins
from prunebench.registry import Registry, load_registry
from prunebench.store import Store


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: "ok", "note" for something optional that is absent, "problem"."""

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
    findings = [
        *_plugins(found),
        *_packages(),
        *_devices(),
        *_folders(cache_folder(cache)),
        *_datasets(registry, found, data_folders(data_roots)),
    ]
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            colour = {"ok": "green", "note": "yellow", "problem": "red"}[finding.state]
            click.echo(f"{click.style(finding.state, fg=colour):<16} {finding.topic}: {finding.text}")
            if finding.hint:
                click.echo(f"        {finding.hint}")
    if any(finding.state == "problem" for finding in findings):
        raise SystemExit(1)


def _plugins(found: Catalogue) -> list[Finding]:
    names = {entry.origin.entry_point for entries in found.entries.values() for entry in entries.values()}
    findings = [Finding("ok", "plugins", f"{len(names)} work")]
    for failure in found.failures:
        findings.append(Finding("problem", f"plugin {failure.origin}", failure.error, failure.hint))
    return findings


def _packages() -> list[Finding]:
    versions = provenance.versions()
    absent = sorted(name for name, version in versions.items() if version == "absent")
    text = ", ".join(f"{name} {version}" for name, version in versions.items() if version != "absent")
    findings = [Finding("ok", "packages", text)]
    if absent:
        findings.append(Finding("problem", "packages", f"absent: {', '.join(absent)}", "install prunebench again"))
    gudhi = versions["gudhi"].split(".")
    if versions["gudhi"] != "absent" and (int(gudhi[0]), int(gudhi[1])) >= (3, 13):
        findings.append(
            Finding("problem", "gudhi", "3.13 and multipers 2.3.2 crash together", 'pip install "gudhi<3.13"')
        )
    return findings


def _devices() -> list[Finding]:
    gpus = provenance.gpus()
    if not gpus:
        return [Finding("note", "devices", "no NVIDIA GPU is seen; everything runs on the CPU")]
    return [Finding("ok", "devices", f"GPU {i}: {g['name']}, {g['memory']}") for i, g in enumerate(gpus)]


def _folders(cache: Path) -> list[Finding]:
    try:
        Store(cache).check_writable()
    except PrunebenchError as error:
        return [Finding("problem", "cache", error.message, error.hint)]
    free = shutil.disk_usage(cache).free
    state = "ok" if free > 2**30 else "problem"
    return [
        Finding(state, "cache", f"{cache}, {free / 2**30:.0f} GiB free", "" if state == "ok" else "free some space")
    ]


def _datasets(registry: Registry, found: Catalogue, roots: tuple[str, ...]) -> list[Finding]:
    from prunebench.stages.data import check_fingerprint, fingerprint, load_dataset

    findings = []
    for entry in registry.datasets.values():
        try:
            plugin = found.dataset(entry.spec)
            data = load_dataset(plugin, plugin.spec.resolve_params(entry.params), tuple(map(Path, roots)))
            check_fingerprint(entry.name, entry.fingerprint, fingerprint(data))
            text = f"{len(data.train)} + {len(data.test)} images, fingerprint {fingerprint(data)}"
            findings.append(Finding("ok", f"data set {entry.name}", text))
        except PrunebenchError as error:
            findings.append(Finding("note", f"data set {entry.name}", error.message, error.hint))
    return findings
