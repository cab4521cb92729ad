"""Recipes with a teacher, and recipes whose parameters depend on the pruning rate: planned, keyed and run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from prunebench import Arch, LearnerSpec, PluginContractError, Settings, Task, WeightsMissing, identify
from prunebench.errors import UsageError
from prunebench.plan import Filters, make_plan
from prunebench.planner import Contents
from prunebench.plugins import Entry, load_plugins
from prunebench.registry import load_registry
from prunebench.request import Request
from prunebench.stages.bench import Bench
from prunebench.stages.data import load_dataset
from prunebench.stages.networks import teacher
from prunebench.store import Store

REGISTRY = """
schema = 1
protocol = "test"

[dataset.digits]

[backbone.trained]
timm = "test_resnet"
image_size = 16
weights = { train = "short" }

[backbone.filed]
timm = "test_resnet"
image_size = 16
weights = { file = "teacher.safetensors" }

[arch.native]
timm = "test_resnet"

[recipe.short]
learner = "deepcore"
params = { epochs = 2, batch_size = 64, learning_rate = 0.05 }

[recipe.taught]
learner = "topkd"
params = { epochs = 2, batch_size = 64, learning_rate = 0.05, clouds = 16, image_epochs = 1 }
teacher = "trained"

[suite.taught]
dataset = "digits"
methods = ["random"]
pruning_rates = ["0.9", "0.8"]
seeds = 4
backbone_seeds = 2
training = [{ arch = "native", recipe = "taught" }, { arch = "native", recipe = "short" }]
"""


@pytest.fixture
def plan_of(tmp_path):
    file, contents = tmp_path / "registry.toml", Contents({"digits": "0" * 32}, {"teacher.safetensors": "ab" * 32})

    def plan(*changes: tuple[str, str]):
        text = REGISTRY
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file.write_text(text, encoding="utf-8")
        return make_plan(load_registry(file), load_plugins(), "taught", contents=contents)

    return plan


def cells(plan, recipe):
    return [cell for cell in plan.cells if cell.axes["recipe"] == recipe]


def keys(plan, recipe):
    return [cell.key for cell in cells(plan, recipe)]


def test_a_teacher_is_trained_once_for_all_its_students(plan_of):
    taught = cells(plan_of(), "taught")
    teachers = {cell.axes["seed"]: set() for cell in taught}
    for cell in taught:
        assert cell.task.upstream["weights"].stage == "pretrain"
        teachers[cell.axes["seed"]].add(cell.task.upstream["weights"].key)
    assert all(len(one) == 1 for one in teachers.values())
    assert teachers[0] == teachers[2] != teachers[1] == teachers[3]  # two of them for four seeds
    assert len({cell.axes["teacher_key"] for cell in taught}) == 2


def test_the_teacher_is_in_the_key_of_its_students_and_of_nobody_else(plan_of):
    plain, changed = plan_of(), plan_of(("epochs = 2, batch_size = 64, learning_rate = 0.05 }", "epochs = 3 }"))
    assert not {*keys(plain, "taught")} & {*keys(changed, "taught")}
    other = plan_of(('teacher = "trained"', 'teacher = "filed"'))
    assert not {*keys(plain, "taught")} & {*keys(other, "taught")}
    assert keys(plain, "short") == keys(other, "short")
    assert all("teacher_key" not in cell.axes for cell in cells(plain, "short"))


def test_the_content_of_a_teacher_s_file_is_in_the_key_and_its_name_is_not(plan_of, tmp_path):
    plan = plan_of(('teacher = "trained"', 'teacher = "filed"'))
    assert "teacher.safetensors" not in str([cell.task.config for cell in plan.cells])
    again = make_plan(
        load_registry(tmp_path / "registry.toml"), load_plugins(), "taught",
        contents=Contents({"digits": "0" * 32}, {"teacher.safetensors": "cd" * 32}),
    )  # fmt: skip
    assert not {*keys(plan, "taught")} & {*keys(again, "taught")}


def test_the_file_of_a_teacher_is_looked_at_once_for_all_its_students(tmp_path, monkeypatch):
    (tmp_path / "registry.toml").write_text(REGISTRY.replace('"trained"', '"filed"'), encoding="utf-8")
    asked = []
    monkeypatch.setattr(identify, "find_weights", lambda *given: (asked.append(given), (Path("file"), "ab" * 32))[1])
    registry, settings = load_registry(tmp_path / "registry.toml"), Settings(str(tmp_path), device="cpu")
    plan = identify.identified_plan(Request(registry, load_plugins(), "taught", Filters(), settings, tmp_path))
    assert [given[0] for given in asked] == ["teacher.safetensors"]
    assert {cell.task.config["weights"]["sha256"] for cell in cells(plan, "taught")} == {"ab" * 32}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('teacher = "trained"\n', "", "'taught' names no teacher, and its learner 'topkd' needs one"),
        (
            'learning_rate = 0.05 }\n\n[recipe.taught]',
            'learning_rate = 0.05 }\nteacher = "filed"\n\n[recipe.taught]',
            "'short' has a teacher, and trains network 'trained'",
        ),
        ('weights = { train = "short" }', 'weights = "random"', "weights of its teacher 'trained' are random"),
        ('weights = { train = "short" }', 'weights = "hub"', "weights of its teacher 'trained' are hub"),
        ('weights = { train = "short" }', 'weights = { train = "taught" }', "'taught' has a teacher, and trains"),
        ('recipe = "short" }]', 'recipe = "o" }]\n[recipe.o]\nlearner = "probe"\nteacher = "trained"', "needs none"),
    ],
)  # fmt: skip
def test_a_teacher_that_does_not_fit_is_told_before_anything_runs(plan_of, old, new, words):
    with pytest.raises(UsageError, match=words) as refused:
        plan_of((old, new))
    assert refused.value.hint


def test_a_recipe_may_have_a_batch_size_for_each_pruning_rate_and_is_one_recipe(plan_of):
    table = ("\n[recipe.taught]", '\n[recipe.short.at."0.90"]\nparams = { batch_size = 16 }\n\n[recipe.taught]')
    plain, plan = plan_of(), plan_of(table)
    sizes = {cell.axes["keep"]: cell.task.config["recipe"]["params"]["batch_size"] for cell in cells(plan, "short")}
    assert sizes == {"0.1": 16, "0.2": 64}
    assert len({cell.task.config["recipe_digest"] for cell in cells(plan, "short")}) == 1
    other = plan_of((table[0], table[1].replace("16", "32")))
    assert cells(other, "short")[0].task.config["recipe_digest"] != cells(plan, "short")[0].task.config["recipe_digest"]
    assert [t.key for t in plain.tasks() if t.stage == "pretrain"] == [
        t.key for t in plan.tasks() if t.stage == "pretrain"
    ]


def test_a_parameter_at_a_rate_that_the_learner_does_not_have_is_refused(plan_of):
    with pytest.raises(UsageError, match="no parameter 'batchsize'"):
        plan_of(("\n[recipe.taught]", '\n[recipe.short.at."0.9"]\nparams = { batchsize = 16 }\n\n[recipe.taught]'))


def records(folder: Path) -> list[dict]:
    files = sorted((folder / "results" / "taught").rglob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_a_run_records_who_taught_and_how_many_updates_and_a_file_teaches_as_its_network_does(sandbox):
    registry, options = sandbox.folder / "registry.toml", ("--executor", "serial", "--seeds", "1", "--keep", "0.1")
    registry.write_text(REGISTRY, encoding="utf-8")
    done = sandbox.call("run", "taught", *options)
    assert done.returncode == 0, done.stderr
    taught, plain = sorted(records(sandbox.folder), key=lambda record: record["recipe"], reverse=True)
    assert taught["iterations"] == plain["iterations"] == 2 * 3  # 144 images in batches of 64
    assert len(taught["teacher_key"]) == 32
    assert "teacher_key" not in plain
    assert "trained on the whole training set" in taught["caveat"]
    done = sandbox.call("export", "backbone", "trained", "--out", "data/teacher.safetensors")
    assert done.returncode == 0, done.stderr
    registry.write_text(REGISTRY.replace('teacher = "trained"', 'teacher = "filed"'), encoding="utf-8")
    done = sandbox.call("run", "taught", *options)
    assert done.returncode == 0, done.stderr
    filed = max(records(sandbox.folder), key=lambda record: record["recipe"])
    assert filed["key"] != taught["key"]
    assert filed["teacher_key"] != taught["teacher_key"]
    assert (filed["accuracy"], filed["loss"]) == (taught["accuracy"], taught["loss"])


def test_a_teacher_sees_images_of_its_own_size_and_statistics(tmp_path):
    data = load_dataset(load_plugins().dataset("digits"), {}, ())
    catalogue, arch = load_plugins(), {"model": "test_resnet", "image_size": 16, "mean": (0.1,), "std": (0.5,)}
    described = catalogue.backbone("timm")
    plugin = {"kind": "backbone", "name": "timm", "version": described.version}
    network = described.load().build(Arch(name="a", provider="timm", **arch), 10, 1, 16).eval()
    save_file(network.state_dict(), tmp_path / "teacher.safetensors")
    bench = Bench(Settings(str(tmp_path), (str(tmp_path),)), Store(tmp_path), catalogue, "cpu")
    config = {"teacher": {**arch, "plugin": plugin}, "weights": {"source": "file", "sha256": ""}}
    task = Task("cell", config, {}, {"weights_file": "teacher.safetensors", "weights_package": ""})
    state = torch.get_rng_state()
    loaded = teacher(bench, task, data, {})
    assert torch.equal(torch.get_rng_state(), state)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    pixels = torch.tensor(data.train.images[:5]).permute(0, 3, 1, 2) / 255
    as_student = (pixels - data.mean[0]) / data.std[0]
    larger = torch.nn.functional.interpolate(pixels, (16, 16), mode="bilinear", antialias=True)
    torch.testing.assert_close(loaded(as_student), network((larger - 0.1) / 0.5), rtol=1e-3, atol=1e-4)
    with pytest.raises(WeightsMissing, match="do not fit test_vit"):
        teacher(
            bench, replace(task, config={**config, "teacher": {**config["teacher"], "model": "test_vit"}}), data, {}
        )
    (tmp_path / "teacher.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsMissing, match=r"read from safetensors files, and teacher\.safetensors is none"):
        teacher(bench, task, data, {})


def test_the_code_that_a_learner_uses_of_another_plugin_is_part_of_its_version():
    entry = load_plugins().learner("topkd")
    assert entry.load("uses").__module__ == "prunebench_ripsnet.frozen"
    alone = Entry(replace(entry.spec, uses=""), entry.origin)
    other = Entry(replace(entry.spec, uses="prunebench_ripsnet.network:build_network"), entry.origin)
    assert len({entry.version, alone.version, other.version}) == 3


def test_a_learner_that_declares_an_unknown_need_is_refused():
    with pytest.raises(PluginContractError, match=r"needs has unknown inputs \['teachers'\]"):
        LearnerSpec(name="odd", summary="A test.", load="odd:train", needs=frozenset({"pixels", "teachers"}))
