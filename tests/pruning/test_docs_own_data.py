"""The page "Prune your own data" says what is so: its commands are run as they stand, in the order of the page."""

from __future__ import annotations

import csv
import json
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from conftest import Sandbox
from prunebench.pictures.decoding import NOTES
from prunebench.pruning.folders import REASONS
from prunebench.pruning.ledger import COLUMNS
from prunebench.pruning.verdict import MARGIN
from prunebench.registry import load_registry
from prunebench.stages import STAGES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "own-data.md").read_text(encoding="utf-8")
CACHE = (Path(__file__).resolve().parents[2] / "docs" / "cache.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for language, block in BLOCKS if language == "sh" for line in block.splitlines()]
pytestmark = pytest.mark.thorough  # one run of the whole page serves all: it takes a minute
PHOTOS, CLASSES = 13, ("cat", "dog", "fox", "owl")
FEATURES = 120


@dataclass(frozen=True)
class Ran:
    """The folder in which the blocks of the page were run, what each command said, and the names that Python has."""

    folder: Path
    said: dict[str, subprocess.CompletedProcess[str]]
    names: dict[str, Any]

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.folder / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def ids(self, name: str) -> list[str]:
        return [row["id"] for row in self.rows(name)]

    def manifest(self, name: str) -> dict:
        return json.loads((self.folder / name / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("page")
    write_photos(folder)
    write_features(folder)
    write_hub(folder)
    sandbox, said, names = Sandbox(folder), {}, {}
    with pytest.MonkeyPatch.context() as patch:
        from huggingface_hub import constants

        patch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        for language, block in BLOCKS:
            if language == "python":
                with sandbox.entered():
                    exec(block, names)
                continue
            for command in block.splitlines():
                name, *arguments = shlex.split(command)
                assert name == "prunebench"
                said[command] = sandbox.call(*arguments)
                assert said[command].returncode == 0, f"{command}\n{said[command].stderr}"
    return Ran(folder, said, names)


def write_photos(folder: Path) -> None:
    """Write three folders: photos/ holds a copy of its first photo and a file that is cut short, grown/ has four more
    photos, and test/ has two photos that are in photos/, too."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:48, :64]
    for label, name in enumerate(CLASSES):
        for root in ("photos", "grown", "test"):
            (folder / root / name).mkdir(parents=True)
        colour = 60 + 120 * np.array([label % 2, label // 2, label == 3])
        for number in range(PHOTOS + 1):
            steps = generator.uniform(0.05, 0.5, 3)
            waves = np.sin(steps * x[..., None] + generator.uniform(0.05, 0.5, 3) * y[..., None])
            pixels = colour + 50 * waves + generator.normal(0, 25, (48, 64, 3))
            picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            for root in ("photos", "grown") if number < PHOTOS else ("grown",):
                picture.save(folder / root / name / f"{number:02}.jpg")
    first = (folder / "photos" / "cat" / "00.jpg").read_bytes()
    for root in ("photos", "grown"):
        (folder / root / "cat" / "copy.jpg").write_bytes(first)
        (folder / root / "dog" / "cut.jpg").write_bytes(first[:80])
    for name in ("cat", "dog"):
        (folder / "test" / name / "seen.jpg").write_bytes((folder / "photos" / name / "05.jpg").read_bytes())
    for name in ("fox", "owl"):
        (folder / "test" / name).rmdir()


def write_features(folder: Path) -> None:
    digits = load_digits()
    values, labels = digits.data[:FEATURES].astype(np.float32), digits.target[:FEATURES].astype(np.int64)
    ids = np.array([f"digit-{row:03}" for row in range(FEATURES)])
    np.savez(folder / "features.npz", features=values, labels=labels, ids=ids)
    np.save(folder / "embeddings.npy", values)
    rows = "".join(f"{row},{label}\n" for row, label in zip(ids, labels, strict=True))
    (folder / "labels.csv").write_text(f"id,label\n{rows}", encoding="utf-8")
    (folder / "ids.txt").write_text("digit-007\ndigit-077\n", encoding="utf-8")


def write_hub(folder: Path) -> None:
    """Write random weights of the usual backbone, as the client of the hub keeps what it fetched, and as a file.

    Statistics of the layers are those of some photos, so that features are not all alike."""
    import timm
    import torch
    from safetensors.torch import save_file

    registry = load_registry()
    model_name = registry.networks[registry.own_data.backbone].arch.model
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = timm.create_model(model_name, pretrained=False).train()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        paths = sorted((folder / "photos").glob("*/0[1-4].jpg"))
        pictures = [np.asarray(Image.open(path).resize((96, 96))) for path in paths]
        model(torch.tensor(np.stack(pictures)).permute(0, 3, 1, 2) / 127.5 - 1)
        model.bn2.bias.fill_(-1.0)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, folder / "weights.safetensors")
    home = folder / "hub" / f"models--{timm.get_pretrained_cfg(model_name).hf_hub_id.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40, encoding="utf-8")
    (home / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(state, home / "snapshots" / ("0" * 40) / "model.safetensors")


def test_the_first_three_commands_lead_from_photos_to_links_to_the_kept_ones(ran):
    tried, pruned, exported = (ran.said[command] for command in COMMANDS[:3])
    assert re.search("^recommended: (random|[a-z-]+): ", tried.stdout, re.MULTILINE)
    assert "keep 0.1: 5 of 53 samples" in pruned.stderr
    kept = ran.ids("kept/kept.csv")
    assert len(kept) == 5
    links = [path for path in (ran.folder / "photos10").rglob("*") if path.is_symlink()]
    assert sorted(path.relative_to(ran.folder / "photos10").as_posix() for path in links) == sorted(kept)
    assert all(path.resolve() == ran.folder / "photos" / name for path, name in
               ((ran.folder / "photos10" / name, name) for name in kept))  # fmt: skip
    assert json.loads(exported.stdout)["files"] == 5
    copied = {path.relative_to(ran.folder / "photos-copied").as_posix() for path in
              (ran.folder / "photos-copied").rglob("*.jpg")}  # fmt: skip
    assert copied == set(kept)


def test_weights_of_a_file_keep_what_the_same_ones_of_the_hub_keep(ran):
    assert ran.ids("kept-offline/kept.csv") == ran.ids("kept/kept.csv")
    assert ran.manifest("kept")["network"]["parameters"] == ran.manifest("kept-offline")["network"]["parameters"]


def test_the_files_of_a_pruning_are_those_of_the_table(ran):
    listed = re.findall(r"^\| `([a-z.]+)` \|", PAGE.split("## What is written")[1].split("###")[0], re.MULTILINE)
    assert set(listed) >= {"kept.csv", "ledger.csv", "files.csv", "manifest.json"}
    assert {path.name for path in (ran.folder / "kept").iterdir()} == set(listed)
    assert list(ran.rows("kept/kept.csv")[0]) == ["id", "class", "score", "rank"]
    assert list(ran.rows("kept/files.csv")[0]) == ["id", "path"]


def test_columns_and_reasons_of_the_page_are_those_of_the_code(ran):
    section = PAGE.split("### The ledger")[1].split("### Reasons")[0]
    assert dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE)) == dict(COLUMNS)
    section = PAGE.split("### Picture notes")[1].split("## ")[0]
    assert dict(re.findall(r"^\| `([a-z0-9-]+)` \| (.*) \|$", section, re.MULTILINE)) == NOTES
    section = PAGE.split("### Reasons")[1].split("## ")[0]
    told = dict(re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", section, re.MULTILINE))
    assert told == dict(REASONS)
    for path in ran.folder.glob("*/ledger.csv"):
        rows = ran.rows(f"{path.parent.name}/ledger.csv")
        assert {name for name in rows[0] if not name.startswith("kept_0") and name != "kept_50%"} <= set(COLUMNS)
        assert all(row["reason"] in REASONS or row["reason"].startswith("unreadable: ") for row in rows)


def test_every_sample_of_the_input_is_in_the_ledger_and_what_was_cut_short_says_so(ran):
    ledger = {row["id"]: row for row in ran.rows("kept/ledger.csv")}
    there = {path.relative_to(ran.folder / "photos").as_posix() for path in (ran.folder / "photos").rglob("*.jpg")}
    assert set(ledger) == there
    assert ledger["dog/cut.jpg"]["reason"].startswith("unreadable: ")
    assert {name for name, row in ledger.items() if row["kept"] == "1"} == set(ran.ids("kept/kept.csv"))


def test_features_are_read_with_ids_and_labels_from_the_file_or_from_csv(ran):
    assert ran.ids("from-features/kept.csv") == ran.ids("from-embeddings/kept.csv")
    assert len(ran.ids("from-features/kept.csv")) == FEATURES // 5
    assert {row["class"] for row in ran.rows("from-features/ledger.csv")} == set("0123456789")


def test_the_method_and_its_options_are_in_the_manifest(ran):
    dense, topo = ran.manifest("dense"), ran.manifest("topo")
    assert (dense["method"]["scorer"]["name"], dense["choice"]["balance"]) == ("whitened-density", "none")
    assert (topo["method"]["scorer"]["name"], topo["method"]["projector"]["name"]) == ("topocore-density", "pca")
    names = ran.said["prunebench list scorers"].stdout
    assert all(name in names for name in ("whitened-density", "topocore-density", "random"))


def test_budgets_are_inside_each_other(ran):
    tenth, fifth, half = (set(ran.ids(f"budgets/kept-{name}.csv")) for name in ("0.1", "0.2", "50pct"))
    assert tenth < fifth < half
    assert (len(tenth), len(fifth), len(half)) == (FEATURES // 10, FEATURES // 5, FEATURES // 2)
    assert ran.manifest("budgets")["choice"]["nested"] is True


def test_protected_ids_are_kept(ran):
    kept = ran.ids("protected/kept.csv")
    assert {"digit-007", "digit-077"} < set(kept)
    assert len(kept) == FEATURES // 10


def test_the_copy_goes_and_the_sample_that_stays_is_named(ran):
    copies = {row["id"]: row["copy_of"] for row in ran.rows("unique/ledger.csv") if row["reason"] == "duplicate"}
    assert copies["cat/copy.jpg"] == "cat/00.jpg"
    assert not set(copies) & set(ran.ids("unique/kept.csv"))


def test_pseudo_classes_are_called_clusters(ran):
    assert len(ran.ids("unlabelled/kept.csv")) == FEATURES // 5
    assert {row["class"] for row in ran.rows("unlabelled/ledger.csv")} == {""}
    assert {row["class"] for row in ran.rows("clustered/ledger.csv")} == {f"cluster {number}" for number in range(5)}


def test_photos_that_are_in_the_test_set_are_named(ran):
    leaks = {row["id"]: row["reference_copy"] for row in ran.rows("checked/ledger.csv") if row["reference_copy"]}
    assert leaks["cat/05.jpg"] == "cat/seen.jpg"
    assert leaks["dog/05.jpg"] == "dog/seen.jpg"


def test_a_proof_has_the_design_and_the_words_of_the_page(ran):
    proof = ran.manifest("proven")["proof"]
    assert [row["keep"] for row in proof["rows"]] == ["0.2", "0.5"]
    assert (proof["design"], proof["folds"], proof["margin"]) == ("repeated", 5, MARGIN)
    assert "one point of accuracy" in PAGE
    assert 100 * MARGIN == 1
    stability = ran.manifest("proven")["stability"]
    assert stability["selections"] == 1 + {"four": 4}[re.search(r"again with (\w+) other seeds", PAGE)[1]]
    (said,) = [done for command, done in ran.said.items() if "--out proven/" in command]
    assert said.stderr.count("Keep 0.2: ") + said.stderr.count("Too few samples") >= 1


def test_one_sample_is_explained_and_two_selections_are_compared(ran):
    told = ran.said["prunebench explain kept/ cat/07.jpg"].stdout
    assert told.startswith("'cat/07.jpg' of class 'cat' is ")
    one, two = set(ran.ids("from-features/kept.csv")), set(ran.ids("dense/kept.csv"))
    assert f"shared: {len(one & two)} " in ran.said["prunebench diff from-features/ dense/"].stdout


def test_only_new_photos_of_a_grown_folder_are_embedded_and_the_move_is_told(ran):
    assert len(ran.rows("kept-grown/ledger.csv")) == len(ran.rows("kept/ledger.csv")) + len(CLASSES)
    one, two = set(ran.ids("kept/kept.csv")), set(ran.ids("kept-grown/kept.csv"))
    assert f"shared: {len(one & two)} " in ran.said["prunebench diff kept/ kept-grown/"].stdout
    shards = [json.loads(path.read_text(encoding="utf-8"))["pictures"] for path in
              (ran.folder / "cache" / "pictures").rglob("meta.json")]  # fmt: skip
    embedded = [picture for shard in shards for picture in shard]
    assert len(embedded) == len(set(embedded)) == (PHOTOS + 1) * len(CLASSES)  # each once, in all commands together


def test_data_sets_and_samplers_have_the_kept_photos(ran):
    kept, photos = ran.ids("kept/kept.csv"), ran.names["photos"]
    paths = [Path(photos.samples[index][0]).relative_to("photos").as_posix() for index in ran.names["kept"].indices]
    assert paths == kept
    assert sorted(ran.names["loader"].sampler) == list(ran.names["kept"].indices)
    assert sorted(ran.names["pictures"].ids) == sorted(kept)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ran.folder)
        assert sum(len(labels) for _, labels in ran.names["loader"]) == len(ran.names["pictures"]) == len(kept)
        pixels, label = ran.names["pictures"][0]
    assert pixels.shape == (3, 48, 64)
    assert ran.names["pictures"].classes[label] == ran.names["pictures"].ids[0].split("/")[0]


def test_python_keeps_what_the_command_keeps(ran):
    assert ran.names["ids"] == ran.ids("kept/kept.csv") == ran.ids("kept-python/kept-0.1.csv")
    assert len(ran.names["larger"]) == 11
    assert set(ran.names["ledger"]["id"]) == {row["id"] for row in ran.rows("kept/ledger.csv")}
    data, chosen = ran.names["data"], ran.names["chosen"]
    assert len(chosen) == len(ran.names["X"]) == len(ran.names["y"]) == FEATURES // 5
    assert (data["features"][ran.names["selector"].get_support()] == ran.names["X"]).all()
    assert {"topocore", "zcore"} <= set(ran.names["names"])
    assert not ran.names["report"].problems
    assert set(ran.names["results"]["method"]) >= {"random", "moderate"}


def test_the_page_of_the_cache_has_every_folder_of_it(ran):
    listed = set(re.findall("`([a-z_-]+)`", "".join(re.findall(r"^\| `.*?\|", CACHE, re.MULTILINE))))
    assert {path.name for path in (ran.folder / "cache").iterdir() if path.is_dir()} <= listed
    assert set(STAGES) <= listed


def test_cells_of_a_suite_are_exported_with_ids_and_scores(ran):
    cells = ran.manifest("selections")["cells"]
    assert {cell["method"] for cell in cells} >= {"random", "moderate"}
    for cell in cells:
        rows = ran.rows(f"selections/{cell['file']}")
        assert list(rows[0]) == ["id", "label", "score", "kept"]
        assert sum(row["kept"] == "1" for row in rows) == cell["kept"]
