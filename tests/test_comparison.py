"""Published tables beside our records: what was transcribed, what may be compared, and what is a hole."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from boards import SUITE, registry_with, seeds_of, write_results
from prunebench.board import check_board, make_board, update_board
from prunebench.board.comparison import BlockView, LineView, TableView, compare
from prunebench.board.published import FILE, Published, PublishedTable, load_published
from prunebench.errors import DataError
from prunebench.plugins import load_plugins
from prunebench.records import Record
from prunebench.registry import Registry, load_registry
from prunebench.stats.unpaired import Sample, difference, samples
from prunebench.validation.lines import BOARD_FILES

ROOT = Path(__file__).parent.parent
TABLE_1, TABLE_I = "TopoCore, Table 1: CIFAR-10", "ECHO, Table I: CIFAR-10"
H100 = {  # 90 % pruned, ResNet-18, 200 epochs, last epoch, by seed
    "random": (0.7387, 0.7255, 0.7086),
    "random-after-filter": (0.7231, 0.7169, 0.7423),
    "moderate": (0.7390, 0.7405, 0.7438),
    "d2": (0.6327, 0.5705),
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(ROOT / "registry.toml")


@pytest.fixture(scope="module")
def published(registry: Registry) -> Published:
    found = load_published(registry)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def h100(registry: Registry) -> list[Record]:
    return [one for method, values in H100.items() for one in trained(registry, method, values)]


def trained(registry: Registry, method: str, values: tuple[float, ...], **changes: Any) -> list[Record]:
    """Return records as cifar10-table1 writes them."""
    (backbone,) = registry.suites["cifar10-table1"].backbones
    facts = {
        "suite": "cifar10-table1", "dataset": "cifar10", "train_arch": "resnet18",
        "recipe": "deepcore-200", "keep": "0.1", "n_keep": 5000, "n_train": 50000,
        "dataset_fingerprint": registry.datasets["cifar10"].fingerprint,
        "epochs": 200, "batch_size_used": 256, "role": "baseline" if method == "random" else "method",
        "score_backbone": "-" if method in ("random", "full") else backbone,
    }  # fmt: skip
    return seeds_of(method, values, **{**facts, **changes})


def table_of(published: Published, title: str) -> PublishedTable:
    (found,) = [one for one in published.table if one.title == title]
    return found


def compared(records: list[Record], published: Published, registry: Registry) -> list[BlockView]:
    return compare(make_board(records, registry, needs_data={"cifar10"}), published, registry)


def view(blocks: list[BlockView], title: str) -> TableView:
    (found,) = [one for block in blocks for one in block.tables if one.table.title == title]
    return found


def lines(found: TableView, label: str) -> list[LineView]:
    return [line for line in found.lines if line.label == label]


def numbers(table: PublishedTable) -> int:
    return sum(table.number(text).mean is not None for row in table.rows.values() for text in row)


def test_the_tables_have_the_shape_of_their_sources(published: Published) -> None:
    shapes = [(one.recipe, one.dataset, len(one.rows), len(one.pruning_rates), numbers(one)) for one in published.table]
    assert shapes == [
        ("deepcore", "cifar10", 5, 5, 25), ("deepcore", "cifar100", 5, 5, 25), ("deepcore", "cifar10", 19, 7, 133),
        ("dual", "cifar10", 8, 5, 32), ("dual", "cifar100", 8, 5, 32), ("ccs", "cifar10", 5, 5, 16),
        ("ccs", "cifar100", 4, 5, 16), ("tdds", "cifar100", 1, 2, 2), ("esps", "cifar10", 1, 1, 1),
        ("esps", "cifar100", 1, 1, 1), ("topkd", "cifar100", 4, 1, 4),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("title", "row", "rate", "text"),
    [
        (TABLE_1, "Random", "0.9", "76.7±0.9"),
        (TABLE_1, "D2", "0.3", "95.6±0.1"),
        ("TopoCore, Table 1: CIFAR-100", "Random", "0.9", "34.0±1.1"),
        ("TopoCore, Table 1: CIFAR-100", "FDMat", "0.8", "56.1±1.5"),
        (TABLE_I, "Random", "0.9", "74.4±4.9"),
        (TABLE_I, "ELFS", "0.95", "57.2"),
        ("DUAL, figure of its README: CIFAR-10", "Random", "0.9", "83.72±0.05"),
        ("DUAL, figure of its README: CIFAR-10", "Dyn-Unc", "0.9", "<82"),
        ("DUAL, figure of its README: CIFAR-100", "D2", "0.7", "62.95±0.05"),
        ("CCS, figure 5 of its README: CIFAR-10", "Forgetting", "0.9", "34.03"),
        ("TDDS: CIFAR-100", "TDDS", "0.9", "54.51"),
    ],
)
def test_cells_are_those_of_the_papers(published: Published, title: str, row: str, rate: str, text: str) -> None:
    table = table_of(published, title)
    assert table.rows[row][table.pruning_rates.index(rate)] == text


def test_echos_printed_scores_follow_from_its_transcribed_cells(published: Published) -> None:
    """The integrated fidelity score is the mean of accuracy / 95.6 with weights exp(-keep), printed in hundredths."""
    printed = {
        "Random": 0.65, "Herding": 0.58, "k-Center Greedy": 0.62, "Facility Location": 0.66, "Graph Cut": 0.68,
        "CD": 0.55, "Craig": 0.59, "GradMatch": 0.58, "Least Confidence": 0.54, "Entropy": 0.54, "Margin": 0.57,
        "DeepFool": 0.58, "CAL": 0.64, "Forgetting": 0.63, "GraNd": 0.55, "TDDS": 0.57, "Glister": 0.62,
        "ELFS": 0.63, "ECHO": 0.88,
    }  # fmt: skip
    table = table_of(published, TABLE_I)
    weights = np.exp([float(rate) - 1 for rate in table.pruning_rates])
    found = {name: float(np.average([float(text.split("±")[0]) / 95.6 for text in row], weights=weights))
             for name, row in table.rows.items()}  # fmt: skip
    assert found == pytest.approx(printed, abs=0.0051)


def test_what_the_papers_say_of_their_tables_holds_for_the_transcription(published: Published) -> None:
    for dataset, best in (
        ("CIFAR-10", "D2 D2 D2 D2 TopoCore"),
        ("CIFAR-100", "TopoCore TopoCore D2 TopoCore TopoCore"),
    ):
        table = table_of(published, f"TopoCore, Table 1: {dataset}")
        for place, name in enumerate(best.split()):
            assert max(table.rows, key=lambda row: float(table.rows[row][place].split("±")[0])) == name


def test_iterations_follow_from_epochs_and_batches(published: Published) -> None:
    batches = {"deepcore": [256] * 7, "dual": [128, 128, 128, 64, 32]}
    for table in published.table:
        if table.recipe in batches:
            kept = [round(50_000 * (1 - float(rate))) for rate in table.pruning_rates]
            expected = [200 * math.ceil(n / size) for n, size in zip(kept, batches[table.recipe], strict=False)]
            assert list(table.iterations) == expected


def test_rows_are_mapped_to_methods_that_exist(published: Published, registry: Registry) -> None:
    known = {*registry.methods, *load_plugins().entries["scorers"]}
    assert {name for names in published.methods.values() for name in names} <= known
    assert published.methods.keys() <= {row for table in published.table for row in table.rows}
    assert {recipe for one in published.recipe.values() for recipe in one.ours} <= registry.recipes.keys()
    assert {table.dataset for table in published.table} <= registry.datasets.keys()


def test_records_of_the_published_recipe_fill_their_cells(
    published: Published, registry: Registry, h100: list[Record]
) -> None:
    found = view(compared(h100, published, registry), TABLE_1)
    assert (found.n_cells, found.n_compared) == (25, 3)
    (line,) = lines(found, "Random")
    assert (line.ours, line.trained) == ("random", "by deepcore-200")
    ninety = line.cells[-1]
    assert [one.hole for one in line.cells] == ["not run"] * 4 + [""]
    assert ninety.ours is not None
    assert ninety.difference is not None
    assert ninety.ours.mean == pytest.approx(np.mean(H100["random"]))
    assert ninety.iterations is None, "4,000, as published"
    five = np.array([-1.0, -1.0, 0.0, 1.0, 1.0]) * 0.009 + 0.767  # mean 76.7, standard deviation .9
    expected = stats.ttest_ind(H100["random"], five, equal_var=False).confidence_interval()
    assert (ninety.difference.low, ninety.difference.high) == pytest.approx((expected.low, expected.high))
    assert ninety.beyond == (expected.high < 0)
    assert all(one.hole == "not run" for one in lines(found, "TopoCore")[0].cells)
    assert "random-after-filter" not in {one.ours for one in found.lines}


def test_a_figure_that_may_be_misread_widens_the_interval(
    published: Published, registry: Registry, h100: list[Record]
) -> None:
    found = view(compared(h100, published, registry), "DUAL, figure of its README: CIFAR-10")
    (line,) = lines(found, "Random")
    assert line.trained == "by deepcore-200, another recipe"
    assert (found.n_compared, found.n_other) == (0, 2), "random and d2, by another recipe"
    cell_view = line.cells[-1]
    assert cell_view.ours is not None
    assert cell_view.difference is not None
    assert cell_view.difference.half_width == pytest.approx((cell_view.ours.half_width or 0) + 0.0005)
    assert cell_view.iterations == 4000


@pytest.mark.parametrize(
    "changes",
    [{"train_arch": "lenet"}, {"dataset_fingerprint": "0" * 32}, {"keep": "0.15"}, {"dataset": "digits"}],
    ids=["network", "data", "budget", "data set"],
)
def test_only_like_is_compared_with_like(published: Published, registry: Registry, changes: dict[str, str]) -> None:
    found = compared(trained(registry, "random", H100["random"], **changes), published, registry)
    assert all(table.n_compared == 0 for block in found for table in block.tables)
    assert view(found, TABLE_1).others == (["lenet"] if "train_arch" in changes else [])


def test_a_single_seed_has_a_difference_without_an_interval(published: Published, registry: Registry) -> None:
    (line,) = lines(view(compared(trained(registry, "random", (0.74,)), published, registry), TABLE_1), "Random")
    assert line.cells[-1].difference is not None
    assert line.cells[-1].difference.mean == pytest.approx(0.74 - 0.767)
    assert line.cells[-1].difference.low is None
    assert not line.cells[-1].beyond


def test_what_is_said_against_records_is_on_the_page(published: Published, registry: Registry) -> None:
    found = view(compared(trained(registry, "d2", H100["d2"], caveat="of old code"), published, registry), TABLE_1)
    assert "d2: of old code" in found.notes
    assert any(note.startswith("D2: the release sets") for note in found.notes)


def test_the_full_set_stands_beside_the_published_one(published: Published, registry: Registry) -> None:
    records = trained(registry, "full", (0.952, 0.953), role="unpruned", keep="1")
    (line,) = view(compared(records, published, registry), TABLE_I).unpruned
    assert line.cells[0].difference is not None
    assert line.cells[0].difference.mean == pytest.approx(0.9525 - 0.956)


def test_holes_name_the_command_that_fills_them(published: Published, registry: Registry, h100: list[Record]) -> None:
    blocks = compared(h100, published, registry)
    assert view(blocks, TABLE_1).fill.command == "prunebench run cifar10-table1 --data DIR"
    assert view(blocks, TABLE_1).fill.lacking == []
    assert view(blocks, TABLE_I).fill.command == "prunebench run echo-table1 --data DIR"
    ccs = view(blocks, "CCS, figure 5 of its README: CIFAR-10").fill
    assert ccs.command == "prunebench run epochs-vs-iterations --with entropy --with forgetting --data DIR"
    dual = view(blocks, "DUAL, figure of its README: CIFAR-100").fill
    assert (dual.command, dual.remark) == ("", "no suite trains resnet18 on cifar100 by dual-200")
    assert view(blocks, "TDDS: CIFAR-100").fill.remark == "no recipe of the registry repeats this one"


def test_variances_are_spreads_squared_and_bounds_are_no_numbers() -> None:
    facts: dict[str, Any] = {"title": "t", "source": "s", "recipe": "r", "dataset": "d", "network": "n", "runs": 5}
    table = PublishedTable(**facts, pruning_rates=("0",), rows={"a": ("69.06±0.25",)}, plus_minus="variance")
    assert table.number("69.06±0.25").spread == pytest.approx(0.005)
    assert [table.number(text).mean for text in ("<82", "-")] == [None, None]
    assert table.number("<82").shown == "<82"


def test_the_page_is_written_and_checked_with_the_board(tmp_path: Path) -> None:
    registry = registry_with(tmp_path, SUITE)
    catalogue = load_plugins()
    write_results(tmp_path / "results", seeds_of("random", (0.5, 0.6), role="baseline"))
    update_board(tmp_path / "results", registry, catalogue)
    assert not (tmp_path / "results/board/comparison.md").exists(), "no tables lie beside this registry"
    shutil.copy(ROOT / FILE, registry.file.parent / FILE)
    assert check_board(tmp_path / "results", registry, catalogue) == [
        "comparison.html", "comparison.md", "index.html", "leaderboard.md",
    ]  # fmt: skip
    update_board(tmp_path / "results", registry, catalogue)
    assert check_board(tmp_path / "results", registry, catalogue) == []
    assert {path.name for path in (tmp_path / "results/board").iterdir()} == {*BOARD_FILES}, "validate knows them all"
    text = (tmp_path / "results/board/comparison.md").read_text(encoding="utf-8")
    assert "| TopoCore, Table 1: CIFAR-10 | 0 of 25 cells |" in text
    assert "76.7±0.9" in text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"76.7±0.9"]', '"76.7±0.9", "1"]', "row 'Random' has not 5 cells"),
        ('"76.7±0.9"', '"76,7"', "Expected `str` matching regex"),
        ('recipe = "dual"', 'recipe = "duel"', "there is no [recipe.duel]"),
        ("runs = 5", "", "needs `runs`"),
        ("[4000]", "[]", ""),
        ("[table.notes]", '[table.notes]\n"Nobody" = "a"', "'Nobody' is no row"),
    ],
)
def test_a_fault_in_the_file_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    registry = registry_with(tmp_path, SUITE)
    text = (ROOT / FILE).read_text(encoding="utf-8")
    (registry.file.parent / FILE).write_text(text.replace(old, new, 1), encoding="utf-8")
    if not said:
        assert load_published(registry) is not None
        return
    with pytest.raises(DataError, match=r"published\.toml") as caught:
        load_published(registry)
    assert said in caught.value.message


def test_differences_are_welchs() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(0.7, 0.01, 4), generator.normal(0.72, 0.03, 6)
    found = samples({"a": list(a), "b": list(b)})
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    interval = difference(found["a"], found["b"])
    assert (interval.low, interval.high, interval.n) == pytest.approx((expected.low, expected.high, 4))
    alone = difference(found["a"], Sample(0.7, 0.0, 0.0, 0))
    expected = stats.ttest_1samp(a, 0.7).confidence_interval()
    assert (alone.low, alone.high) == pytest.approx((expected.low - 0.7, expected.high - 0.7))
    assert difference(Sample(0.7, 0.0, 0.0, 1), found["b"]).low is None
