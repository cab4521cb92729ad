"""What is official: tables of plugins, their schema, and what they make of what is installed."""

from __future__ import annotations

import json
import tomllib
from datetime import date

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from listed_plugin import LISTED, ROOT, listing
from prunebench.errors import RegistryError, UsageError
from prunebench.plugins import Entry, Origin, load_plugins
from prunebench.registry import expected_failures, load_registry, trust_in
from prunebench.registry.governance import compatible_range, new_table
from prunebench.registry.reader import schema_text


def refused_by_schema(text: str) -> bool:
    # Tools that check TOML by JSON Schema see dates as strings.
    values = json.loads(json.dumps(tomllib.loads(text), default=lambda value: value.isoformat()))
    validator = jsonschema.Draft202012Validator(json.loads(schema_text()), format_checker=jsonschema.FormatChecker())
    return not validator.is_valid(values)


def test_the_committed_schema_is_made_of_the_keys_that_the_reader_uses():
    assert (ROOT / "docs" / "registry.schema.json").read_text(encoding="utf-8") == schema_text(), (
        "write it again: prunebench registry schema > docs/registry.schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(json.loads(schema_text()))


def test_the_official_registry_satisfies_the_schema():
    assert not refused_by_schema((ROOT / "registry.toml").read_text(encoding="utf-8"))


def test_a_listing_is_read(write_registry):
    path = write_registry(LISTED + '[plugin.odd.expected_failures]\ncheck_evidence_is_left_unchanged = "it seeds"\n')
    assert load_registry(path).plugins == {
        "odd": listing(maintainer="Someone Else", expected_failures={"check_evidence_is_left_unchanged": "it seeds"})
    }
    assert not refused_by_schema(path.read_text(encoding="utf-8"))


BROKEN = {
    "an unknown key": (LISTED + 'url = "x"\n', "plugin.odd.url"),
    "an unknown table": ('[plugins.odd]\nkind = "scorer"\n', "plugins"),
    "a missing maintainer": (LISTED.replace('maintainer = "Someone Else"\n', ""), "plugin.odd"),
    "an unknown kind": (LISTED.replace('"scorer"', '"scoerer"'), "plugin.odd.kind"),
    "an unknown tier": (LISTED.replace("contrib", "trusted"), "plugin.odd.tier"),
    "a version that is no range": (LISTED.replace(">=1,<2", "1.0"), "plugin.odd.version"),
    "a quarantine without a reason": (LISTED.replace("contrib", "quarantine"), "plugin.odd.tier"),
    "an empty reason": (LISTED.replace("contrib", "quarantine") + 'reason = ""\n', "plugin.odd.reason"),
    "a date that is a number": (LISTED.replace("2026-01-31", "2026"), "plugin.odd.added"),
    "a date with a time": (LISTED.replace("2026-01-31", "2026-01-31T10:00:00"), "plugin.odd.added"),
    "an expected failure without a reason": (
        LISTED + '[plugin.odd.expected_failures]\ncheck_x = ""\n',
        "plugin.odd.expected_failures.check_x",
    ),
    "a backbone without a model": ('[backbone.net]\nprovider = "timm"\n', "backbone.net"),
    "an unknown source of weights": ('[backbone.net]\ntimm = "a"\nweights = "hubb"\n', "backbone.net.weights"),
    "weights with two sources": (
        '[recipe.a]\nlearner = "probe"\n[backbone.net]\ntimm = "a"\nweights = { train = "a", file = "b" }\n',
        "backbone.net.weights.file",
    ),
    "two names of one model": ('[backbone.net]\ntimm = "a"\nprovider = "timm"\nmodel = "b"\n', "backbone.net.model"),
    "a digest that is none": (
        '[backbone.net]\ntimm = "a"\nweights = { file = "b", sha256 = "xyz" }\n',
        "backbone.net.weights.sha256",
    ),
    "an image size of nothing": ('[arch.net]\ntimm = "a"\nimage_size = 0\n', "arch.net.image_size"),
    "true where a number belongs": ('[recipe.r]\nlearner = "probe"\ntolerance = true\n', "recipe.r.tolerance"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_reader_and_schema_both_refuse(fault, write_registry):
    tables, key = BROKEN[fault]
    path = write_registry(tables)
    assert refused_by_schema(path.read_text(encoding="utf-8"))
    with pytest.raises(RegistryError) as caught:
        load_registry(path)
    assert caught.value.key == key
    assert caught.value.line > 2
    assert caught.value.hint or "expected" in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LISTED.replace(">=1,<2", "~=1"), r"line 7: plugin\.odd\.version: '~=1' is no version range"),
        (LISTED + 'environment = ["old<2", "old=2"]', r"line 11: plugin\.odd\.environment: 'old=2' is no requirement"),
    ],
)
def test_what_only_looks_like_a_range_or_a_requirement_is_refused_by_the_reader(text, message, write_registry):
    with pytest.raises(RegistryError, match=message):
        load_registry(write_registry(text))


def test_a_plugin_is_trusted_by_name_kind_distribution_and_version():
    listings = {"odd": listing(), "bad": listing(name="bad", tier="quarantine", reason="wrong sign; see #12")}
    assert trust_in(listings, "scorer", "odd", "odd-one", "1.5").tier == "contrib"
    assert trust_in(listings, "scorer", "random", "prunebench", "0.1.0").tier == "core"
    listings["random"] = listing(name="random", dist="prunebench", version=">=0.2", tier="core")
    assert trust_in(listings, "scorer", "random", "prunebench", "0.2.0.dev1").tier == "core"
    for kind, name, dist, version in (
        ("scorer", "odd", "odd-one", "2.0"),
        ("scorer", "odd", "odd-two", "1.5"),
        ("selector", "odd", "odd-one", "1.5"),
        ("scorer", "new", "odd-one", "1.5"),
    ):
        found = trust_in(listings, kind, name, dist, version)
        assert found.tier == "unregistered"
        assert f"{dist} {version}" in found.remark
    assert trust_in(listings, "scorer", "bad", "odd-one", "1.5").remark == "in quarantine: wrong sign, see #12"


def test_expected_failures_are_those_of_the_listed_distribution():
    listings = {"odd": listing(expected_failures={"check_evidence_is_left_unchanged": "it seeds"})}
    spec = load_plugins().scorer("random").spec
    for name, dist, found in (("odd", "odd-one", 1), ("odd", "odd-two", 0), ("other", "odd-one", 0)):
        renamed = Entry(type(spec)(**{**vars(spec), "name": name}), Origin("odd", dist, "1.0"))
        assert len(expected_failures(listings, renamed)) == found


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_a_range_holds_its_version_and_ends_before_the_next_breaking_one(major, minor, patch):
    given = listing(version=compatible_range(f"{major}.{minor}.{patch}"))
    assert given.covers(f"{major}.{minor}.{patch}")
    assert given.covers(f"{major}.{minor}.{patch + 1}.post1")
    assert given.covers(f"{major}.{minor + 1}.0") == (major > 0)
    assert not given.covers(f"{major + 1}.0")
    assert not given.covers("no version")


def test_a_new_table_survives_quotes_and_reads_as_it_was_meant(write_registry):
    entry = Entry(load_plugins().scorer("random").spec, Origin("odd", "odd-one", "3.1rc1"))
    nasty = 'He said "no" \\ and\tleft \x7f'
    table = new_table(entry, tier="quarantine", maintainer=nasty, reason=nasty, version="", added=date(2026, 1, 31))
    found = load_registry(write_registry(table)).plugins["random"]
    assert (found.maintainer, found.reason, found.version) == (nasty, nasty, ">=3.1rc1,<4")
    assert found.covers("3.1rc1")


def test_a_new_table_names_the_maintainer_and_the_reason_of_a_quarantine():
    spec, given = load_plugins().scorer("random").spec, {"reason": "", "version": "", "added": date(2026, 1, 31)}
    known, unknown = Entry(spec, Origin("odd", "networkx", "3.4")), Entry(spec, Origin("odd", "not-there", "1.0"))
    assert 'maintainer = "NetworkX Developers"' in new_table(known, tier="contrib", maintainer="", **given)
    for entry, tier, hint in ((unknown, "contrib", "--maintainer"), (known, "quarantine", "--reason")):
        with pytest.raises(UsageError) as caught:
            new_table(entry, tier=tier, maintainer="", **given)
        assert hint in caught.value.hint
    with pytest.raises(UsageError, match="not a PEP 440 version"):
        compatible_range("unknown")
