"""registry.toml: every fault is answered at once, with its dotted key, its line, and the nearest name."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunebench.errors import RegistryError, SchemaTooNew, UsageError
from prunebench.plan import make_plan
from prunebench.planner import Contents
from prunebench.plugins import load_plugins
from prunebench.registry import load_registry
from prunebench.registry.governance import unknown_plugins
from prunebench.registry.reader import make_registry
from prunebench.registry.toml_lines import MAX_BYTES, MAX_FAULTS, Source
from registries import HEAD

ROOT = Path(__file__).resolve().parent.parent

SUITE = """
[dataset.digits]

[backbone.net]
timm = "test_resnet"
weights = { train = "short" }

[backbone.other]
provider = "timm"
model = "test_vit"

[recipe.short]
learner = "deepcore"

[method.mine]
scorer = "moderate"

[suite.tiny]
dataset = "digits"
methods = [
  "random",
  "mine",
]
backbones = ["net"]
pruning_rates = ["0.5"]
seeds = 2
proxy = { arch = "net", recipe = "short" }
training = [
  { arch = "net", recipe = "short" },
  { arch = "other", recipe = "short" },
]

[suite.tiny.agreement]
backbones = ["net", "other"]
"""


def read(tables: str):
    return make_registry(Source(Path("registry.toml"), HEAD + tables))


def refused(tables: str) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        read(tables)
    return caught.value


def test_the_official_registry_is_valid_and_every_suite_can_be_planned():
    registry, catalogue = load_registry(ROOT / "registry.toml"), load_plugins()
    assert {"quickstart", "fashion", "cifar10-table1", "cifar100-table1"} <= set(registry.suites)
    for name in registry.suites:
        # The content of a data set without a fingerprint is looked at before a plan is made.
        plan = make_plan(registry, catalogue, name, contents=Contents({registry.suite(name).dataset: "0" * 32}))
        assert plan.cells or plan.agreements


def test_the_quickstart_has_what_it_promises():
    suite = load_registry(ROOT / "registry.toml").suite("quickstart")
    assert suite.dataset == "digits"
    assert len(suite.backbones) >= 3
    assert suite.pruning_rates == ("0.5", "0.8", "0.9")
    assert suite.seeds == 3
    assert (suite.baseline, suite.unpruned) == ("random", "full")
    assert {"random", "moderate", "d2", "echo", "topocore", "ripsnet"} <= set(suite.methods)


# What is replaced, by what; the key and a part of the line that are to be named, and a part of the hint or the reason.
FAULTS = {
    "an unknown key": ("seeds = 2", "seeds = 2\nseed = 3", "suite.tiny.seed", "seed = 3", "'seeds'"),
    "an unknown table": ("[recipe.short]", "[recip.x]\n[recipe.short]", "recip", "[recip.x]", "'recipe'"),
    "a key of another table": ('learner = "deepcore"', 'learner = "deepcore"\nseeds = 1', "recipe.short.seeds", "", ""),
    "a name inside a table": (
        'scorer = "moderate"', 'scorer = "moderate"\nname = "x"', "method.mine.name", 'name = "x"', "unknown key",
    ),
    "a number for a name": ('dataset = "digits"', "dataset = 3", "suite.tiny.dataset", "", "expected text, got 3"),
    "a flag for a number": ("seeds = 2", "seeds = true", "suite.tiny.seeds", "", "expected a whole number, got True"),
    "a fraction for a count": ("seeds = 2", "seeds = 2.5", "suite.tiny.seeds", "", "whole number"),
    "no seeds": ("seeds = 2", "seeds = 0", "suite.tiny.seeds", "", ">= 1"),
    "a rate outside its range": ('"0.5"', '"1.5"', "suite.tiny.pruning_rates", "", "[0, 1)"),
    "a rate of one": ('"0.5"', "1", "suite.tiny.pruning_rates", "", "expected a number < 1.0"),
    "a rate that is no number": ('"0.5"', "nan", "suite.tiny.pruning_rates", "", "number"),
    "budgets in two ways": ('["0.5"]', '["0.5"]\nkeep = ["0.5"]', "suite.tiny.keep", "keep =", "pruning_rates"),
    "a budget twice": ('["0.5"]', '["0.5", 0.5]', "suite.tiny.pruning_rates", "", "twice"),
    "no budget": ('["0.5"]', "[]", "suite.tiny.pruning_rates", "", "no budget"),
    "an unknown data set": ('dataset = "digits"', 'dataset = "digit"', "suite.tiny.dataset", "", "'digits'"),
    "an unknown backbone": ('backbones = ["net"]', 'backbones = ["nett"]', "suite.tiny.backbones", "nett", "'net'"),
    "an unknown arch": ('{ arch = "other"', '{ arch = "otter"', "suite.tiny.training[1].arch", "otter", "'other'"),
    "an unknown recipe": (
        'other", recipe = "short"', 'other", recipe = "shot"', "suite.tiny.training[1].recipe", "shot", "'short'",
    ),
    "an unknown proxy": ('proxy = { arch = "net"', 'proxy = { arch = "ne"', "suite.tiny.proxy.arch", "proxy", "'net'"),
    "an unknown backbone to compare": (
        'backbones = ["net", "other"]', 'backbones = ["net", "otter"]', "suite.tiny.agreement.backbones", "otter",
        "'other'",
    ),
    "an unknown recipe of weights": (
        'train = "short"', 'train = "shot"', "backbone.net.weights.train", "shot", "'short'",
    ),
    "an unknown source of weights": (
        'model = "test_vit"', 'model = "test_vit"\nweights = "hubb"', "backbone.other.weights", "hubb", "'hub'",
    ),
    "two sources of weights": (
        'train = "short"', 'train = "short", file = "x"', "backbone.net.weights.file", "file", "from both",
    ),
    "two names of a model": ('model = "test_vit"', 'timm = "x"\nmodel = "y"', "backbone.other.model", "model", "timm"),
    "no model": ('model = "test_vit"\n', "", "backbone.other", "[backbone.other]", "add timm"),
    "a method twice": ('  "mine",', '  "mine",\n  "mine", # again', "suite.tiny.methods", "# again", "twice"),
    "a baseline that is not run": (
        "seeds = 2", 'seeds = 2\nbaseline = "full"', "suite.tiny.baseline", "full", "among the methods",
    ),
    "a missing key": ('learner = "deepcore"\n', "", "recipe.short", "[recipe.short]", "add learner = ..."),
    "a path for a name": ("[dataset.digits]", '[dataset.digits]\n[dataset."../x"]', 'dataset."../x"', "..", "letters"),
    "two networks of one name": ("[recipe.short]", '[arch.net]\ntimm = "a"\n[recipe.short]', "arch.net", "[arch", ""),
    "settings at a rate of one": (
        'scorer = "moderate"', 'scorer = "moderate"\n[method.mine.at."1"]', "method.mine.at.1", '"1"', "In [0, 1)",
    ),
    "settings at a rate below zero": (
        'scorer = "moderate"', 'scorer = "moderate"\nat."-0.1" = {}', 'method.mine.at."-0.1"', "-0.1", "In [0, 1)",
    ),
    "settings at one rate twice": (
        'scorer = "moderate"', 'scorer = "moderate"\n[method.mine.at]\n"0.9" = {}\n".90" = {}',
        'method.mine.at.".90"', '".90"', "twice",
    ),
    "settings of a recipe at one rate twice": (
        'learner = "deepcore"', 'learner = "deepcore"\nat."0.9" = {}\nat."0.90" = {}',
        'recipe.short.at."0.90"', '"0.90"', "twice",
    ),
    "a parameter at a rate in no table": (
        'scorer = "moderate"', 'scorer = "moderate"\n[method.mine.at."0.9"]\nwindow = "value"',
        'method.mine.at."0.9".window', "window", "params",
    ),
    "a rate that is not quoted": (
        'scorer = "moderate"', 'scorer = "moderate"\n[method.mine.at.0.9]\nparams = {}', "method.mine.at.0.9", "at.0.9",
        "",
    ),
    "no noise": ("seeds = 2", 'seeds = 2\nnoise = ["0.0"]', "suite.tiny.noise", "0.0", "Above 0"),
    "noise that is no number": ("seeds = 2", 'seeds = 2\nnoise = [nan]', "suite.tiny.noise", "nan", "number"),
    "a level of noise twice": ("seeds = 2", 'seeds = 2\nnoise = ["0.5", 0.50]', "suite.tiny.noise", "0.50", "twice"),
    "a backbone that is called as noise is": (
        "[recipe.short]", '[backbone."a+noise-1"]\ntimm = "a"\n[recipe.short]', 'backbone."a+noise-1"', "a+noise-1",
        "that is for noise",
    ),
    "an unknown measure": (
        'backbones = ["net", "other"]', 'backbones = ["net", "other"]\nmeasures = ["overlapp"]',
        "suite.tiny.agreement.measures", "overlapp", "'overlap'",
    ),
    "a negative number of samples": (
        "[dataset.digits]", "[dataset.digits]\ntrain_per_class = -1", "dataset.digits.train_per_class", "-1", ">= 0",
    ),
    "an unknown head": (
        'model = "test_vit"', 'model = "test_vit"\nhead = "fit"', "backbone.other.head", "fit", "'fitted'",
    ),
    "two lines of caveat": (
        'scorer = "moderate"', 'scorer = "moderate"\ncaveat = "a\\nb"', "method.mine.caveat", "caveat", "One line",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_registry_with(fault):
    old, new, key, part, hint = FAULTS[fault]
    assert SUITE.count(old) == 1
    text = SUITE.replace(old, new)
    error = refused(text)
    assert [found.key for found in error.faults] == [error.key] == [key]
    line = (HEAD + text).splitlines()[error.line - 1]
    assert (part or key.rpartition(".")[2]) in line
    assert f"registry.toml, line {error.line}: {key}: " in error.message
    assert hint in error.hint + error.message


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(sorted(FAULTS)), min_size=2, max_size=8, unique=True))
def test_all_faults_of_a_file_are_answered_at_once(names):
    text, expected, used = SUITE, [], set()
    for name in names:
        old, new, key, *_ = FAULTS[name]
        if text.count(old) == 1 and not used & {old, key}:
            text = text.replace(old, new)
            expected.append(key)
            used |= {old, key}
    error = refused(text)
    assert sorted(fault.key for fault in error.faults) == sorted(expected)
    assert [fault.line for fault in error.faults] == sorted(fault.line for fault in error.faults)
    for fault in error.faults:
        assert f"line {fault.line}: {fault.key}: {fault.reason}" in error.message


PIECES = st.sampled_from(
    ['"', "'", "[", "]", "{", "}", "=", ",", "\n", ".", "#", "0", "-1", "true", "x", "[suite.tiny]"]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SUITE)), st.integers(0, 12), PIECES), min_size=1, max_size=3))
def test_a_registry_broken_anywhere_is_read_or_refused_with_lines(edits):
    text = SUITE
    for place, length, piece in edits:
        text = text[:place] + piece + text[place + length :]
    lines = range(1, (HEAD + text).count("\n") + 2)
    try:
        faults = [] if read(text).protocol == "test" else [None]
    except RegistryError as error:
        faults = error.faults
    assert all(fault.line in lines for fault in faults)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
KEYS = st.sampled_from(["training", "agreement", "keep", "methods", "seeds", "proxy", "baseline", "dataset"])


@settings(max_examples=60, deadline=None)
@given(VALUES, KEYS)
def test_a_value_of_any_form_is_read_or_refused(value, key):
    class Given(Source):
        def parse(self) -> dict[str, Any]:
            tables = super().parse()
            return {**tables, "suite": {"tiny": {**tables["suite"]["tiny"], key: value}}}

    with contextlib.suppress(RegistryError):
        assert make_registry(Given(Path("registry.toml"), HEAD + SUITE)).suite("tiny").methods


@pytest.mark.parametrize(("text", "line"), [("[suite.x]\nseeds = = 3\n", 4), ("x = [", 3), ("x = " + "[" * 5000, 3)])
def test_a_registry_that_is_not_toml_is_answered_with_the_line(text, line):
    assert refused(text).line == line


def test_a_registry_that_is_no_text_or_too_large_or_not_there_is_refused(tmp_path):
    file = tmp_path / "r.toml"
    for content, line in ((HEAD.encode() + b"\n\xff", 4), (b"#" * (MAX_BYTES + 1), 1)):
        file.write_bytes(content)
        with pytest.raises(RegistryError) as caught:
            load_registry(file)
        assert caught.value.line == line
    for missing in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(UsageError) as usage:
            load_registry(missing)
        assert "--registry" in usage.value.hint


def test_a_hostile_registry_is_refused_without_delay():
    a, b = "ab" * 100_000, "ba" * 100_000
    error = refused(f'[recipe.{a}]\nlearner = "x"\n[backbone.net]\ntimm = "x"\nweights = {{ train = "{b}" }}\n')
    assert {fault.line for fault in error.faults} == {3, 7}
    many = refused("".join(f"[siute.x{number}]\n" for number in range(2_000)) + "".join(
        f'[suite.x{number}]\nseed = 1\n' for number in range(2_000)))  # fmt: skip
    assert len(many.faults) == MAX_FAULTS


def test_a_registry_of_a_newer_prunebench_is_refused():
    with pytest.raises(SchemaTooNew, match="schema 2"):
        make_registry(Source(Path("r.toml"), 'schema = 2\nprotocol = "x"\n[future]\n'))


# --------------------------------------------------------------------------------------------- what need not be said

MINIMAL = """
[dataset.pets]
folder = "photos"

[backbone.net]
timm = "test_resnet"
weights = { file = "net.safetensors" }

[recipe.probe]
learner = "probe"

[suite.mine]
dataset = "pets"
methods = ["random", "moderate"]
backbones = ["net"]
training = [{ arch = "net", recipe = "probe" }]
"""


def test_a_minimal_suite_has_a_baseline_budgets_and_seeds():
    registry = read(MINIMAL)
    suite = registry.suite("mine")
    assert (suite.baseline, suite.unpruned, suite.seeds) == ("random", "", 3)
    assert (suite.proxy_seeds, suite.backbone_seeds, suite.proxy) == (1, 1, None)
    assert suite.pruning_rates
    assert (suite.agreement.methods, suite.agreement.backbones) == (suite.methods, suite.backbones)
    assert registry.networks["net"].weights.sha256 == ""
    assert (registry.datasets["pets"].spec, registry.datasets["pets"].params) == ("image-folder", {"path": "photos"})
    load_plugins().get("datasets", "image-folder").spec.resolve_params(registry.datasets["pets"].params)


def test_the_method_that_keeps_everything_may_be_named_with_the_others():
    suite = read(MINIMAL.replace('"moderate"]', '"moderate", "full"]')).suite("mine")
    assert (suite.methods, suite.unpruned) == (("random", "moderate"), "full")
    suite = read(MINIMAL.replace('"random", "moderate"]', '"full"]')).suite("mine")
    assert (suite.methods, suite.unpruned, suite.baseline) == ((), "full", "")


@pytest.mark.parametrize(
    ("written", "rates"),
    [('keep = ["0.1"]', ("0.9",)), ("keep = [0.1, 0.25, 1]", ("0.9", "0.75", "0")), ('keep = [".30"]', ("0.7",)),
     ("pruning_rates = [0.90, 1e-7]", ("0.9", "0.0000001")), ('pruning_rates = ["0"]', ("0",)),
     ("pruning_rates = [1.5e-21]", ("0.0000000000000000000015",))],
)  # fmt: skip
def test_budgets_are_fractions_to_keep_or_to_remove_as_numbers_or_text(written, rates):
    assert read(MINIMAL + written + "\n").suite("mine").pruning_rates == rates


@pytest.mark.parametrize("keep", ["0", "0.0", "1.5", "-0.1", "ten", "1e-1"])
def test_a_fraction_to_keep_that_is_none_is_refused(keep):
    assert refused(MINIMAL + f'keep = ["{keep}"]\n').key == "suite.mine.keep"


def test_scores_may_be_compared_without_training_where_there_are_two_of_them():
    start, training = MINIMAL.split("training = ")
    assert training
    error = refused(start)
    assert error.key == "suite.mine"
    assert "training = [{ arch = ..., recipe = ... }]" in error.hint
    two = start.replace("[recipe", '[backbone.two]\ntimm = "test_vit"\n\n[recipe').replace('["net"]', '["net", "two"]')
    for text in (two, start + '[suite.mine.agreement]\nmethods = ["moderate"]\n'):
        suite = read(text).suite("mine")
        assert (suite.training, suite.pruning_rates) == ((), ())
    assert refused(two + "[suite.mine.agreement]\nmethods = []\n").key == "suite.mine"


def test_the_example_in_the_official_registry_is_a_whole_registry():
    text = (ROOT / "registry.toml").read_text(encoding="utf-8")
    example = "\n".join(line.removeprefix("#   ") for line in text.splitlines() if line.startswith("#   "))
    registry = make_registry(Source(Path("registry.toml"), example))
    assert list(unknown_plugins(registry, load_plugins())) == []
    [suite] = registry.suites.values()
    assert (suite.methods, suite.unpruned, suite.pruning_rates) == (("random", "moderate"), "full", ("0.9", "0.5"))


# ------------------------------------------------------------------------------------------------------ lines of keys

# Each number is the line that it stands on.
LINES = '''a = 1
"b.c" = 2 # [x]
[x.y]
d = 4
e = { f = 5, g = [5, 5], h = { i.j = 5 } }
text = """
[no.header]
k = "
\\""""
l = [ # ]
  11, "}", 11,
  [12,
   13], { m = 13, "n" = [13] },
]

[[x.z]]
o = 17
[x.z.p]
q = [19]
[[x.z]]
o = 21
[x.z."p"]
q.r = 23
[x]
s = 25
t = \'\'\'
\'\'\'
u = 28'''


def leaves(value: Any, key: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield key, value
    for name, item in items or ():
        yield from leaves(item, (*key, name))


def test_every_key_and_every_element_has_its_line():
    found = Source(Path("x.toml"), LINES).lines
    numbers = {key: value for key, value in leaves(tomllib.loads(LINES)) if isinstance(value, int)}
    assert len(numbers) == 19
    assert {key: found[key] for key in numbers} == numbers
    assert (found["x",], found["x", "y"], found["x", "z", 1]) == (24, 3, 20)


def test_a_key_that_is_not_written_has_the_line_of_the_table_around_it():
    source = Source(Path("x.toml"), LINES)
    fault = source.fault(("x", "y", "e", "h", "nothing"), "reason")
    assert (fault.line, fault.key) == (5, "x.y.e.h.nothing")
    assert source.fault(("nothing",), "reason").line == 1


@pytest.mark.parametrize("make", [Path.mkdir, lambda file: file.symlink_to("nowhere")], ids=["folder", "broken link"])
def test_a_registry_of_the_working_folder_that_is_no_file_is_refused_and_not_passed_over(make, sandbox):
    make(sandbox.folder / "registry.toml")
    done = sandbox.call("registry", "check")
    assert done.returncode == 2
    assert "registry.toml" in done.stderr
    assert "hint: " in done.stderr
