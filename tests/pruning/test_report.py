"""The page about a pruning: what it says is what the ledger says, whatever names and data are like."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
import shlex
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from outcomes import MANIFEST, Drawings, outcome
from prunebench.pictures import printable, printable_ids
from prunebench.pruning.report import render
from prunebench.pruning.report.facts import command
from prunebench.pruning.report.layout import layout
from prunebench.pruning.source import Skipped
from prunebench.store import Store

VOID = {"meta", "link", "br", "hr", "img", "input", "path", "circle", "line"}
HOSTILE = [
    "<script>alert(1)</script>", "</script><img src=x onerror=alert(1)>", "a\"b'c&amp;d", "line\nbreak\r\ttab",
    "\U0001f600 emoji", "{{ 7 * 7 }}", "]]>--><!--", "\u202egnp.exe", "\u2028", "=cmd()", " ", "x" * 5000,
    "javascript:alert(1)", "url(http://example.org)", "${x}", "%s{0}", "\x00nul", "</style>", "</select><b>",
]  # fmt: skip


class Page(HTMLParser):
    """The elements of a page with their attributes, its texts, and what is not well formed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.problems: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.data = ""
        self.feed(text)
        self.close()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.problems.append(f"{tag} at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.data = self.data or data
        else:
            self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def dots(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.data)
        return found


def page_of(*args: Any, **more: Any) -> Page:
    page = Page(render(*args, **more))
    assert (page.problems, page.open) == ([], [])
    return page


def interval(mean: float) -> dict[str, float | int]:
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01, "n": 5}


def proof() -> dict[str, Any]:
    first = {
        "keep": "0.1", "samples": 6, "kept": interval(0.9), "random": interval(0.8), "everything": interval(0.95),
        "next_keep": "twice", "next": interval(0.93), "over_random": interval(0.1), "over_everything": interval(-0.05),
        "against_random": "better", "against_everything": "worse",
        "worst_class": {"name": "<odd>", "kept": 0.5, "random": 0.4, "everything": 0.6},
    }  # fmt: skip
    return {"verdict": "Better than <random>.", "rows": [first], "samples": 60, "notes": ["a <note>"],
            "without_duplicates": interval(-0.002)}  # fmt: skip


@pytest.fixture(scope="module")
def page() -> Page:
    return page_of(outcome(pictures=Drawings(60)), {**MANIFEST, "proof": proof()})


def test_the_counts_of_the_page_are_those_of_the_ledger() -> None:
    found = outcome(n=90, keep={"0.1": 9, "0.5": 45})
    page = page_of(found, MANIFEST)
    text = " ".join(" ".join(page.texts).split())
    assert "9 of 90 samples are kept" in text
    by_class = found.ledger.groupby("class")[["kept_0.1", "kept_0.5"]].sum()
    for name, (few, many) in zip(by_class.index, by_class.to_numpy().tolist(), strict=True):
        assert re.search(rf"{name} 30 {few} {100 * few / 30:.1f} % {many} {100 * many / 30:.1f} %", text), name
    assert sum(page.dots["kept"]) == 9


def test_pictures_are_in_the_page_with_a_text_and_a_bounded_size(page: Page) -> None:
    images = page.all("img")
    assert len(images) >= 16
    assert all(str(one["src"]).startswith("data:image/jpeg;base64,") and one["alt"] for one in images)
    assert page.dots["places"] == list(range(60))


def test_each_point_of_the_map_has_its_own_tile_of_the_sheet() -> None:
    text = render(outcome(pictures=Drawings(60)), MANIFEST)
    (uri,) = re.findall(r"background-image: url\(data:image/jpeg;base64,([^)]+)\)", text)
    sheet = Image.open(io.BytesIO(base64.b64decode(uri)))
    assert sheet.size == (8 * 48, 8 * 48)
    for row in range(24, 60):  # whose bars are not in this corner
        corner = sheet.getpixel((row % 8 * 48 + 1, row // 8 * 48 + 46))
        expected = Drawings(60).picture(row).getpixel((16, 59))
        assert np.abs(np.subtract(corner, expected)).max() < 24


def test_a_page_of_many_large_noisy_pictures_stays_below_its_bound() -> None:
    noise = Image.effect_noise((112, 112), 90).convert("RGB")

    class Noise(Drawings):
        def picture(self, index: int) -> Image.Image:
            return noise.copy()

    assert len(render(outcome(n=2500, pictures=Noise(2500)), MANIFEST).encode()) < 3_000_000


def test_the_page_loads_nothing(page: Page) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data"):
            value = attributes.get(name) or "#"
            assert value.startswith(("data:", "#")), (tag, name, value)
    ids = [one["id"] for _, one in page.elements if one.get("id")]
    assert len(ids) == len(set(ids))
    assert {str(one["href"])[1:] for one in page.all("a")} <= set(ids)
    text = render(outcome(pictures=Drawings(60)), MANIFEST)
    assert not re.search(r"https?://|@import|url\((?!data:)", text)


def test_the_same_input_gives_the_same_bytes_whatever_the_number_of_threads() -> None:
    found = outcome(pictures=Drawings(60))
    pages = {render(found, {**MANIFEST, "proof": proof()}, workers=workers) for workers in (1, 2, 4)}
    assert len(pages) == 1


def test_thumbnails_that_are_remembered_are_not_decoded_again(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Counted(Drawings):
        seen: list[int] = field(default_factory=list)

        def picture(self, index: int) -> Image.Image:
            self.seen.append(index)
            return super().picture(index)

    pictures = Counted(60, broken=frozenset({9}))
    found, store = outcome(pictures=pictures), Store(tmp_path)
    pages = [render(found, MANIFEST, store=store) for _ in range(2)]
    assert sorted(pictures.seen) == list(range(60))
    assert pages == [render(found, MANIFEST)] * 2
    nothing = outcome(3, 2, pictures=Drawings(3, broken=frozenset(range(3))))
    assert [page_of(nothing, MANIFEST, store=store).all("img") for _ in range(2)] == [[], []]


def test_removed_near_duplicates_are_shown_without_a_rank() -> None:
    page = page_of(outcome(removed=True, pictures=Drawings(60)), {**MANIFEST, "choice": {"drop_duplicates": 0.9}})
    text = " ".join(" ".join(page.texts).split())
    assert "5 samples are in 1 group, joined by cosines of 0.9 or more. Those marked as removed took no part" in text
    assert "id-0.jpg class 0 kept , rank 1 id-1.jpg class 1 removed , copy of id-0.jpg id-2.jpg class 2 removed" in text
    assert page.dots["rank"][:6] == [1, None, None, None, None, 2]
    assert "duplicate 4 6.7 % it is a near-duplicate of a sample that stayed" in text


def test_hostile_names_are_text_everywhere() -> None:
    n = 3 * len(HOSTILE)
    ids = [f"{name}{number}" for number in range(3) for name in HOSTILE]
    skipped = [Skipped(id=name, code=f"code {name[:30]}", reason=f"because {name}") for name in HOSTILE]
    found = outcome(
        n,
        len(HOSTILE),
        ids=ids,
        names=HOSTILE,
        pictures=Drawings(n),
        skipped=skipped,
        notes=[*HOSTILE, "\udcff not utf-8"],
        title=HOSTILE[1],
    )
    manifest = {
        **MANIFEST,
        "data": {"title": HOSTILE[0], "classes": HOSTILE},
        "keep": HOSTILE[:2],
        "versions": {"<b>": "<i>"},
    }
    text = render(found, {**manifest, "proof": {**proof(), "verdict": HOSTILE[0]}}, board_row=HOSTILE[0])
    text.encode()
    page = Page(text)
    assert (page.problems, page.open) == ([], [])
    assert len(page.all("script")) == 2
    assert not [tag for tag, _ in page.elements if tag in ("b", "i")]
    assert not [one for _, one in page.elements if any(name.startswith("on") for name in one)]
    assert not any("http" in str(value) for tag, one in page.elements if tag != "img" for name, value in one.items()
                   if name in ("src", "href", "style"))  # fmt: skip
    assert page.dots["classes"] == [
        f"{'x' * 50}…{'x' * 50}" if name == "x" * 5000 else name for name in sorted(HOSTILE)
    ]
    assert "\\udcff not utf-8" in text
    assert any("{{ 7 * 7 }}" in text for text in page.texts), "a template in a name is not filled in"


@settings(deadline=None, max_examples=15)
@given(name=st.text(st.characters(), min_size=1, max_size=30))
@example(name="\ud800")
def test_any_name_leaves_the_page_well_formed(name: str) -> None:
    ids, names = printable_ids(f"{name}{row}" for row in range(6)), list(map(printable, [name, f"{name}2"]))
    found = outcome(6, 2, ids=ids, names=names, title=printable(name), notes=[name])
    page = page_of(found, MANIFEST)
    assert len(page.all("script")) == 2


def test_features_without_pictures_are_listed_by_their_ids() -> None:
    page = page_of(outcome(), MANIFEST)
    assert page.all("img") == []
    assert "id-0.jpg" in page.texts
    assert page.dots["places"] == []
    assert not [one for one in page.all("div") if one.get("id") == "tile"]


def test_data_without_labels_have_no_table_of_classes_and_no_doubts() -> None:
    page = page_of(outcome(n_classes=0), MANIFEST)
    text = " ".join(page.texts)
    assert "The data have no classes" in text
    assert "These data have no labels to doubt." in text
    assert page.all("select") == []


def test_a_thousand_classes_are_folded() -> None:
    page = page_of(outcome(n=2000, n_classes=1000), MANIFEST)
    assert "There are 1,000 classes. Those of which the smallest and the largest share is kept:" in page.texts
    heads = [one for one in page.all("th") if str(one.get("data-value")).startswith("class ")]
    assert len(heads) == 24 + 1000
    assert len(page.all("details")) == 2


def test_thousands_of_skipped_files_are_counted_by_reason_and_the_first_are_named() -> None:
    skipped = [Skipped(id=f"s{k}", code="truncated" if k % 3 else "empty", reason=f"r{k}") for k in range(5000)]
    page = page_of(outcome(skipped=skipped), MANIFEST)
    text = " ".join(" ".join(page.texts).split())
    assert "5,000 samples could not be read" in text
    assert re.search(r"truncated 3,333 s1 r1 empty 1,667 s0 r0", text)
    assert "The first 200; all of them are in the ledger" in text
    assert "s199 : r199" in text
    assert "s200 :" not in text


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_few_samples_make_a_page(n: int) -> None:
    assert page_of(outcome(n, 2, pictures=Drawings(n)), MANIFEST).dots["ids"] == [f"id-{row}.jpg" for row in range(n)]


def test_a_picture_that_is_gone_is_left_out_and_the_rest_shown() -> None:
    found = outcome(pictures=Drawings(60, broken=frozenset({0, 9})))
    page = page_of(found, MANIFEST)
    assert page.dots["places"][0] == page.dots["places"][9] == -1
    assert page.dots["places"][10] == 8
    assert "id-0.jpg" in page.texts
    assert (
        page_of(
            replace(found, source=replace(found.source, pictures=Drawings(60, frozenset(range(60))))), MANIFEST
        ).all("img")
        == []
    )


def test_more_samples_than_are_drawn_are_sampled_and_the_page_says_so() -> None:
    page = page_of(outcome(n=5000), MANIFEST)
    assert len(page.dots["x"]) == len(set(page.dots["ids"])) == 4000
    assert "4,000 of 5,000 samples are drawn, at random." in " ".join(page.texts)


def test_the_proof_is_a_verdict_a_chart_and_a_table(page: Page) -> None:
    text = " ".join(" ".join(page.texts).split())
    assert "Better than <random>." in text
    assert "90.0 [89.0, 91.0] 80.0 [79.0, 81.0] 93.0 [92.0, 94.0] twice 95.0 [94.0, 96.0]" in text
    assert "+10.0 [+9.0, +11.0] better" in text
    assert "\N{MINUS SIGN}5.0" in text
    assert "Everything without its near-duplicates, against everything: \N{MINUS SIGN}0.2 [" in text


def test_without_a_proof_the_page_says_that_nothing_was_tested() -> None:
    text = " ".join(page_of(outcome(), MANIFEST).texts)
    assert "there is no proof on this page" in text
    assert "This was not tested." in text
    text = " ".join(
        page_of(outcome(), {**MANIFEST, "proof": {"verdict": "Nothing to prove: there is one class."}}).texts
    )
    assert text.count("Nothing to prove: there is one class.") == 2


def test_stabilities_stand_beside_chance_one_row_for_each_change() -> None:
    one = {"overlap": 0.7, "least": 0.6, "chance": 0.1, "deterministic": False, "selections": 5, "samples": 6}
    text = " ".join(" ".join(page_of(outcome(), {**MANIFEST, "stability": one}).texts).split())
    assert "another seed 70.0 % 60.0 % 10.0 % 5" in text
    several = {**MANIFEST, "stability": one, "backbones": {"odd": {"overlap": 0.4, "chance": 0.1}}}
    text = " ".join(" ".join(page_of(outcome(), several).texts).split())
    assert "another backbone, odd 40.0 % - 10.0 % -" in text


def test_samples_that_are_in_the_reference_too_are_listed_the_most_similar_first() -> None:
    manifest = {**MANIFEST, "choice": {"reference": "test photos"}}
    page = page_of(outcome(leaks={3: ("<t3>", 0.96), 40: ("t40", 0.999)}), manifest)
    text = " ".join(" ".join(page.texts).split())
    assert "2 samples nearly equal one of test photos." in text
    assert re.search(r"id-40.jpg t40 0.999 dropped id-3.jpg <t3> 0.960 kept", text)
    assert "No sample nearly equals" in " ".join(page_of(outcome(leaks={}), manifest).texts)
    assert "leakage" not in {one.get("id") for one in page_of(outcome(), MANIFEST).all("h2")}


def test_the_command_repeats_what_the_manifest_says() -> None:
    words = shlex.split(command(MANIFEST))
    assert words[:3] == ["prunebench", "prune", "my photos"]
    pairs = list(itertools.pairwise(words))
    options = ["--keep 0.1", "--labels labels.csv", "--scorer some-method", "--param k=5", "--param deep=true"]
    for pair in [*map(str.split, options), ["--param", "kind=a b"], ["--balance", "class"], ["--seed", "3"]]:
        assert tuple(pair) in pairs
    assert "--selector" not in words, "it is the method's own"


def test_the_command_names_all_networks_with_their_weights_and_the_search() -> None:
    first, second = ({"model": name, "weights": f"{name}.pth", "sha256": "0" * 64} for name in ("one", "two"))
    known = {"network": first, "other_networks": {"two": second}, "neighbours": {"search": "faiss"}}
    pairs = list(itertools.pairwise(shlex.split(command({**MANIFEST, **known}))))
    given = [pair for pair in pairs if pair[0] in ("--backbone", "--weights", "--search")]
    assert [pair for pair in given if pair[0] == "--weights"] == [("--weights", "one.pth"), ("--weights", "two.pth")]
    assert {("--backbone", "one"), ("--backbone", "two"), ("--search", "faiss")} < {*given}
    pairs = list(itertools.pairwise(shlex.split(command({**MANIFEST, **known, "network": {"model": "one"}}))))
    assert not [pair for pair in pairs if pair[0] == "--weights"], "the first file would be that of the first network"


def test_neighbours_are_side_by_side_on_the_map() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 5
    features = rng.normal(size=(5, 32))[labels] * 3 + rng.normal(size=(300, 32))
    places = layout(features)
    assert places.shape == (300, 2)
    assert ((places >= 0) & (places <= 1)).all()
    far = np.linalg.norm(places[:, None] - places[None], axis=2) + 9 * np.eye(300)
    assert (labels[far.argmin(axis=1)] == labels).mean() > 0.95
    assert np.array_equal(places, layout(features))


@pytest.mark.parametrize("features", [np.zeros((9, 4)), np.ones((9, 1)), np.ones((1, 3)), np.eye(3)])
def test_features_without_directions_have_places(features: np.ndarray) -> None:
    places = layout(features)
    assert np.isfinite(places).all()
    assert len(places) == len(features)


def test_a_sample_that_runs_do_not_agree_on_says_how_often_it_is_kept() -> None:
    found = outcome(pictures=Drawings(60))
    often = np.concatenate([np.full(4, 1.0), np.full(4, 0.6), np.zeros(52)])
    shared = {"overlap": 0.8, "least": 0.7, "chance": 0.1, "selections": 5, "samples": 6, "deterministic": False}
    drawn = replace(found, ledger=found.ledger.assign(keep_probability=often))
    page = Page(render(drawn, {**MANIFEST, "stability": shared}))
    assert not page.problems
    text = " ".join(" ".join(page.texts).split())
    assert "100 % of runs 4 4 60 % of runs 4 2" in text  # six are kept here
    assert "kept in 60 % of runs" in text
    assert json.loads(page.data)["often"] == often.tolist()
    same = Page(render(replace(found, ledger=found.ledger.assign(keep_probability=np.sign(often))), MANIFEST))
    assert "of runs" not in " ".join(same.texts)


def test_pictures_of_the_reference_stand_beside_the_samples_that_copy_them() -> None:
    leaks = {3: ("test-1.jpg", 0.99), 9: ("test-0.jpg", 0.98), 11: ("test-2.jpg", 0.97)}
    found = outcome(pictures=Drawings(60), leaks=leaks)
    ids, drawings = ("test-0.jpg", "test-1.jpg", "test-2.jpg"), Drawings(3, broken=frozenset([2]), size=(60, 90))
    other = replace(found.source, ids=ids, pictures=drawings, features=None, labels=None, positions=None)
    page = Page(render(replace(found, reference=other), MANIFEST))
    assert not page.problems
    alone = [attributes for tag, attributes in page.elements if tag == "img" and attributes["alt"] in ids]
    assert [attributes["alt"] for attributes in alone] == ["test-1.jpg", "test-0.jpg"]
    for attributes in alone:
        with Image.open(io.BytesIO(base64.b64decode((attributes["src"] or "").partition(",")[2]))) as image:
            assert image.height > image.width
    assert "its copy" not in " ".join(Page(render(found, MANIFEST)).texts)
