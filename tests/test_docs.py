"""Pages of docs/: all are in the index, links lead somewhere, and numbers of the board are those of the board."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import click
import pytest

from prunebench.board import accuracy, correlation
from prunebench.cli import cli
from prunebench.plugins import load_plugins
from prunebench.pruning.evidence import FROM_LABELS
from prunebench.registry import load_registry

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md")])
FASHION = ("lenet", "fashion-efficientnet")
WHICH = (DOCS / "which-method.md").read_text(encoding="utf-8")

OWN_DATA = (DOCS / "own-data.md").read_text(encoding="utf-8")

Rows = list[dict[str, str]]


def slug(title: str) -> str:
    """Return the anchor that a heading has on GitHub."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_of_a_page_lead_to_files_and_headings(page):
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {slug(title) for title in headings}, link


def test_the_index_has_every_page_once():
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[[^]]+\]\(([^)]+)\) \| \S", index, re.MULTILINE)
    pages = {path.name for path in DOCS.glob("*.md")} - {"README.md"} | {"reference/index.md", "registry.schema.json"}
    assert len(listed) == len(set(listed))
    assert {link for link in listed if not link.startswith("..")} == pages


@pytest.mark.parametrize(("file", "columns"), [("accuracy.csv", accuracy.COLUMNS),
                                               ("rank_correlation.csv", correlation.COLUMNS)])  # fmt: skip
def test_the_page_of_columns_has_each_column_of_the_board_once_in_its_order(file, columns):
    section = (DOCS / "columns.md").read_text(encoding="utf-8").split(f"## `{file}`")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    assert [name for cell in cells for name in re.findall("`(.+?)`", cell)] == list(columns)


def test_the_glossary_is_sorted_and_has_one_line_for_each_term():
    rows = re.findall(r"^\| \*\*(.+)\*\* \| (.+) \|$", (DOCS / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    terms = [term.lower() for term, _ in rows]
    assert len(terms) >= 25
    assert terms == sorted(set(terms))


def test_commands_in_the_text_of_pages_are_understood():
    texts = [path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")]
    found = {code for text in texts for code in re.findall(r"`(prunebench [^`\n]+ [^`\n]+)`", text)}
    assert found
    for command in found:
        _, name, *arguments = shlex.split(command)
        verb = cli.get_command(click.Context(cli), name)
        assert verb is not None, command
        if "--help" not in arguments:
            verb.make_context(name, arguments)


# ---------------------------------------------------------------- Which method should I use?


def board(suite: str, keep: str, arch: str = "") -> Rows:
    """Return the rows of a suite at a budget, of one trained network, over all scoring backbones, best first."""
    with (ROOT / "results" / "board" / "accuracy.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["suite"] == suite and arch in ("", row["train_arch"])
                and row["score_backbone"] in ("-", "mean") and row["accuracy_mean"]]  # fmt: skip
    rows = [row for row in rows if float(row["keep"]) == float(keep)]
    return sorted(rows, key=lambda row: -float(row["accuracy_mean"]))


def name(row: dict[str, str]) -> str:
    return f"`{row['method']}`" + (f" + {row['projector']}" if row["projector"] != "-" else "")


def points(value: str) -> str:
    return f"{100 * float(value):.1f}"


def gain(row: dict[str, str]) -> str:
    if not row["gain_mean"]:
        return "-"
    mean, low, high = (f"{100 * float(row[f'gain_{end}']):+.1f}" for end in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def everything(suite: str, *archs: str) -> str:
    found = [row for arch in archs or ("",) for row in board(suite, "1", arch) if row["role"] == "unpruned"]
    return f"Everything: {' and '.join(points(row['accuracy_mean']) for row in found)}."


def cifar_lines() -> list[str]:
    return [f"| {name(row)} | {points(row['accuracy_mean'])} | {gain(row)} | "
            f"{'' if not row['gain_mean'] else 'yes' if row['gain_significant'] == 'true' else 'no'} |"
            for row in board("cifar10-small", "0.1")]  # fmt: skip


def fashion_lines() -> list[str]:
    of_probe = {name(row): row for row in board("fashion", "0.1", FASHION[1])}

    def cells(row: dict[str, str]) -> str:
        bold = "**" if row["gain_significant"] == "true" and float(row["gain_mean"]) > 0 else ""
        return f"{points(row['accuracy_mean'])} | {bold}{gain(row)}{bold}"

    return [f"| {name(row)} | {cells(row)} | {cells(of_probe[name(row)])} |"
            for row in board("fashion", "0.1", FASHION[0])]  # fmt: skip


def zoo_lines() -> list[str]:
    tenth, half = board("zoo", "0.1"), board("zoo", "0.5")
    of_half = {name(row): row for row in half}
    shown = {name(row) for row in (*tenth[:8], *half[:4])} | {"`random`"}
    return [f"| {name(row)} | {points(row['accuracy_mean'])} | {gain(row)} | "
            f"{points(of_half[name(row)]['accuracy_mean'])} | {gain(of_half[name(row)])} |"
            for row in tenth if name(row) in shown]  # fmt: skip


def zoo_worse() -> str:
    worse = [f"{name(row)} at {100 * float(keep):.0f} %" for keep in ("0.1", "0.5") for row in board("zoo", keep)
             if row["gain_significant"] == "true"]  # fmt: skip
    return f"significantly worse: {', '.join(worse)}."


def table_after(heading: str) -> list[str]:
    return re.findall(r"^\| .*\|$", WHICH.split(f"## {heading}\n")[1].split("\n## ")[0], re.MULTILINE)[1:]


def test_numbers_of_which_method_are_those_of_the_board():
    assert table_after("CIFAR-10, a tenth kept") == cifar_lines()
    assert table_after("Fashion-MNIST, a tenth kept") == fashion_lines()
    assert table_after("Digits, many methods") == zoo_lines()
    text = " ".join(WHICH.split())
    assert everything("cifar10-small") in text
    assert everything("zoo") in text
    assert everything("fashion", *FASHION) in text
    assert zoo_worse() in text


def better(rows: Rows) -> Rows:
    return [row for row in rows if row["gain_significant"] == "true" and float(row["gain_mean"]) > 0]


def test_what_which_method_says_of_the_board_is_so():
    cifar, tenth, half = board("cifar10-small", "0.1"), board("zoo", "0.1"), board("zoo", "0.5")
    lenet, probe = (board("fashion", "0.1", arch) for arch in FASHION)
    for rows in (cifar, tenth, half, lenet):
        assert not better(rows)
    assert len(better(probe)) == 4
    assert all(float(row["gain_mean"]) < 0.01 for row in better(probe))
    assert {row["method"] for row in lenet[:3]} <= {row["method"] for row in probe[:3]}
    ranks = {row["method"]: int(row["rank"]) for row in cifar}
    assert cifar[0]["method"] == "ccs-aum"
    assert {method for method, rank in ranks.items() if rank > 1} == {"d2"}
    best = [row["method"] for row in tenth]
    assert best[0] == "log-det"
    assert {"facility-location", "facility-location-embeddings", "log-det-embeddings"} < set(best[:8])
    fresh = better(board("ablation-density", "0.1", "imagenet-efficientnet-lite0"))
    assert len(fresh) == 4
    assert all(0.009 < float(row["gain_mean"]) < 0.015 for row in fresh)
    assert not better(board("transfer", "0.1", "lenet"))
    for rows in (cifar, lenet, probe):  # what docs/stable-topocore.md says of Stable TopoCore, its control and TopoCore
        assert (
            len({row["rank"] for row in rows if row["method"] in ("stable-topocore", "whitened-density", "topocore")})
            == 1
        )
    means = {row["method"]: float(row["accuracy_mean"]) for row in tenth}
    assert all(means[hard] < means["random"] for hard in ("el2n", "entropy", "margin", "least-confidence", "aum"))
    near = [abs(float(row["gain_mean"])) < 0.02 for row in half if row["gain_mean"]]
    assert sum(near) > len(near) / 2
    for suite, arch, rows in (("cifar10-small", "", cifar), ("zoo", "", tenth), ("fashion", FASHION[0], lenet),
                              ("fashion", FASHION[1], probe)):  # fmt: skip
        (full,) = [float(row["accuracy_mean"]) for row in board(suite, "1", arch) if row["role"] == "unpruned"]
        assert float(rows[0]["accuracy_mean"]) < full


def test_what_which_method_says_of_methods_is_so():
    scorers, registry = load_plugins().entries["scorers"], load_registry()
    usual = scorers[registry.own_data.scorer].spec
    assert f"`{registry.own_data.scorer}`" in WHICH
    assert usual.needs == {"features", "labels"}
    assert usual.greedy
    named = set(re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)*)`", WHICH)) - {"zoo", "ablation-density"}
    assert named <= {*scorers, *registry.methods, "suspected_class"}
    (row,) = re.findall(r"^\| no labels \| (.*) read none", WHICH, re.MULTILINE)
    assert set(re.findall("`(.+?)`", row)) == {
        name for name, entry in scorers.items() if "features" in entry.spec.needs and not entry.spec.needs & FROM_LABELS
    }


@pytest.mark.parametrize("verb", ["prune", "try"])
def test_every_option_is_on_the_page(verb):
    context = click.Context(cli)
    command = cli.get_command(context, verb)
    assert command is not None
    flags = [max(option.opts, key=len) for option in command.params if isinstance(option, click.Option)]
    missing = [flag for flag in flags if flag not in OWN_DATA]
    assert missing in ([], ["--param", "--quiet"], ["--quiet"])  # those two stand there by their short names
    assert all(f"`{short}" in OWN_DATA for short in ("-p NAME=VALUE", "-q"))
