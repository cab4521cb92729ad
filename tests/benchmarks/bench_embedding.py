"""Pictures per second of embedding, beside a plain DataLoader with timm's transform and the same network in one run.

Photos are those of the folder imagenette-mini in PRUNEBENCH_DATA, or made here.  The two sides take turns.  The plain
one has the better of two settings, torch's threads and one thread, and its first batch, when its processes start, does
not count.  What other work on the machine does to times it does to both; processor time is printed beside them.
"""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from embedding_doubles import Files
from prunebench import Arch
from prunebench.plugins import load_plugins
from prunebench.pruning.embedding import embed, open_network

N, BATCH, TURNS = 128, 32, 2


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the files of N photos."""
    roots = [Path(root) for root in os.environ.get("PRUNEBENCH_DATA", "").split(os.pathsep) if root]
    found = sorted(path for root in roots for path in (root / "imagenette-mini").rglob("*.webp"))
    if found:
        return found[:: len(found) // N][:N]
    folder, generator = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number in range(N):
        coarse = Image.fromarray(generator.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        coarse.resize((500, 375), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg")
    return sorted(folder.iterdir())


class Photos(Dataset[torch.Tensor]):
    """The pictures of files through a transform, as timm's own data sets do it."""

    def __init__(self, paths: list[Path], transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.paths[index]) as image:
            return self.transform(image.convert("RGB"))


def plain_rate(photos: list[Path], name: str, threads: int) -> float:
    """Return pictures per second of the plain way, after its first batch."""
    model = timm.create_model(name, pretrained=False).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    with torch.inference_mode():
        for number, batch in enumerate(DataLoader(Photos(photos, transform), BATCH, num_workers=2)):
            features = model.forward_head(model.forward_features(batch), pre_logits=True)
            model.get_classifier()(features)
            if number == 0:
                begun = time.perf_counter()
    seconds = time.perf_counter() - begun
    torch.set_num_threads(before)
    return (len(photos) - BATCH) / seconds


def work_seconds() -> float:
    """Return the processor time of this process and of those that it has started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "bar"), [("tf_efficientnet_lite0", 1.5), ("mobilenetv2_100", 1.5), ("resnet18", 1.1)])
def test_embedding_is_faster_than_a_plain_loader(name: str, bar: float, photos: list[Path], tmp_path: Path) -> None:
    arch = Arch(name="own", provider="timm", model=name)
    network = open_network(load_plugins().backbone("timm"), arch, source="random")
    ours, plain, work = list[float](), dict[int, list[float]](), np.zeros(2)
    for _ in range(TURNS):
        begun, used = time.perf_counter(), work_seconds()
        found = embed(Files(photos), network, cache=tmp_path / "cache", workers=2)
        ours.append(len(photos) / (time.perf_counter() - begun))
        work[0] += work_seconds() - used
        assert found.computed == len(photos)
        shutil.rmtree(tmp_path / "cache")
        for threads in sorted({1, torch.get_num_threads()}):
            used = work_seconds()
            plain.setdefault(threads, []).append(plain_rate(photos, name, threads))
            work[1] += (work_seconds() - used) * (threads == 1)
    rate, best = float(np.mean(ours)), max(float(np.mean(rates)) for rates in plain.values())
    shown = ", ".join(f"{np.mean(rates):.1f} with {threads} thread(s)" for threads, rates in plain.items())
    print(f"\n{name}: {rate:.1f} pictures/s; plain: {shown}; ratio to the better {rate / best:.2f}")
    each = 1000 * work / (TURNS * len(photos))
    print(f"{each[0]:.1f} ms of processor for a picture; plain, 1 thread: {each[1]:.1f}; ratio {each[1] / each[0]:.2f}")
    assert rate > bar * best
