"""What registry.toml says: one struct per table, which gives its types, its rules and its JSON Schema."""

import contextlib
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from msgspec import Meta
from msgspec.structs import replace
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion

from prunebench.errors import UsageError, did_you_mean
from prunebench.records import END, Role, complement
from prunebench.registry.fields import (
    FIRST,
    NAME,
    Broken,
    Count,
    DatasetName,
    Hex,
    Keep,
    Level,
    Measure,
    MethodName,
    Names,
    NetworkName,
    NetworkTableName,
    Rate,
    RateText,
    RecipeName,
    SuiteName,
    Table,
    TableName,
    Text,
    without_noise,
)  # fmt: skip
from prunebench.registry.networks import Network, NetworkTable

SCHEMA = 1
PRUNING_RATES = ("0.5", "0.9")  # of a suite that names no budget
_DIST = rf"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?{END}"  # PEP 508
_CLAUSE = r"(~=|===?|!=|[<>]=?)\s*[0-9A-Za-z.*+!_-]+"
Kind = Literal["scorer", "selector", "projector", "dataset", "backbone", "learner", "executor", "metric"]
Tier = Literal["core", "contrib", "quarantine"]
_PARAMS = Meta(description="Parameters; each has a default.")


class DatasetEntry(Table, frozen=True):
    """A data set: its plugin, and the content that is expected."""

    name: str
    spec: Annotated[Text, Meta(description="Plugin of the data set; default: the name of the table.")] = ""
    params: Annotated[Mapping[str, Any], _PARAMS] = {}
    fingerprint: Hex = ""
    licence: Annotated[str, Meta(description="Licence of the images.")] = ""
    folder: Annotated[Text, Meta(description='Your images, a folder per class; short for spec = "image-folder".')] = ""
    train_per_class: Annotated[int, Meta(ge=0, description=FIRST)] = 0
    test_per_class: Annotated[int, Meta(ge=0, description=FIRST)] = 0


class _ByRate(Table, frozen=True):
    """A table with settings of its own at some pruning rates."""

    @staticmethod
    def broken(given: Mapping[str, Any]) -> Iterator[Broken]:
        """Yield the settings at a rate that is there already, such as "0.90" after "0.9"."""
        rates = list(given.get("at") or {})
        for place, rate in enumerate(rates):
            if complement(rate) in map(complement, rates[:place]):
                yield ("at", rate), f"the pruning rate {rate} is there twice", "remove one"


class RecipeAtRate(Table, frozen=True):
    """Parameters of a recipe at one pruning rate; those that are not written here are the recipe's own."""

    params: Annotated[Mapping[str, Any], _PARAMS] = {}


class Recipe(_ByRate, frozen=True):
    """How to train."""

    name: str  # once it is read, the rates of `at` are without trailing zeros
    learner: Annotated[Text, Meta(description="Plugin that trains.")]
    params: Annotated[Mapping[str, Any], _PARAMS] = {}
    at: Annotated[
        Mapping[RateText, RecipeAtRate], Meta(description='Settings by pruning rate: [recipe.NAME.at."0.9"].')
    ] = {}
    teacher: Annotated[
        NetworkName, Meta(description="Network that teaches, for a learner that needs one: trained, or from a file.")
    ] = ""
    tolerance: Annotated[float, Meta(ge=0, le=1, description="Fraction by which repeats may differ.")] = 0.02

    def params_at(self, keep: str) -> Mapping[str, Any]:
        """Return the parameters where the fraction `keep` is kept, a decimal string."""
        return {**self.params, **self.at.get(complement(keep), RecipeAtRate()).params}


class AtRate(Table, frozen=True):
    """Parameters of a method at one pruning rate; those that are not written are the method's own."""

    params: Annotated[Mapping[str, Any], _PARAMS] = {}
    selector_params: Annotated[Mapping[str, Any], _PARAMS] = {}


class Method(_ByRate, frozen=True):
    """A row of the board: a scorer with parameters, and the selector that picks from its scores."""

    name: str  # once it is read, the rates of `at` are without trailing zeros
    scorer: Annotated[Text, Meta(description="Plugin that scores.")]
    params: Annotated[Mapping[str, Any], _PARAMS] = {}
    selector: Annotated[Text, Meta(description="Plugin that selects; default: the scorer's.")] = ""
    selector_params: Annotated[Mapping[str, Any], _PARAMS] = {}
    at: Annotated[Mapping[RateText, AtRate], Meta(description='Settings by rate: [method.NAME.at."0.9"].')] = {}
    caveat: Annotated[str, Meta(pattern=f"^[^\n]{{0,500}}{END}", description="One line, printed beside the rows.")] = ""

    def at_keep(self, keep: str) -> Self:
        """Return the method with the parameters that it has where the fraction `keep` is kept."""
        own = self.at.get(complement(keep), AtRate())
        chosen = {**self.selector_params, **own.selector_params}
        return replace(self, params={**self.params, **own.params}, selector_params=chosen, at={})


class Pair(Table, frozen=True):
    """A training: an architecture and a recipe."""

    arch: NetworkName
    recipe: RecipeName

    def __str__(self) -> str:
        return f"{self.arch} by {self.recipe}"


class Agreement(Table, frozen=True):
    """Whose scores are compared between backbones and between seeds."""

    methods: Annotated[Names, Meta(description="Methods; default: those of the suite.")] = ()
    projectors: Annotated[Names, Meta(description="Projectors; default: those of the suite.")] = ()
    backbones: Annotated[tuple[NetworkName, ...], Meta(description="Networks; default: those of the suite.")] = ()
    measures: Annotated[
        tuple[Measure, ...],
        Meta(description="Beside correlations: overlap of what is kept, distances of distributions."),
    ] = ()
    given: Annotated[
        Names, Meta(description="Methods: what of a ranking do their scores leave, and how far does that agree?")
    ] = ()


class Suite(Table, frozen=True, kw_only=True):
    """A grid of cells on one data set; without training, only scores are compared."""

    # Once it is read, all defaults are filled in, and the budgets are `pruning_rates`; `keep` is empty.
    # Seed s uses proxy run s modulo proxy_seeds, and training s modulo backbone_seeds of a backbone trained here.
    name: str
    summary: Annotated[str, Meta(description="One sentence.")] = ""
    dataset: DatasetName
    methods: Annotated[Names, Meta(min_length=1, description="Methods, or scorers with their defaults.")]
    baseline: Annotated[str, Meta(description='Method that gains are measured against; default: "random".')] = ""
    unpruned: Annotated[str, Meta(description='Method that keeps everything; default: "full", if named.')] = ""
    backbones: Annotated[tuple[NetworkName, ...], Meta(description="Networks that score.")] = ()
    projectors: Annotated[Names, Meta(description="Projectors of their features.")] = ()
    seeds: Annotated[Count, Meta(description="Number of seeds.")] = 3
    proxy_seeds: Annotated[Count, Meta(description="Proxy runs that the seeds are spread over.")] = 1
    backbone_seeds: Annotated[Count, Meta(description="Trainings of a backbone that the seeds are spread over.")] = 1
    noise: Annotated[tuple[Level, ...], Meta(description="Levels of noise under which each backbone scores, too.")] = ()
    training: Annotated[tuple[Pair, ...], Meta(description="Architectures that are trained, with recipes.")] = ()
    pruning_rates: Annotated[tuple[Rate, ...], Meta(description="Budgets, or write `keep`.")] = ()
    keep: Annotated[tuple[Keep, ...], Meta(description="Budgets, or write `pruning_rates`.")] = ()
    proxy: Annotated[Pair, Meta(description="Run that records training dynamics.")] | None = None
    agreement: Agreement = Agreement()

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Two backbones each, whose scores are compared: any two without noise, and each with itself under noise."""
        found = []
        for a, b in combinations(self.agreement.backbones, 2):
            (base_a, level_a), (base_b, level_b) = without_noise(a), without_noise(b)
            if not (level_a or level_b) or (base_a == base_b and not (level_a and level_b)):
                found.append((a, b))
        return tuple(found)

    @property
    def keeps(self) -> Names:
        """The fractions to keep, as decimal strings in the order of the budgets."""
        return tuple(complement(str(rate)) for rate in self.pruning_rates)

    def role(self, method: str) -> Role:
        """Return what a method is on the board."""
        return "unpruned" if method == self.unpruned else "baseline" if method == self.baseline else "method"

    @staticmethod
    def broken(given: Mapping[str, Any]) -> Iterator[Broken]:
        budgets = [axis for axis in ("keep", "pruning_rates") if axis in given]
        if len(budgets) == 2:
            yield ("keep",), "says the same as pruning_rates", "write one of the two: keep = 1 - pruning rate"
        for axis in ("methods", "backbones", "projectors", "training", "noise", *budgets):
            values = [float(value) if axis in ("noise", *budgets) else value for value in given.get(axis) or ()]
            for place, value in enumerate(values):
                if value in values[:place]:
                    yield (axis, place), f"{given[axis][place]!r} is there twice", "remove one"
        baseline, methods = given.get("baseline"), given.get("methods")
        if baseline and methods and baseline not in methods:
            yield ("baseline",), f"{baseline!r} is not among the methods", "add it to methods"
        if given.get("training", []) != []:
            if [] in (given.get(axis) for axis in budgets):
                yield (budgets[0],), "names no budget", 'write keep = ["0.1"], or leave it out'
            return
        agreement, seeds, own = given.get("agreement", {}), given.get("seeds", 3), given.get("backbones", ())
        if None not in (agreement, seeds, own):  # what is wrong there is told already
            alone = given.get("noise") or (agreement and seeds > 1)  # with noise, or seeds where that is asked for
            enough = 1 if alone else 2
            if agreement.get("methods") == [] or len(agreement.get("backbones", own)) < enough:
                hint = "add training = [{ arch = ..., recipe = ... }], with names of this file"
                yield (), "has nothing to compute: neither training nor scores of two backbones to compare", hint


class Listing(Table, frozen=True, kw_only=True):
    """What is known of a plugin: who keeps it, which versions are meant, and how far it is trusted."""

    name: str
    kind: Kind
    dist: Annotated[str, Meta(pattern=_DIST, description="Distribution that declares it: its name in the index.")]
    version: Annotated[
        str, Meta(pattern=rf"^{_CLAUSE}(\s*,\s*{_CLAUSE})*{END}", description='Range, such as ">=1,<2".')
    ]
    tier: Annotated[Tier, Meta(description="core and contrib are ranked; quarantine is shown with its reason only.")]
    maintainer: Annotated[Text, Meta(description="Who answers for it.")]
    added: Annotated[date, Meta(description="When it was added.")]
    paper: Annotated[str, Meta(description="What it implements, where its declaration does not say.")] = ""
    reason: Annotated[str, Meta(description="Why it is in quarantine, in one line.")] = ""
    environment: Annotated[Names, Meta(description="PEP 508 requirements, where they clash with those of others.")] = ()
    expected_failures: Mapping[str, Annotated[str, Meta(min_length=1, description="Why the check may fail.")]] = {}

    @staticmethod
    def broken(given: Mapping[str, Any]) -> Iterator[Broken]:
        if given.get("tier") == "quarantine" and given.get("reason", "") == "":
            yield ("reason" if "reason" in given else "tier",), "a quarantine needs a reason", 'add reason = "ONE LINE"'
        for place, text in enumerate(given.get("environment") or ()):
            try:
                url = Requirement(text).url
            except ValueError as error:
                reason = str(error).partition("\n")[0]  # and then a drawing of where it is
                yield ("environment", place), f"{text!r} is no requirement: {reason}", "write PEP 508 requirements"
                continue
            if url:
                reason = f"{text!r} is fetched from an address, whose content may change after it was looked at"
                yield ("environment", place), reason, "name a distribution of the index and a range of versions"
        try:
            SpecifierSet(given.get("version") or "")
        except ValueError:
            yield ("version",), f"{given['version']!r} is no version range", 'write a PEP 440 range, such as ">=1,<2"'

    def covers(self, version: str) -> bool:
        """Return whether a version of the distribution is in the range; one that is no version is not."""
        with contextlib.suppress(InvalidVersion):
            return SpecifierSet(self.version).contains(version, prereleases=True)
        return False


class OwnData(Table, frozen=True):
    """What `prunebench prune` and `prunebench try` take for a person's own data where nothing else is asked for."""

    scorer: Annotated[Text, Meta(description="Plugin that scores.")] = ""
    projector: Annotated[Text, Meta(description="Plugin that projects, for scorers that read a projection.")] = ""
    backbone: NetworkName = ""
    tried: Annotated[Names, Meta(description="Methods that `prunebench try` compares.")] = ()


class File(Table, frozen=True, rename=lambda name: name.removesuffix("s").replace("_", "-")):
    """The whole of registry.toml."""

    schema: Annotated[int, Meta(ge=1, description="Version of this format.")]
    protocol: Annotated[str, Meta(pattern=rf"^{NAME}", description="Raised whenever numbers stop being comparable.")]
    datasets: Mapping[TableName, DatasetEntry] = {}
    backbones: Mapping[NetworkTableName, NetworkTable] = {}
    archs: Mapping[NetworkTableName, NetworkTable] = {}
    recipes: Mapping[TableName, Recipe] = {}
    methods: Mapping[MethodName, Method] = {}
    suites: Mapping[SuiteName, Suite] = {}
    plugins: Mapping[TableName, Listing] = {}
    own_data: OwnData = OwnData()


class Registry(File, frozen=True, kw_only=True):
    """All tables of registry.toml by name; networks are backbones and archs, `text` is the file as it was read."""

    file: Path
    text: str
    networks: Mapping[str, Network]

    def suite(self, name: str) -> Suite:
        """Return the suite `name`; raises UsageError with the nearest name."""
        if name not in self.suites:
            raise UsageError(f"no suite is named {name!r} in {self.file.name}", did_you_mean(name, self.suites))
        return self.suites[name]

    def network(self, name: str) -> Network:
        """Return the network `name`, with noise in its features or without."""
        return self.networks[without_noise(name)[0]]

    def method(self, name: str) -> Method:
        """Return the method `name`; a plain scorer name is a method with that scorer's defaults."""
        return self.methods.get(name) or Method(name, name)
