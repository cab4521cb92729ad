"""Pictures embedded by the workers of executors: the same bytes as in one process, whoever computes them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prunebench.contexts import Arch
from prunebench.errors import CellFailed, UsageError
from prunebench.plugins import Catalogue, load_plugins
from prunebench.pruning.embedding import embed, embedding_executor, open_network
from prunebench.pruning.gathering import Machine
from prunebench.pruning.reading import read
from prunebench.store import Store

CATALOGUE = load_plugins()
ARCH = Arch(name="untrained", provider="timm", model="test_resnet", image_size=16)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for number in range(24):
        Image.fromarray(random.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(folder / f"p{number:02}.png")
    (folder / "odd.png").write_bytes(b"no picture")
    return folder


def joined(cache: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(cache)): path.read_bytes() for path in cache.glob("picture-features/*/*/*.safetensors")
    }


def embedded(photos: Path, cache: Path, executor: str):
    """Return what an executor embeds."""
    pictures = read(photos).pictures
    machine = Machine(cache=cache, device="cpu", workers=1, executor=executor)
    with embedding_executor(partial(machine.started, CATALOGUE), Store(cache), ARCH, None, "random") as there:
        return embed(pictures, there.network(), cache=cache, workers=1, by=there.compute)


@pytest.fixture(scope="module")
def here(photos, tmp_path_factory):
    """What this process embeds, and the file of it."""
    cache = tmp_path_factory.mktemp("here")
    network = open_network(CATALOGUE.backbone("timm"), ARCH, device="cpu", source="random")
    found = embed(read(photos).pictures, network, cache=cache, workers=1)
    return found, joined(cache)


@pytest.fixture(scope="module")
def there(photos, tmp_path_factory):
    """What two workers embed, in shards of eight pictures, so that there are several; and their cache."""
    cache = tmp_path_factory.mktemp("there")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prunebench.pruning.embedding.by_executor.SHARD", 8)
        return embedded(photos, cache, "local:slots=2"), cache


def test_the_bytes_do_not_depend_on_who_computes_them(here, there):
    (found, cache), (expected, files) = there, here
    assert joined(cache) == files
    assert len(files) == 1
    assert dict(found.skipped) == dict(expected.skipped)
    assert len(found.skipped) == 1
    assert found.facts == expected.facts
    assert found.computed == 24
    assert list((cache / "embedding").rglob("meta.json")) == []  # nothing but rows is left


def test_rows_that_were_removed_are_computed_again(photos, here, there, tmp_path):
    shutil.copytree(there[1], tmp_path, dirs_exist_ok=True)
    for stage in ("pictures", "picture-features"):
        shutil.rmtree(tmp_path / stage)
    again = embedded(photos, tmp_path, "local:slots=1")
    assert (again.computed, again.facts) == (24, here[0].facts)
    assert joined(tmp_path) == here[1]


@pytest.fixture
def quick(sandbox) -> Iterator[Catalogue]:
    """A network without torch is installed, for this process and its workers."""
    sandbox.install_numpy_plugins()
    with sandbox.entered():
        yield load_plugins()


def test_a_network_that_no_worker_can_open_is_told_with_its_reason(quick, tmp_path):
    machine = Machine(cache=tmp_path, device="cpu", executor="local:slots=1")
    arch = Arch(name="nowhere", provider="numpy", model="no_such_model")
    start = partial(machine.started, quick)
    with embedding_executor(start, Store(tmp_path), arch, None, "random") as there, pytest.raises(CellFailed) as caught:
        there.network()
    assert "1 of 1 shards" in caught.value.message
    assert re.search("no_such_model", caught.value.message)


def test_pictures_in_memory_are_for_this_process(quick, tmp_path):
    pictures = read(np.zeros((3, 8, 8, 3), np.uint8)).pictures
    machine = Machine(cache=tmp_path, device="cpu", executor="local:slots=1")
    arch = Arch(name="random", provider="numpy", model="random-features")
    with embedding_executor(partial(machine.started, quick), Store(tmp_path), arch, None, "random") as there:
        network = there.network()
        with pytest.raises(UsageError, match="are in memory"):
            embed(pictures, network, cache=tmp_path, by=there.compute)
