"""A result belongs to the content of its data and weights and to the code that made it, never to a name or a path."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

REGISTRY = """
schema = 1
protocol = "test"

[dataset.photos]
spec = "image-folder"
params = { path = "photos", image_size = 16 }

[backbone.untrained]
timm = "test_resnet"
image_size = 16
weights = "random"

[recipe.probe]
learner = "probe"

[suite.mine]
dataset = "photos"
methods = ["random", "moderate"]
baseline = "random"
backbones = ["untrained"]
pruning_rates = ["0.5"]
seeds = 1
training = [{ arch = "untrained", recipe = "probe" }]
"""


def draw_photos(folder, seed):
    """Two classes of small images, other ones for every seed."""
    rng = np.random.default_rng(seed)
    for name, tone in (("dark", 60), ("light", 180)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(12):
            pixels = rng.normal(tone, 30, size=(16, 16, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")


@pytest.fixture
def bench(sandbox):
    (sandbox.folder / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    draw_photos(sandbox.folder / "data" / "photos", 1)
    return sandbox


def records(bench, method=None):
    files = sorted((bench.folder / "results").rglob("*.jsonl"))
    found = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return [r for r in found if r["kind"] == "cell" and method in (None, r["method"])]


def run(bench, *arguments):
    done = bench.call("run", "mine", "--executor", "serial", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stderr


def facts(bench):
    return {r["method"]: (r["dataset_fingerprint"], r["accuracy"], r["subset_digest"]) for r in records(bench)}


def test_other_images_under_the_same_names_are_other_data(bench):
    assert "0 already done, 2 computed now" in run(bench)
    old = facts(bench)
    draw_photos(bench.folder / "data" / "photos", 2)
    assert "0 already done, 2 computed now" in run(bench)
    new = facts(bench)
    assert len({fingerprint for fingerprint, *_ in [*old.values(), *new.values()]}) == 2
    assert {fingerprint for fingerprint, *_ in new.values()} != {fingerprint for fingerprint, *_ in old.values()}
    draw_photos(bench.folder / "data" / "photos", 1)  # and back again: everything is in the cache
    run(bench)
    assert facts(bench) == old


def test_another_folder_with_the_same_relative_path_is_other_data(bench):
    run(bench)
    elsewhere = bench.folder / "elsewhere"
    draw_photos(elsewhere / "photos", 3)
    assert "0 already done, 2 computed now" in run(bench, "--data", str(elsewhere))


def test_the_same_images_in_another_folder_are_the_same_data(bench):
    run(bench)
    moved = bench.folder / "moved"
    shutil.move(bench.folder / "data", moved)
    assert "2 already done, 0 computed now" in run(bench, "--data", str(moved))


def test_a_method_that_is_added_later_is_never_paired_with_features_of_other_data(bench):
    run(bench)
    photos = bench.folder / "data" / "photos"
    for name in ("dark", "light"):  # the classes swap their images: same files, same sizes, other labels
        (photos / name).rename(photos / f"{name}-before")
    (photos / "dark-before").rename(photos / "light")
    (photos / "light-before").rename(photos / "dark")
    run(bench, "--with", "knn-density")
    assert len({r["dataset_fingerprint"] for r in records(bench)}) == 1
    assert len(records(bench)) == 3


def test_data_that_changed_are_noticed_also_when_nothing_is_missing(bench):
    run(bench)
    (bench.folder / "registry.toml").write_text(
        REGISTRY.replace('spec = "image-folder"', f'spec = "image-folder"\nfingerprint = "{"0" * 32}"'),
        encoding="utf-8",
    )
    done = bench.call("run", "mine", "--executor", "serial")
    assert done.returncode == 4
    assert "registry.toml expects 00000000000000000000000000000000" in done.stderr


def test_a_result_is_done_whatever_the_cache_holds(bench):
    run(bench)
    before = {path: path.read_bytes() for path in (bench.folder / "results").rglob("*.jsonl")}
    shutil.rmtree(bench.folder / "cache")
    assert "2 already done, 0 computed now" in run(bench)
    assert {path: path.read_bytes() for path in before} == before


def test_a_failure_under_a_new_key_leaves_the_result_where_it_is(bench):
    source = (
        "from prunebench import ScorerSpec, hookimpl\n"
        "@hookimpl\ndef prunebench_scorers():\n"
        "    return [ScorerSpec(name='mine', summary='A test.', load='mine:score')]\n"
        "def score(ctx):\n    import numpy as np\n    return BODY\n"
    )
    bench.install("mine", source.replace("BODY", "np.arange(float(ctx.n))"))
    run(bench, "--with", "mine")
    (before,) = records(bench, "mine")
    module = bench.folder / "site" / "mine.py"
    module.write_text(source.replace("BODY", "1 / 0"), encoding="utf-8")
    done = bench.call("run", "mine", "--executor", "serial", "--with", "mine")
    assert done.returncode != 0
    assert "ZeroDivisionError" in done.stderr
    assert records(bench, "mine") == [before]
    module.write_text("# The same again, with a remark.\n" + source.replace("BODY", "np.arange(float(ctx.n))"))
    assert "3 already done, 0 computed now" in run(bench, "--with", "mine")


def test_code_that_changes_while_a_run_goes_on_is_refused_and_not_recorded_under_the_old_key(bench):
    source = (
        "from pathlib import Path\n"
        "from prunebench import ScorerSpec, hookimpl\n"
        "@hookimpl\ndef prunebench_scorers():\n"
        "    return [ScorerSpec(name=name, summary='A test.', load=f'mine_{name}:score')\n"
        "            for name in ('first', 'then')]\n"
    )
    bench.install("mine", source)
    site = bench.folder / "site"
    then = "def score(ctx):\n    import numpy as np\n    return np.arange(float(ctx.n)) * SIGN\n"
    (site / "mine_then.py").write_text(then.replace("SIGN", "1"))
    (site / "mine_first.py").write_text(
        "def score(ctx):\n    import numpy as np\n    from pathlib import Path\n"
        f"    Path({str(site / 'mine_then.py')!r}).write_text({then.replace('SIGN', '-1')!r})\n"
        "    return np.arange(float(ctx.n))\n"
    )
    done = bench.call("run", "mine", "--executor", "serial", "--with", "first", "--with", "then", "--scorer", "random")
    by_method = {r["method"]: r for r in records(bench)}
    assert by_method["first"]["status"] == "ok"
    assert by_method["then"]["status"] == "failed", done.stderr
    assert "the code here is" in by_method["then"]["status_reason"]
    assert bench.call("run", "mine", "--executor", "serial", "--with", "then", "--scorer", "random").returncode == 0
    assert [r["status"] for r in records(bench, "then")] == ["ok"]


def test_evidence_of_another_length_is_refused(tmp_path):
    from prunebench.contexts import Dataset, Split
    from prunebench.errors import DataError
    from prunebench.plugins import load_plugins
    from prunebench.settings import Settings
    from prunebench.stages.bench import Bench
    from prunebench.stages.evidence import score_context
    from prunebench.store import Artefact, Store
    from prunebench.tasks import Task

    labels = np.zeros(5, dtype=np.int64)
    split = Split(images=np.zeros((5, 4, 4, 1), np.uint8), labels=labels, ids=tuple("abcde"))
    data = Dataset(name="five", train=split, test=split, class_names=("only",))
    catalogue = load_plugins()
    entry = catalogue.scorer("moderate")
    bench = Bench(Settings(str(tmp_path)), Store(tmp_path), catalogue, "cpu", datasets={"five": data})
    arrays = {"train_features": np.zeros((4, 3), np.float32)}
    config = {"plugin": {"params": entry.spec.resolve_params({})}, "dataset": {"fingerprint": "five"}}
    task = Task("scores", config, {}, {"dataset": {}})
    with pytest.raises(DataError, match="5 training samples, and its features 4 rows"):
        score_context(bench, task, entry, {"features": Artefact(arrays, {}, tmp_path)}, entry.spec.needs)
