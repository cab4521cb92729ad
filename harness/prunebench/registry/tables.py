"""The tables of registry.toml: the keys that its reader accepts, and the JSON Schema made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from prunebench.registry.shapes import Key, Shape, key_schema, shape_schema
from prunebench.specs import (
    BackboneSpec,
    DatasetSpec,
    ExecutorSpec,
    LearnerSpec,
    MetricSpec,
    ProjectorSpec,
    ScorerSpec,
    SelectorSpec,
)

TIERS = ("core", "contrib", "quarantine")
PLUGIN_KINDS = tuple(
    spec.kind
    for spec in (
        ScorerSpec, SelectorSpec, ProjectorSpec, DatasetSpec, BackboneSpec, LearnerSpec, ExecutorSpec, MetricSpec,
    )
)  # fmt: skip
_CLAUSE = r"(~=|===?|!=|[<>]=?)\s*[0-9A-Za-z.*+!_-]+"
_RANGE = rf"{_CLAUSE}(\s*,\s*{_CLAUSE})*"

FILE_WEIGHTS = Shape(
    "Weights in a file below a data root.",
    {"file": Key(doc="Name of the file."), "sha256": Key(doc="SHA-256 of the file, in hexadecimal.")},
)
TRAINED_WEIGHTS = Shape("Weights trained here.", {"train": Key(doc="Recipe that trains them.")})
NAMED_WEIGHTS = Key(doc="Published weights, or random ones.", choices=("hub", "random"))
_WEIGHTS = Key(
    kind="either",
    doc='Write "hub", "random", {file=..., sha256=...} or {train=...}.',
    default="random",
    variants=(
        NAMED_WEIGHTS,
        Key(kind="table", doc=FILE_WEIGHTS.doc, shape=FILE_WEIGHTS),
        Key(kind="table", doc=TRAINED_WEIGHTS.doc, shape=TRAINED_WEIGHTS),
    ),
)

_DATASET = Shape(
    "A data set: its plugin, and the content that is expected.",
    {
        "spec": Key(doc="Name of the data set's plugin; default the name of the table.", default=""),
        "params": Key(kind="table", doc="Parameters of the plugin.", default={}),
        "fingerprint": Key(doc="Digest of ids, labels and pixels; empty to accept any.", default=""),
        "licence": Key(doc="Licence of the images.", default=""),
    },
)
_NETWORK = Shape(
    "A network that scores (backbone) or is trained on subsets (arch).",
    {
        "timm": Key(doc="Name of a timm model: short for that model of the provider timm.", default=""),
        "provider": Key(doc="Plugin that provides the network.", default=""),
        "model": Key(doc="Name of the network there.", default=""),
        "image_size": Key(
            kind="integer", doc="Side of the input in pixels; default the images'.", default=0, minimum=1
        ),
        "mean": Key(kind="numbers", doc="Means that channels are normalised by; default the data set's.", default=[]),
        "std": Key(kind="numbers", doc="Standard deviations of the channels.", default=[]),
        "interpolation": Key(doc="How images are resized.", default=""),
        "kwargs": Key(kind="table", doc="Arguments of the network's constructor.", default={}),
        "weights": _WEIGHTS,
        "control": Key(kind="boolean", doc="Is it on the board only as a control?", default=False),
    },
    alternatives=(("timm",), ("provider", "model")),
)
_RECIPE = Shape(
    "How to train.",
    {
        "learner": Key(doc="Learner that trains."),
        "params": Key(kind="table", doc="Parameters of the learner.", default={}),
        "tolerance": Key(kind="number", doc="Fraction by which the accuracies of repeats may differ.", default=0.02),
    },
)
_METHOD = Shape(
    "A row of the board with other parameters than a scorer's defaults.",
    {
        "scorer": Key(doc="Scorer."),
        "params": Key(kind="table", doc="Parameters of the scorer.", default={}),
        "selector": Key(doc="Selector; default the scorer's.", default=""),
        "selector_params": Key(kind="table", doc="Parameters of the selector.", default={}),
    },
)
PAIR = Shape(
    "A training: an architecture and a recipe.",
    {"arch": Key(doc="Architecture or backbone."), "recipe": Key(doc="Recipe.")},
)
AGREEMENT = Shape(
    "Whose scores are compared between backbones and seeds; each axis defaults to the suite's.",
    {
        "methods": Key(kind="strings", doc="Methods.", default=None),
        "projectors": Key(kind="strings", doc="Projectors.", default=None),
        "backbones": Key(kind="strings", doc="Backbones.", default=None),
    },
)
_SUITE = Shape(
    "A grid of cells on one data set.",
    {
        "summary": Key(doc="One sentence.", default=""),
        "dataset": Key(doc="Data set."),
        "methods": Key(kind="strings", doc="Methods, or scorers with their defaults."),
        "baseline": Key(doc="Method that gains are measured against.", default=""),
        "unpruned": Key(doc="Method that keeps everything.", default=""),
        "backbones": Key(kind="strings", doc="Networks that score.", default=[]),
        "projectors": Key(kind="strings", doc="Projectors of their features.", default=[]),
        "training": Key(kind="tables", doc="Architectures that are trained, with recipes.", default=[], shape=PAIR),
        "pruning_rates": Key(
            kind="strings",
            doc='write fractions in [0, 1) as strings, such as "0.9" to keep 10 %',
            pattern=r"0|0?\.[0-9]+",
        ),
        "seeds": Key(kind="integer", doc="Number of seeds.", minimum=1),
        "proxy": Key(kind="table", doc="Run that records training dynamics.", default=None, shape=PAIR),
        "agreement": Key(kind="table", doc=AGREEMENT.doc, default={}, shape=AGREEMENT),
    },
)
PLUGIN = Shape(
    "What is known of a plugin: who keeps it, which versions are meant, and how far it is trusted.",
    {
        "kind": Key(doc="Kind of the plugin.", choices=PLUGIN_KINDS),
        "dist": Key(doc="Distribution that declares it."),
        "version": Key(doc='write a PEP 440 range of the distribution, such as ">=1,<2"', pattern=_RANGE),
        "tier": Key(doc="core and contrib are ranked; quarantine is shown with its reason only.", choices=TIERS),
        "maintainer": Key(doc="Who answers for it."),
        "added": Key(kind="date", doc="When it was added."),
        "paper": Key(doc="What it implements, where its declaration does not say.", default=""),
        "reason": Key(doc="say in one line why it is in quarantine", pattern=".+", default=""),
        "environment": Key(
            kind="strings",
            doc="PEP 508 requirements of an environment of its own, where dependencies clash.",
            default=[],
        ),
        "expected_failures": Key(
            kind="named", doc="Conformance check to the reason why it may not pass; strict.", default={}
        ),
    },
    when=(("tier", "quarantine", "reason"),),
)  # fmt: skip

HEADER: Mapping[str, Key] = {
    "schema": Key(kind="integer", doc="Version of this format.", minimum=1),
    "protocol": Key(doc="Raised whenever numbers stop being comparable."),
}
TABLES: Mapping[str, Shape] = {
    "dataset": _DATASET,
    "backbone": _NETWORK,
    "arch": _NETWORK,
    "recipe": _RECIPE,
    "method": _METHOD,
    "suite": _SUITE,
    "plugin": PLUGIN,
}


def registry_schema() -> dict[str, Any]:
    """Return the JSON Schema of registry.toml; cross-references are for the reader to check."""
    tables = {
        name: {"description": shape.doc, "type": "object", "additionalProperties": shape_schema(shape)}
        for name, shape in TABLES.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "registry.toml of prunebench",
        "type": "object",
        "properties": {**{name: key_schema(key) for name, key in HEADER.items()}, **tables},
        "required": list(HEADER),
        "additionalProperties": False,
    }


def schema_text() -> str:
    """Return the JSON Schema as the file docs/registry.schema.json holds it."""
    return json.dumps(registry_schema(), indent=2, ensure_ascii=False) + "\n"
