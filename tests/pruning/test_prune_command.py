"""`prunebench prune` from the user's side: run the command, read the folder."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from conftest import Sandbox
from prunebench.errors import DataError
from prunebench.exhibit import read_exhibits
from prunebench.plugins import load_plugins
from prunebench.pruning.ledger import COLUMNS
from prunebench.pruning.output import check_replaceable
from prunebench.validation.lines import read_folder
from registries import NUMPY_DIGITS

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(sandbox: Sandbox) -> Command:
    def call(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        run = sandbox.call(*map(str, arguments))
        assert run.returncode == code, run.stderr
        return run

    return call


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def digits(n: int) -> tuple[np.ndarray, np.ndarray]:
    found = load_digits()
    return found.data[:n].astype(np.float32), found.target[:n].astype(np.int64)


@pytest.fixture
def features(tmp_path: Path) -> Path:
    values, labels = digits(300)
    path = tmp_path / "features.npz"
    np.savez(path, features=values, labels=labels, ids=np.array([f"sample {i}" for i in range(300)]))
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Forty pictures of four classes, an exact copy of the first, and three files that are no pictures."""
    images, labels = load_digits().images, load_digits().target
    folder = tmp_path / "photos"
    for index in np.flatnonzero(labels < 4)[:40]:
        target = folder / f"digit {labels[index]}"
        target.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray((images[index] * 15).astype(np.uint8)).resize((40, 32))
        picture.save(target / f"{index}.png")
    first = folder / "digit 0" / "0.png"
    (folder / "digit 0" / "copy.png").write_bytes(first.read_bytes())
    (folder / "digit 1" / "empty.jpg").touch()
    (folder / "digit 1" / "cut.png").write_bytes(first.read_bytes()[:60])
    (folder / "digit 2" / "text.jpg").write_text("not a picture")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_kept_ids_come_in_the_order_of_the_input_and_budgets_are_inside_each_other(command, features, tmp_path):
    out = tmp_path / "kept"
    said = command("prune", features, "--no-prove", "--keep", "0.2", "--keep", "15", "--keep", "5%", "--out", out)
    assert "keep 0.2: 60 of 300" in said.stderr
    ledger = rows(out / "ledger.csv")
    assert [row["id"] for row in ledger] == [f"sample {i}" for i in range(300)]
    assert set(ledger[0]) - {"kept_0.2", "kept_15", "kept_5%"} <= set(COLUMNS)
    kept = {keep: [row["id"] for row in rows(out / f"kept-{name}.csv")] for keep, name in
            (("0.2", "0.2"), ("15", "15"), ("5%", "5pct"))}  # fmt: skip
    assert [len(ids) for ids in kept.values()] == [60, 15, 15]
    assert set(kept["15"]) == set(kept["5%"]) < set(kept["0.2"])
    for keep, ids in kept.items():
        assert ids == [row["id"] for row in ledger if row[f"kept_{keep}"] == "1"]
    classes = [row["class"] for row in ledger if row["kept"] == "1"]
    sizes = np.bincount(digits(300)[1])
    assert all(abs(classes.count(str(label)) - 0.2 * size) <= 1 for label, size in enumerate(sizes))
    near = [row for row in ledger if row["kept"] == "0"]
    assert all(row["kept_neighbour"] in kept["0.2"] and -1 <= float(row["cosine"]) <= 1 for row in near)


def test_the_same_input_gives_the_same_bytes_from_a_cold_cache_and_from_a_warm_one(command, photos, tmp_path):
    base = ("prune", photos, "--keep", "0.5", "--backbone", "digits-untrained")
    folders = [tmp_path / name for name in ("one", "two", "again")]
    for folder, workers, cache in zip(folders, (1, 2, 2), ("a", "b", "b"), strict=True):
        command(*base, "--out", folder, "--workers", workers, "--cache", tmp_path / cache, "-q")
    first, *others = [content(folder) for folder in folders]
    assert {"kept.csv", "ledger.csv", "manifest.json", "files.csv", "report.html"} <= set(first)
    for other in others:
        assert other == first


def test_pictures_that_cannot_be_read_are_in_the_ledger_with_a_reason_and_the_input_stays_as_it_was(
    command, photos, tmp_path
):
    before = content(photos)
    out, links = tmp_path / "kept", tmp_path / "links"
    options = (
        "--keep",
        "0.5",
        "--backbone",
        "digits-untrained",
        "--drop-duplicates",
        "0.9999",
        "--symlink-to",
        links,
        "--no-prove",
    )
    said = command("prune", photos, "--out", out, *options)
    assert content(photos) == before
    assert "3 samples were skipped" in said.stderr
    ledger = {row["id"]: row for row in rows(out / "ledger.csv")}
    broken = {"digit 1/empty.jpg", "digit 1/cut.png", "digit 2/text.jpg"}
    assert {name for name, row in ledger.items() if row["reason"].startswith("unreadable: ")} == broken
    copies = {row["id"]: row["copy_of"] for row in ledger.values() if row["reason"] == "duplicate"}
    assert copies == {"digit 0/copy.png": "digit 0/0.png"}
    kept = [row["id"] for row in rows(out / "kept.csv")]
    assert len(kept) == 21  # half of the 41 pictures that can be read, rounded up
    assert {str(path.relative_to(links)) for path in links.rglob("*.png")} == set(kept)
    told = command("explain", out, "digit 0/copy.png", "digit 1/cut.png").stdout
    assert "near-duplicate" in told
    assert "'digit 0/0.png'" in told
    command("prune", photos, "--out", tmp_path / "none", *options[:4], "--strict", code=4)
    assert not (tmp_path / "none").exists()


def test_the_files_of_a_pruning_are_copied_to_a_new_folder_later(command, photos, tmp_path):
    out, copies = tmp_path / "kept", tmp_path / "copies"
    command("prune", photos, "--out", out, "--keep", "5", "--backbone", "digits-untrained", "-q", "--no-prove")
    command("export", out, "--copy-to", copies)
    kept = [row["id"] for row in rows(out / "kept.csv")]
    assert {name: data for name, data in content(photos).items() if name in kept} == content(copies)
    command("export", out, "--copy-to", copies, code=2)  # not empty any more


@pytest.mark.parametrize("name", ["kept", "kept/", "./backbone"])
def test_a_pruning_is_exported_whatever_its_folder_is_called(command, sandbox, features, name):
    command("prune", features, "--out", name, "--keep", "5", "--no-prove", "-q")
    command("export", name, "--out", "ids", "--format", "txt")
    command("export", "kept", name, "--out", "same", "--format", "txt")
    assert content(sandbox.folder / "ids") == content(sandbox.folder / "same")
    assert len((sandbox.folder / "ids" / "kept-5.txt").read_text(encoding="utf-8").splitlines()) == 5


@pytest.mark.skipif(sys.platform == "win32", reason="links that anybody may make")
def test_a_link_to_a_folder_is_written_through_and_stays_a_link(command, features, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "kept").symlink_to("far")
    for seed in (0, 1):
        command("prune", features, "--out", tmp_path / "kept", "--seed", seed, "--no-prove", "-q")
        assert (tmp_path / "kept").is_symlink()
        assert json.loads((tmp_path / "far" / "manifest.json").read_text())["method"]["seed"] == seed
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_nothing_is_placed_in_the_folder_that_was_pruned(command, photos, tmp_path):
    base = ("prune", photos, "--keep", "0.5", "--backbone", "digits-untrained", "--no-prove", "-q", "--out")
    for option in ("--copy-to", "--symlink-to"):
        said = command(*base, tmp_path / "kept", option, photos / "new" / "part", code=2)
        assert "a part of the data the next time" in said.stderr
    assert not (tmp_path / "kept").exists()
    command(*base, tmp_path / "kept")
    said = command("export", tmp_path / "kept", "--link-to", photos / "part", code=2)
    assert "a part of the data the next time" in said.stderr
    assert not (photos / "part").exists()
    command("export", tmp_path / "kept", "--link-to", tmp_path / "photos part")


@pytest.mark.parametrize(
    "option", ["--out", "--copy-to", "--labels", "--protect", "--weights", "--reference", "--cache"]
)
def test_a_path_that_is_too_long_is_one_sentence(sandbox, features, tmp_path, option):
    out = () if option == "--out" else ("--out", str(tmp_path / "kept"))
    said = sandbox.call("prune", str(features), *out, option, str(tmp_path / ("a" * 300)), "--no-prove", "-q")
    assert said.returncode in (2, 4, 5)
    assert said.stderr.startswith("error: ")
    assert "hint: " in said.stderr
    assert not (tmp_path / "kept").exists()


def test_a_network_of_the_registry_has_its_weights_from_a_data_root(command, sandbox, photos, tmp_path):
    (tmp_path / "root" / "weights").mkdir(parents=True)
    path = tmp_path / "root" / "weights" / "mine.safetensors"
    save_file(timm.create_model("test_resnet", pretrained=False).state_dict(), path)
    base = ("prune", photos, "--keep", "0.5", "--no-prove", "-q", "--out")
    for digest in (hashlib.sha256(path.read_bytes()).hexdigest(), "0" * 64):
        weights = f'{{ file = "mine.safetensors", sha256 = "{digest}" }}'
        sandbox.register(f'{NUMPY_DIGITS}\n[backbone.mine]\ntimm = "test_resnet"\nweights = {weights}\n')
        good = digest != "0" * 64
        said = command(*base, tmp_path / "a", "--backbone", "mine", "--data", tmp_path / "root", code=0 if good else 4)
        assert good or "is expected" in said.stderr
        assert (
            "was not found" in command(*base, tmp_path / "c", "--backbone", "mine", "--data", tmp_path, code=4).stderr
        )
    command(*base, tmp_path / "b", "--backbone", "test_resnet", "--weights", path)
    assert (tmp_path / "a" / "ledger.csv").read_bytes() == (tmp_path / "b" / "ledger.csv").read_bytes()


def test_protected_samples_are_kept_and_count(command, features, tmp_path):
    wanted = ["sample 3", "sample 77", "sample 299"]
    protect = tmp_path / "ids.txt"
    protect.write_text("\n".join(wanted), encoding="utf-8-sig")
    command("prune", features, "--out", tmp_path / "kept", "--keep", "5", "--protect", protect, "-q", "--no-prove")
    ledger = rows(tmp_path / "kept" / "ledger.csv")
    assert {row["id"] for row in ledger if row["reason"] == "protected"} == set(wanted)
    assert sum(row["kept"] == "1" for row in ledger) == 5
    said = command("prune", features, "--out", tmp_path / "few", "--keep", "2", "--protect", protect, code=2)
    assert "3 samples are protected" in said.stderr
    protect.write_text("sample 3000\n", encoding="utf-8")
    assert "sample 300" in command("prune", features, "--out", tmp_path / "x", "--protect", protect, code=2).stderr
    protect.write_text("0123456789\n", encoding="utf-8")
    said = command("prune", features, "--out", tmp_path / "x", "--protect", protect, code=2)
    assert said.stderr.rstrip().endswith("and 200 more")


def test_without_labels_a_method_that_reads_them_is_refused_and_clusters_are_marked(command, tmp_path):
    path = tmp_path / "plain.npy"
    np.save(path, digits(200)[0])
    said = command("prune", path, "--out", tmp_path / "kept", "--scorer", "moderate", code=2)
    assert "no labels" in said.stderr
    assert "--clusters" in said.stderr
    command("prune", path, "--out", tmp_path / "kept", "--scorer", "moderate", "--clusters", "4", "-q", "--no-prove")
    manifest = json.loads((tmp_path / "kept" / "manifest.json").read_text(encoding="utf-8"))
    assert any("of the features, not labels" in note for note in manifest["notes"])
    assert {row["class"] for row in rows(tmp_path / "kept" / "ledger.csv")} == {f"cluster {k}" for k in range(4)}
    np.save(path, np.concatenate([digits(200)[0], digits(20)[0]]))
    command("prune", path, "--out", tmp_path / "unique", "--clusters", "4", "--drop-duplicates", "0.9999", "-q")
    ledger = rows(tmp_path / "unique" / "ledger.csv")
    assert [row["copy_of"] for row in ledger if row["reason"] == "duplicate"] == [str(row) for row in range(20)]
    assert all(ledger[200 + row]["class"] == ledger[row]["class"] for row in range(20))
    command("prune", path, "--out", tmp_path / "free", "--scorer", "zcore", "-p", "draws=2000", "-q", "--no-prove")


def test_samples_that_are_in_the_test_set_too_are_told(command, features, tmp_path):
    values, _ = digits(300)
    path = tmp_path / "test.npz"
    np.savez(path, features=values[[5, 9]], ids=np.array(["a", "b"]))
    command("prune", features, "--out", tmp_path / "kept", "--reference", path, "-q", "--no-prove")
    found = {row["id"]: row["reference_copy"] for row in rows(tmp_path / "kept" / "ledger.csv")}
    assert (found["sample 5"], found["sample 9"]) == ("a", "b")
    manifest = json.loads((tmp_path / "kept" / "manifest.json").read_text(encoding="utf-8"))
    assert any("near-duplicates of a sample of test.npz" in note for note in manifest["notes"])
    np.savez(path, features=values[:, :5])
    said = command("prune", features, "--out", tmp_path / "other", "--reference", path, "--no-prove", code=4)
    assert f"have {values.shape[1]} dimensions, and those of test.npz 5" in said.stderr


def test_a_folder_that_holds_anything_else_is_refused_before_anything_is_read(command, features, tmp_path):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("dear", encoding="utf-8")
    said = command("prune", tmp_path / "not-there.npz", "--out", out, code=2)
    assert "no output of prunebench" in said.stderr
    assert content(out) == {"thesis.txt": b"dear"}
    command("prune", features, "--out", tmp_path / "kept", "-q", "--keep", "10", "--no-prove")
    command(
        "prune", features, "--out", tmp_path / "kept", "-q", "--keep", "20", "--no-prove"
    )  # its own output is replaced
    assert len(rows(tmp_path / "kept" / "kept.csv")) == 20
    assert sorted({path.name for path in tmp_path.iterdir()} - {"cache"}) == ["features.npz", "kept", "mine"]


def test_two_selections_are_compared_with_what_chance_would_share(command, features, tmp_path):
    for name, scorer in (("a", "random"), ("b", "moderate")):
        command("prune", features, "--out", tmp_path / name, "--keep", "0.5", "--scorer", scorer, "-q", "--no-prove")
    found = json.loads(command("diff", tmp_path / "a", tmp_path / "b", "--json").stdout)
    assert (found["kept_a"], found["kept_b"], found["chance"]) == (150, 150, 75.0)
    assert found["shared"] == 150 - len(found["only_a"]) == 150 - len(found["only_b"])
    assert found["settings"]["method.scorer.name"] == ["random", "moderate"]
    same = json.loads(command("diff", tmp_path / "a", tmp_path / "a", "--json").stdout)
    assert (same["overlap"], same["only_a"], same["settings"]) == (1.0, [], {})


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--scorer", "moderat"), "moderate"),
        (("--scorer", "topocore", "-p", "loss=9"), "loss"),
        (("-p", "k"), "NAME=VALUE"),
        (("--keep", "1.5"), "outside (0, 1]"),
        (("--keep", "301"), "more than there is"),
        (("--selector", "nobody"), "nobody"),
        (("--drop-duplicates", "2"), "cosine"),
        (("--scorer", "echo"), "pixels"),
        (("--clusters", "3"), "have labels"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_one_sentence_with_a_hint_and_leaves_nothing_behind(
    command, features, tmp_path, options, word
):
    said = command("prune", features, "--out", tmp_path / "kept", *options, code=2)
    assert word in said.stderr
    assert "hint: " in said.stderr
    assert "Traceback" not in said.stderr
    assert {path.name for path in tmp_path.iterdir()} - {"cache"} == {"features.npz"}


def test_a_method_is_recommended_or_random_is(command, features):
    options = ("--keep", "0.1", "--method", "random", "--method", "herding", "--json")
    found = json.loads(command("try", features, *options).stdout)
    assert {one["method"] for one in found["tried"]} == {"random", "herding"}
    assert found["recommended"] in ("random", "herding")
    means = [one["rows"][0]["kept"]["mean"] for one in found["tried"]]
    assert means == sorted(means, reverse=True)


@pytest.mark.thorough
@pytest.mark.parametrize("name", sorted(load_plugins().entries["scorers"]))
def test_every_method_that_reads_no_pixels_prunes_features_or_says_why_not(name, command, features, tmp_path):
    spec = load_plugins().scorer(name).spec
    # The head of own data is several, each for a fold, and this one method wants a single linear layer.
    code = 2 if "pixels" in spec.needs else 1 if name == "deepfool-last-layer" else 0
    options = ("--projector", "pca", "--keep", "0.2", "--no-prove", "-q")
    said = command("prune", features, "--out", tmp_path / "kept", "--scorer", name, *options, code=code)
    if code:
        assert "hint: " in said.stderr
        assert not (tmp_path / "kept").exists()
    else:
        assert sum(row["kept"] == "1" for row in rows(tmp_path / "kept" / "ledger.csv")) >= 60


def test_any_budget_of_a_pruning_is_exported_as_a_table_and_what_means_nothing_there_is_refused(
    command, features, tmp_path
):
    out = tmp_path / "kept"
    command("prune", features, "--out", out, "--keep", "0.1", "--keep", "0.2", "--no-prove", "-q")
    command("export", out, "--keep", "0.2", "--out", tmp_path / "ids", "--format", "txt")
    names = (tmp_path / "ids" / "kept-0.2.txt").read_text(encoding="utf-8").splitlines()
    assert names == [row["id"] for row in rows(out / "kept-0.2.csv")]
    command("export", out, "--out", tmp_path / "ids", "--format", "npz")
    with np.load(tmp_path / "ids" / "kept-0.1.npz") as found:
        assert int(found["kept"].sum()) == 30
        assert json.loads(str(found["facts"]))["keep"] == "0.1"
    assert "0.3" in command("export", out, "--keep", "0.3", "--out", tmp_path / "ids", code=2).stderr
    assert "--scorer" in command("export", out, "--scorer", "random", "--out", tmp_path / "ids", code=2).stderr
    command("export", out, "--out", tmp_path / "ids", "--copy-to", tmp_path / "files", code=2)
    assert "features" in command("export", out, "--copy-to", tmp_path / "files", code=2).stderr


def test_what_the_cells_of_a_suite_keep_is_exported_with_the_fingerprint_of_the_data(command, tmp_path):
    command("run", "smoke", "--seeds", "1", "--jobs", "1", "-q")
    command("export", "smoke", "--seeds", "1", "--scorer", "moderate", "--out", tmp_path / "cells")
    manifest = json.loads((tmp_path / "cells" / "manifest.json").read_text(encoding="utf-8"))
    (cell,) = [one for one in manifest["cells"] if one["method"] == "moderate"]
    table = rows(tmp_path / "cells" / cell["file"])
    record = json.loads((tmp_path / "results" / "smoke" / "digits" / "moderate.jsonl").read_text(encoding="utf-8"))
    assert sum(row["kept"] == "1" for row in table) == record["n_keep"] == cell["kept"]
    assert manifest["dataset_fingerprint"] == record["dataset_fingerprint"]
    assert len({row["id"] for row in table}) == len(table) == record["n_train"]
    command("export", "smoke", "--out", tmp_path / "more", "--seeds", "2", code=4)  # seed 1 was not computed
    assert not (tmp_path / "more").exists()
    command("export", "exhibit", "smoke")
    (exhibit,) = read_exhibits(tmp_path / "results")
    assert read_folder(tmp_path / "results")[1] == []
    by_id = {row["id"]: row for row in table}
    scores = {name: float(row["score"]) for name, row in by_id.items()}
    (opinion,) = [one for one in exhibit.opinions if one.method == "moderate"]
    assert [by_id[name]["kept"] for name in exhibit.ids[: len(exhibit.x)]] == list(opinion.kept["0.1"])
    assert (sum(opinion.counts), sum(opinion.kept_counts["0.1"])) == (len(table), cell["kept"])
    for number, name in enumerate(exhibit.classes):
        own = sorted((scores[row["id"]] for row in table if row["label"] == name), reverse=True)
        assert [scores[exhibit.ids[tile]] for tile in opinion.best[number]] == own[: len(opinion.best[number])]
        assert [scores[exhibit.ids[tile]] for tile in opinion.worst[number]] == own[::-1][: len(opinion.worst[number])]
    picture = Image.open(io.BytesIO(base64.b64decode(exhibit.sheet.partition(",")[2])))
    assert picture.width == exhibit.columns * exhibit.tile[0]
    command("leaderboard")
    assert exhibit.sheet in (tmp_path / "results" / "board" / "index.html").read_text(encoding="utf-8")


def test_a_folder_that_grew_says_how_the_selection_moved(command, photos, tmp_path):
    out, base = tmp_path / "kept", ("prune", photos, "--keep", "10", "--backbone", "digits-untrained", "--no-prove")
    command(*base, "--out", out, "-q")
    kept = {row["id"] for row in rows(out / "kept.csv")}
    Image.fromarray(np.full((30, 50), 90, dtype=np.uint8)).save(photos / "digit 3" / "new.png")
    gone = photos / sorted(kept)[0]
    gone.rename(gone.with_name("renamed.png"))
    said = command(*base, "--out", out, "-q").stderr
    assert "2 samples are new, 1 are gone" in said
    now = {row["id"] for row in rows(out / "kept.csv")}
    assert f"{len(kept & now)} stay and {len(kept - now)} leave, and {len(now - kept)} come in" in said


def test_a_head_that_is_no_better_than_chance_is_told_to_who_reads_predictions(command, tmp_path):
    values, labels = digits(300)
    for name, given in (("right", labels), ("shuffled", np.random.default_rng(0).permutation(labels))):
        np.savez(tmp_path / f"{name}.npz", features=values, labels=given)
    options = ("--scorer", "margin", "--no-prove", "-q")
    told = command("prune", tmp_path / "right.npz", "--out", tmp_path / "a", *options).stderr
    assert "none of which it saw" in told
    assert (
        "near chance: right on" in command("prune", tmp_path / "shuffled.npz", "--out", tmp_path / "b", *options).stderr
    )


def test_a_second_backbone_tells_how_far_the_choice_depends_on_the_first(command, photos, tmp_path):
    both = ("--backbone", "digits-untrained", "--backbone", "fashion-untrained", "--keep", "0.5", "--no-prove", "-q")
    said = " ".join(command("prune", photos, "--out", tmp_path / "both", *both).stderr.split())
    manifest = json.loads((tmp_path / "both" / "manifest.json").read_text(encoding="utf-8"))
    found = manifest["backbones"]["fashion-untrained"]
    assert manifest["other_networks"]["fashion-untrained"]["model"] == "deepcore_lenet"
    kept = []
    for name in both[1:4:2]:
        command("prune", photos, "--out", tmp_path / name, "--backbone", name, *both[4:])
        kept.append({row["id"] for row in rows(tmp_path / name / "kept.csv")})
    assert kept[0] == {row["id"] for row in rows(tmp_path / "both" / "kept.csv")}
    assert found["overlap"] == pytest.approx(len(kept[0] & kept[1]) / 21, abs=1e-5)
    assert f"With the backbone fashion-untrained, {found['overlap']:.0%} of the 21 kept samples" in said
    assert f"chance would share {found['chance']:.0%}" in said
    assert "another backbone, fashion-untrained" in (tmp_path / "both" / "report.html").read_text(encoding="utf-8")
    command("prune", photos, "--out", tmp_path / "no", *both[:2] * 2, code=2)
    command("try", photos, *both[:4], code=2)


def test_a_method_under_trial_is_stopped_when_its_progress_tells_how_long_it_takes(tmp_path, monkeypatch):
    from prunebench.pruning import scoring
    from prunebench.pruning.evidence import Evidence
    from prunebench.settings import Settings
    from prunebench.stages.bench import make_bench

    for name, value in (("LARGE", 400), ("TRIAL", 100), ("TRIAL_SECONDS", 0.02)):
        monkeypatch.setattr(scoring, name, value)
    values, labels = digits(600)
    evidence = Evidence(features=values, labels=labels, class_names=tuple("0123456789"))
    bench = make_bench(Settings(str(tmp_path)), load_plugins())
    slow = scoring.Method(scorer="zcore", params={"draws": 300_000})
    assert scoring.expected_seconds(bench, evidence, slow, 60) > 0.1
    assert not list((tmp_path / "scores").rglob("meta.json"))
    assert scoring.expected_seconds(bench, evidence, scoring.Method(scorer="moderate"), 60) > 0
    assert scoring.expected_seconds(bench, evidence.take(np.arange(300)), slow, 60) is None


def test_a_search_that_is_not_exact_tells_its_recall_and_the_second_call_finds_all_in_the_store(
    command, features, tmp_path, monkeypatch
):
    arguments = ("prune", features, "--no-prove", "--keep", "0.2", "--search", "faiss", "--reference", features, "-q")
    said = command(*arguments, "--out", tmp_path / "first")
    manifest = json.loads((tmp_path / "first" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["neighbours"]["search"] == "faiss"
    recalls = manifest["neighbours"]["recall"]
    assert {"near-duplicates", "neighbours", "copies in the reference"} <= set(recalls)
    assert all(0.5 < share <= 1 for share in recalls.values())
    assert f"{recalls['neighbours']:.1%} of the neighbours" in said.stderr

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it was searched again")

    for name in ("near_duplicates", "nearest", "nearest_kept", "leaks"):
        monkeypatch.setattr(f"prunebench.pruning.likeness.{name}", refuse)
    command(*arguments, "--out", tmp_path / "second")
    assert content(tmp_path / "first") == content(tmp_path / "second")


def test_a_library_that_is_not_installed_is_named_with_the_command_that_installs_it(
    command, features, tmp_path, monkeypatch
):
    monkeypatch.setattr("prunebench.pruning.search.find_spec", lambda name: None)
    said = command("prune", features, "--search", "faiss", "--out", tmp_path / "out", code=2)
    assert "pip install 'prunebench[faiss]'" in said.stderr
    assert "error: no search is named 'fiass'" in command(
        "prune", features, "--search", "fiass", "--out", tmp_path / "out", code=2
    ).stderr  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_a_registry_in_the_folder_that_says_nothing_of_own_data_leaves_the_defaults_as_they_are(
    command: Command, features: Path, sandbox: Sandbox
) -> None:
    usual = command("prune", features, "--keep", "0.1", "--out", "usual", "--no-prove", "-q")
    sandbox.register(NUMPY_DIGITS)
    command("prune", features, "--keep", "0.1", "--out", "here", "--no-prove", "-q")
    kept = [(sandbox.folder / out / "kept.csv").read_text(encoding="utf-8") for out in ("usual", "here")]
    assert usual.returncode == 0
    assert kept[0] == kept[1]
    sandbox.register(NUMPY_DIGITS + '\n[own-data]\nscorer = "random"\n')
    command("prune", features, "--keep", "0.1", "--out", "random", "--no-prove", "-q")
    manifest = json.loads((sandbox.folder / "random" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["method"]["scorer"]["name"] == "random"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--executor", "nope"], "features.npz has features, and an executor embeds pictures"),
        (["--backbone", "resnet18"], "features.npz has features, and a backbone is for pictures"),
        (["--device", "cuda:77"], "device 'cuda:77' was asked for"),
        (["--device", "gpu"], "device 'gpu' was asked for"),
    ],
)
def test_what_was_asked_for_and_cannot_be_used_is_refused_and_not_passed_over(
    options: list[str], message: str, command: Command, features: Path
) -> None:
    assert message in command("prune", features, "--keep", "0.1", "--out", "kept", *options, code=2).stderr


@pytest.mark.parametrize("option", ["--copy-to", "--symlink-to"])
def test_what_has_no_files_is_not_asked_to_copy_them_after_all_the_work(option, command, features, tmp_path):
    said = command("prune", features, "--out", tmp_path / "kept", option, tmp_path / "files", code=2).stderr
    assert "holds no files of pictures" in said
    assert not (tmp_path / "kept").exists()


def test_the_output_does_not_lie_in_the_data_of_which_it_would_be_a_part(command, photos):
    assert "would be a part of the data" in command("prune", photos, "--out", photos / "kept", code=2).stderr
    assert not (photos / "kept").exists()


def test_another_class_and_other_content_are_said_where_a_selection_moved(command, tmp_path):
    values, labels = digits(200)
    path, out = tmp_path / "features.npz", tmp_path / "kept"
    base = ("prune", path, "--keep", "20", "--no-prove", "--out", out, "-q")
    np.savez(path, features=values, labels=labels)
    command(*base)
    labels[:3] = (labels[:3] + 1) % 10
    np.savez(path, features=values, labels=labels)
    assert "0 samples are new, 0 are gone, 3 have another class; of" in command(*base).stderr
    values[7] = values[70]
    np.savez(path, features=values, labels=labels)
    assert "0 samples are new, 0 are gone, some have other content; of" in command(*base).stderr
    assert "0 are gone; of what was kept 20 stay and 0 leave" in command(*base).stderr


def test_a_place_that_may_not_be_written_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda place, mode: Path(place) != tmp_path)
    with pytest.raises(DataError, match="kept cannot be written: permission denied"):
        check_replaceable(tmp_path / "new" / "kept")
