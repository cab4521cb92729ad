"""Pictures and networks for the tests of embedding: files in a folder, pictures by number, and a network that says
what it saw."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from prunebench.keys import digest
from prunebench.pruning.embedding import Network


@dataclass
class Files:
    """The pictures of files, each read when it is asked for; counts how often each was decoded."""

    paths: list[Path]
    decoded: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.paths)

    def picture(self, index: int) -> Image.Image:
        self.decoded[self.paths[index].name] += 1
        with Image.open(self.paths[index]) as image:
            return image.convert("RGB")

    def digest(self, index: int) -> str:
        return hashlib.blake2b(self.paths[index].read_bytes(), digest_size=16).hexdigest()

    def locator(self, index: int) -> dict[str, Any]:
        return {"path": str(self.paths[index])}


@dataclass
class Numbers:
    """A picture for each number: one pixel of that colour.  Negative ones cannot be decoded."""

    numbers: list[int]
    decoded: Counter[int] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.numbers)

    def picture(self, index: int) -> Image.Image:
        number = self.numbers[index]
        self.decoded[number] += 1
        if number < 0:
            raise ValueError(f"number {number} is no picture")
        return Image.new("RGB", (1, 1), (number % 256, number // 256 % 256, number // 65536))

    def digest(self, index: int) -> str:
        return digest(self.numbers[index])

    def locator(self, index: int) -> dict[str, Any]:
        return {"path": str(self.numbers[index])}


class Echo:
    """A network whose features are the pixel, and whose logits are its negative; number 13 gives no finite features."""

    batch_size = 4

    def __init__(self, has_head: bool = True, title: str = "echo") -> None:
        self.facts: dict[str, Any] = {"model": title}
        self.origin: dict[str, Any] = {}
        self.batches: list[int] = []
        self._has_head, self._lock = has_head, threading.Lock()

    def prepare(self, picture: Image.Image) -> np.ndarray:
        return np.asarray(picture)

    def run(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        with self._lock:
            self.batches.append(len(batch))
        features = batch.reshape(len(batch), 3).astype(np.float32)
        features[(features == (13, 0, 0)).all(axis=1)] = np.nan
        return features, -features[:, :2].copy() if self._has_head else None


def echo(**options: Any) -> Network:
    """Return the echo as a network that is open."""
    ready = Echo(**options)
    return Network(ready, digest(ready.facts | {"head": options.get("has_head", True)}), ready.facts)


def row(number: int) -> list[float]:
    """Return the features that the echo gives for a number."""
    return [float(number % 256), float(number // 256 % 256), float(number // 65536)]
