"""A task: one stage of the pipeline with all that determines its result, and the tasks that it reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from prunebench.keys import digest
from prunebench.stages import STAGES


@dataclass(frozen=True, eq=False)
class Task:
    """One stage with its configuration (in the key), its inputs (their keys are in the key) and locators.
    Locators say where to find what the configuration identifies by its content, such as the path of a weights file or
    the plugin that reads a data set; they are not in the key."""

    stage: str
    config: Mapping[str, Any]
    upstream: Mapping[str, Task] = field(default_factory=dict)
    locators: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """Identity: a pure function of stage, configuration and upstream keys."""
        upstream = {role: task.key for role, task in self.upstream.items()}
        version = STAGES[self.stage].version
        return digest({"stage": self.stage, "stage_version": version, "config": self.config, "upstream": upstream})

    @property
    def kind(self) -> tuple[str, ...]:
        """What tells best how long it takes: its stage, the plugin and the network, and the fraction to keep."""
        parts = (("plugin", "name"), ("recipe", "name"), ("arch", "model"))
        named = (self.config.get(part, {}).get(name, "") for part, name in parts)
        return (self.stage, *named, self.config.get("keep", ""))

    def ancestors(self) -> Iterator[Task]:
        """Yield every task that this one reads, directly or not, before the ones that read it."""
        for task in self.upstream.values():
            yield from task.ancestors()
            yield task

    def to_json(self) -> dict[str, Any]:
        """Return the task as JSON-able values."""
        return dict(msgspec.to_builtins(self))
