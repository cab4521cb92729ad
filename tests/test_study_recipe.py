"""The study of the training recipe: its loops are what they are called, and a stopped study loses nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torchvision.transforms import functional as pictures

from prunebench.contexts import Dataset, Split


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parent / "benchmarks")
    import recipe_loops

    return recipe_loops


@pytest.fixture
def study(loops: Any) -> Any:
    import study_recipe

    return study_recipe


@pytest.fixture(scope="module")
def data() -> Dataset:
    generator = np.random.default_rng(0)
    splits = [
        Split(
            images=generator.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8),
            labels=np.arange(n, dtype=np.int64) % 10,
            ids=tuple(f"{name}-{number}" for number in range(n)),
        )
        for name, n in (("train", 60), ("test", 20))
    ]
    return Dataset(
        name="noise", train=splits[0], test=splits[1], class_names=tuple("abcdefghij"), mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.3, 0.4),
    )  # fmt: skip


@pytest.mark.parametrize("border", ["reflect", "black", "mean"])
def test_borders_are_those_of_torchvision(loops: Any, data: Dataset, border: str) -> None:
    """A reflected border is the same before and after normalisation, so that the order of the two is no factor."""
    images = torch.from_numpy(data.train.images[:3])
    bytes_first = images.permute(0, 3, 1, 2)
    if border == "mean":
        expected = pictures.pad(pictures.normalize(bytes_first / 255, data.mean, data.std), [4])
    else:
        mode = "reflect" if border == "reflect" else "constant"
        padded = pictures.pad(bytes_first, [4], padding_mode=mode)
        expected = pictures.normalize(padded / 255, data.mean, data.std)
    torch.testing.assert_close(loops.bordered(images, data, border), expected)


def test_batches_are_those_of_the_papers(loops: Any) -> None:
    def sizes(**changes: Any) -> list[int]:
        return [stop - start for start, stop in loops.windows(5000, loops.Setting(**changes))]

    assert sizes() == [256] * 19 + [136]
    assert sizes(keep_last=False) == [256] * 19
    assert sizes(batch_size=128) == [128] * 39 + [8]


def test_a_subset_is_balanced_only_if_asked(loops: Any) -> None:
    labels = np.repeat(np.arange(10), 500)
    balanced, free = (loops.random_subset(labels, 100, 3, flag) for flag in (True, False))
    assert np.bincount(labels[balanced]).tolist() == [10] * 10
    assert len(set(free)) == 100
    assert np.bincount(labels[free]).tolist() != [10] * 10
    assert loops.random_subset(labels, 103, 0, True).shape == (103,)


def test_without_decay_of_all_only_matrices_and_filters_decay(loops: Any) -> None:
    model = loops.NETWORKS["resnet8"]()
    groups = loops.optimiser_of(model, loops.Setting(decay_all=False)).param_groups
    assert [group["weight_decay"] for group in groups] == [5e-4, 0.0]
    assert {one.ndim for one in groups[0]["params"]} == {2, 4}
    assert {one.ndim for one in groups[1]["params"]} == {1}
    assert len(loops.optimiser_of(model, loops.Setting()).param_groups) == 1


@pytest.mark.parametrize("loop", ["plain", "loader", "engine"])
def test_the_loops_train_as_many_iterations(study: Any, data: Dataset, loop: str) -> None:
    setting = study.Setting(loop, batch_size=16, length=2.0)
    place = study.Place("an arm", 0, "lenet", 1, 50, setting, "cpu")
    found = study.train(place, data)
    assert found.iterations == 2 * math.ceil(50 / 16)
    assert 0 <= found.accuracy <= found.best <= 1
    assert loop == "loader" or study.train(place, data).accuracy == found.accuracy


def test_a_stopped_study_goes_on_where_it_was(
    study: Any, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []

    def train(place: Any, *_: Any) -> Any:
        trained.append(f"{place.arm} {place.seed}")
        return study.Training(place, 0.5, 0.5, 1, 10.0, "")

    monkeypatch.setattr(study, "train", train)
    places = [study.Place(arm, seed, "lenet", 1, 50, study.Setting(), "cpu") for seed in range(2) for arm in "ab"]
    file = tmp_path / "trainings.jsonl"
    study.run(places[:2], data, file, math.inf)
    with file.open("ab") as out:
        out.write(b'{"place":{"arm":"a","seed"')
    assert [one.place for one in study.finished(file)] == places[:2]
    study.run(places, data, file, 9.0)
    assert trained == ["a 0", "b 0"], "no training is started that took 10 seconds before"
    study.run(places, data, file, math.inf)
    assert [one.place for one in study.finished(file)] == places
    assert trained == ["a 0", "b 0", "a 1", "b 1"]


def test_differences_are_paired_by_seed(study: Any) -> None:
    def training(arm: str, seed: int, accuracy: float, best: float = 0.0) -> Any:
        place = study.Place(arm, seed, "lenet", 30, 5000, study.Setting(), "cpu")
        return study.Training(place, accuracy, best, 600, 1.0, "")

    found = [training(study.PLAIN, seed, 0.5 + seed / 10, 0.51 + seed / 10) for seed in range(3)]
    found += [training("batch 128", seed, 0.52 + seed / 10 + seed / 1000) for seed in range(3)]
    text = study.report([msgspec.json.decode(msgspec.json.encode(one), type=study.Training) for one in found])
    assert text.startswith("lenet, 30 epochs of 5,000 images, cpu")
    assert "| plain loop | 600 | 60.00 |  |  | 3 |" in text
    assert "| batch 128 | 600 | 62.10 | plain loop | +2.10 ± 0.25 | 3 |" in text
    assert "| best epoch in place of the last | 600 | 61.00 | plain loop | +1.00 | 3 |" in text


def test_the_tables_of_the_page_are_those_of_the_trainings(study: Any) -> None:
    root = Path(__file__).parent
    text = study.report(study.finished(root / "benchmarks" / "recipe.jsonl"))
    assert text in (root.parent / "docs" / "recipe.md").read_text(encoding="utf-8")
