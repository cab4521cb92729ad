"""A network that was trained here, as a file that others register: the next slice starts from it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import save

from prunebench.contexts import Dataset
from prunebench.errors import DataError, UsageError, did_you_mean
from prunebench.identify import data_of
from prunebench.planner import Contents, Planner
from prunebench.records import write_bytes
from prunebench.request import Request
from prunebench.stages.data import check_fingerprint, fingerprint
from prunebench.store import Artefact
from prunebench.tasks import Task


@dataclass(frozen=True)
class ExportedBackbone:
    """A weights file: its SHA-256, the lines of registry.toml that name it, and what is known of its training."""

    sha256: str
    lines: str
    facts: Mapping[str, str]


def suites_of(asked: Request, name: str) -> list[str]:
    """Return the suites that train a network on all of their data: to score, to record dynamics, or to teach."""
    found = []
    for suite in asked.registry.suites.values():
        teachers = {asked.registry.recipes[pair.recipe].teacher for pair in suite.training}
        proxies = {suite.proxy.arch} if suite.proxy else set()
        found += [suite.name] if name in {*suite.backbones, *suite.agreement.backbones, *teachers, *proxies} else []
    return found


def export_backbone(asked: Request, name: str, out: Path, replicate: int = 0) -> ExportedBackbone:
    """Write the weights of a network that was trained here on the data of the suite that is asked for, as safetensors
    with what is known of it.  replicate: which of the networks that the seeds of the suite are spread over.  Raises
    UsageError for a network that is not trained here, DataError where it was not trained yet."""
    registry, settings = asked.registry, asked.settings
    if name not in registry.networks:
        raise UsageError(f"no network is named {name!r}", did_you_mean(name, registry.networks))
    network, suite = registry.networks[name], registry.suite(asked.suite)
    if not (recipe := network.weights.recipe):
        text = f"the weights of {name} are not trained here: {network.weights.file or network.weights.source}"
        raise UsageError(text, "name a network with weights = { train = RECIPE }")
    entry = registry.datasets[suite.dataset]
    data = data_of(asked)
    check_fingerprint(entry.name, entry.fingerprint, found := fingerprint(data))
    task = Planner(registry, asked.plugins, suite, Contents({entry.name: found})).pretrain(name, recipe, replicate)
    if (trained := asked.store.read(task.stage, task.key)) is None:
        text = f"{name} was not trained on {entry.name} yet, or the cache {settings.cache} is another"
        only = f" --backbone {name}" if name in suite.backbones else ""
        raise DataError(text, f"train it with `prunebench run {suite.name}{only}`")
    facts = {"network": name, "dataset": entry.name, "recipe": recipe, "replicate": str(replicate)}
    return _written(out, task, trained, data, facts)


def _written(out: Path, task: Task, trained: Artefact, data: Dataset, facts: Mapping[str, str]) -> ExportedBackbone:
    assert data.train.images is not None  # a network was trained on them
    arch = task.config["arch"]
    how = {
        "image_size": arch["image_size"] or data.train.images.shape[1],
        "mean": list(arch["mean"] or data.mean or (0.0,)), "std": list(arch["std"] or data.std or (1.0,)),
        "interpolation": arch["interpolation"] or "bilinear",
    }  # fmt: skip
    provider = arch["plugin"]["name"]
    model = {"timm": arch["model"]} if provider == "timm" else {"provider": provider, "model": arch["model"]}
    known = {
        **facts, **model, **how, "kwargs": dict(arch["kwargs"]), "recipe_params": task.config["recipe"]["params"],
        "dataset_fingerprint": task.config["dataset"]["fingerprint"], "key": task.key,
        "accuracy": trained.meta["accuracy"],
    }  # fmt: skip
    metadata = {title: value if isinstance(value, str) else json.dumps(value) for title, value in known.items()}
    # The dynamics are in a group of their own: they are no weights.
    weights = {title: array for title, array in trained.arrays.items() if "/" not in title}
    content = _in_one_order(save(weights, metadata))
    write_bytes(out, content, hint="name another file with --out FILE")
    sha256 = hashlib.sha256(content).hexdigest()
    table = {**model, **how, **({"kwargs": dict(arch["kwargs"])} if arch["kwargs"] else {})}
    keys = "".join(f"{title} = {_toml(value)}\n" for title, value in table.items())
    named = f"[backbone.{facts['dataset']}-{facts['network']}]\n{keys}"
    return ExportedBackbone(sha256, f"{named}weights = {_toml({'file': out.name, 'sha256': sha256})}\n", metadata)


def _in_one_order(content: bytes) -> bytes:
    """Return a safetensors file with its facts sorted, which the library writes in another order each time: one network
    has one SHA-256."""
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + content[begin:]


def _toml(value: Any) -> str:
    """Return a value as TOML writes it; texts, numbers and lists are written as in JSON."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_toml(inside)}" for name, inside in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
