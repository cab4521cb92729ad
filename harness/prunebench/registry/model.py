"""What registry.toml says: one struct per table, which gives its types, its rules and its JSON Schema."""

import contextlib
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from msgspec import Meta, Struct
from msgspec.structs import replace
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion

from prunebench.contexts import Arch
from prunebench.errors import UsageError, did_you_mean
from prunebench.records import Role, complement

SCHEMA = 1
PRUNING_RATES = ("0.5", "0.9")  # of a suite that names no budget
NOISE = "+noise-"  # between the name of a backbone and the level of the noise in its features
_NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$"  # names of tables become names of files and of folders
_CLAUSE = r"(~=|===?|!=|[<>]=?)\s*[0-9A-Za-z.*+!_-]+"

Kind = Literal["scorer", "selector", "projector", "dataset", "backbone", "learner", "executor", "metric"]
Head = Literal["own", "fitted"]
Measure = Literal["overlap", "distributions"]
Dtype = Literal["float32", "half", "float16", "bfloat16"]
Tier = Literal["core", "contrib", "quarantine"]
Text = Annotated[str, Meta(min_length=1)]
Names = tuple[Text, ...]
Params = Annotated[Mapping[str, Any], Meta(description="Parameters; each has a default.")]
Hex = Annotated[str, Meta(pattern="^[0-9a-f]*$", description="Digest of the content, hexadecimal; empty accepts any.")]
Count = Annotated[int, Meta(ge=1, le=1000)]
_RateText = Annotated[str, Meta(pattern=r"^(0|0?\.[0-9]{1,20})$", description='In [0, 1), such as "0.9".')]
_KeepText = Annotated[str, Meta(pattern=r"^(1|0?\.(?=0*[1-9])[0-9]{1,20})$", description='In (0, 1], such as "0.1".')]
Rate = _RateText | Annotated[float, Meta(ge=0, lt=1)]
Keep = _KeepText | Annotated[float, Meta(gt=0, le=1)]
_LEVEL = 'Above 0, such as "0.5": in mean standard deviations of the features; level 0 is the backbone itself.'
_LevelText = Annotated[str, Meta(pattern=r"^(?=.*[1-9])[0-9]{1,3}(\.[0-9]{1,6})?$", description=_LEVEL)]
Level = _LevelText | Annotated[float, Meta(ge=1e-3, lt=1000, description=_LEVEL)]
_WEIGHTS = Meta(description='Write "hub", "random", { file = "NAME" } (with package = "NAME", where it is in an '
                'installed one) or { train = "RECIPE" }.')  # fmt: skip
_FIRST = "Take only the first so many samples of each class, in the order of the file; 0 takes all."
# The file itself must have a table of that name.
DatasetName = Annotated[str, Meta(description="Data set.", extra={"names": ("dataset",)})]
NetworkName = Annotated[str, Meta(description="Network.", extra={"names": ("backbone", "arch")})]
RecipeName = Annotated[str, Meta(description="Recipe.", extra={"names": ("recipe",)})]
_LETTERS = "Name of letters, digits, '.', '_', '+' and '-': files are named after it."
TableName = Annotated[str, Meta(pattern=rf"^{_NAME}", description=_LETTERS)]
NetworkTableName = Annotated[
    str, Meta(pattern=rf"^(?!.*\{NOISE}){_NAME}", description=f"{_LETTERS} Without `{NOISE}`: that is for noise.")
]
MethodName = Annotated[str, Meta(pattern=rf"^(?!agreement$){_NAME}", description=f"{_LETTERS} Not `agreement`.")]
SuiteName = Annotated[str, Meta(pattern=rf"^(?!board$){_NAME}", description=f"{_LETTERS} Not `board`.")]
Key = tuple[str | int, ...]  # names of tables and keys, and positions in arrays
Broken = tuple[Key, str, str]  # a key below the table, the reason, a hint


def with_noise(backbone: str, level: str | float) -> str:
    """Return the name of a backbone under noise of a level, such as "resnet+noise-0.5"."""
    return f"{backbone}{NOISE}{format(Decimal(str(level)).normalize(), 'f')}"


def without_noise(backbone: str) -> tuple[str, str]:
    """Return the name of a backbone and the level of the noise in its features, "" for none."""
    name, _, level = backbone.partition(NOISE)
    return name, level


class Table(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file; `name` of a struct is the name of its table, never a key in it."""

    ONE_OF: ClassVar[tuple[Names, ...]] = ()  # groups of keys, of which exactly one must be written

    @staticmethod
    def broken(given: Mapping[str, Any]) -> Iterator[Broken]:
        """Yield what the keys ask of each other; in `given`, the value is None where it is not of its type."""
        yield from ()


class DatasetEntry(Table, frozen=True):
    """A data set: its plugin, and the content that is expected."""

    name: str
    spec: Annotated[Text, Meta(description="Plugin of the data set; default: the name of the table.")] = ""
    params: Params = {}
    fingerprint: Hex = ""
    licence: Annotated[str, Meta(description="Licence of the images.")] = ""
    folder: Annotated[Text, Meta(description='Your images, a folder per class; short for spec = "image-folder".')] = ""
    train_per_class: Annotated[int, Meta(ge=0, description=_FIRST)] = 0
    test_per_class: Annotated[int, Meta(ge=0, description=_FIRST)] = 0


class Weights(Table, frozen=True, rename={"recipe": "train"}):
    """Where the weights of a network come from: "hub", "file" (below a data root, or in an installed package),
    "trained" (here), or "random"."""

    ONE_OF: ClassVar[tuple[Names, ...]] = (("train",), ("file",))
    source: str = "file"
    file: Annotated[Text, Meta(description="Name of the file.")] = ""
    package: Annotated[Text, Meta(description="Installed distribution that brings the file.")] = ""
    sha256: Hex = ""
    recipe: RecipeName = ""

    @property
    def place(self) -> str:
        """The name of the file, after that of the package where it is in one."""
        return f"{self.package}:{self.file}" if self.package else self.file

    @staticmethod
    def broken(given: Mapping[str, Any]) -> Iterator[Broken]:
        if "package" in given and "train" in given:
            yield ("package",), "goes with file, not with train", "remove it, or write file instead of train"


class NetworkTable(Table, frozen=True):
    """A network that scores (backbone) or is trained on subsets (arch)."""

    ONE_OF: ClassVar[tuple[Names, ...]] = (("timm",), ("provider", "model"))
    name: str
    timm: Annotated[Text, Meta(description="Model of timm: short for that model of the provider timm.")] = ""
    provider: Annotated[Text, Meta(description="Plugin that provides the network.")] = ""
    model: Annotated[Text, Meta(description="Name of the network there.")] = ""
    image_size: Annotated[int, Meta(ge=1, le=10_000, description="Side of the input in pixels.")] | None = None
    mean: Annotated[tuple[float, ...], Meta(description="Means of the channels; default: the data set's.")] = ()
    std: Annotated[tuple[float, ...], Meta(description="Standard deviations of the channels.")] = ()
    interpolation: Annotated[str, Meta(description="How images are resized.")] = ""
    dtype: Annotated[Dtype, Meta(description='Type in which a GPU computes features; "half": bfloat16 if it can.')] = (
        "float32"
    )
    kwargs: Annotated[Mapping[str, Any], Meta(description="Arguments of the network's constructor.")] = {}
    weights: Annotated[Literal["hub", "random"] | Weights, _WEIGHTS] = "random"
    control: Annotated[bool, Meta(description="Is it on the board only as a control?")] = False
    head: Annotated[
        Head, Meta(description='What predicts: its "own" head, or a linear one "fitted" to its features.')
    ] = "own"

    @staticmethod
    def broken(given: Mapping[str, Any]) -> Iterator[Broken]:
        mean, std = given.get("mean", ()), given.get("std", ())
        if mean is not None and std is not None and len(mean) != len(std):
            yield ("std",), f"expected one deviation per mean, got {len(std)} and {len(mean)}", "write both, or neither"


class Network(Struct, frozen=True):
    """A backbone or training architecture; `control` marks one that is on the board only as a control.
    head: "fitted" for predictions of cross-fitted linear heads on its features, in place of its own."""

    arch: Arch
    weights: Weights
    control: bool = False
    head: Head = "own"


def _rates_twice(given: Mapping[str, Any]) -> Iterator[Broken]:
    """Yield the settings at a rate that is there already, such as "0.90" after "0.9"."""
    rates = list(given.get("at") or {})
    for place, rate in enumerate(rates):
        if complement(rate) in map(complement, rates[:place]):
            yield ("at", rate), f"the pruning rate {rate} is there twice", "remove one"


class RecipeAtRate(Table, frozen=True):
    """Parameters of a recipe at one pruning rate; those that are not written here are the recipe's own."""

    params: Params = {}


class Recipe(Table, frozen=True):
    """How to train."""

    name: str  # once it is read, the rates of `at` are without trailing zeros
    learner: Annotated[Text, Meta(description="Plugin that trains.")]
    params: Params = {}
    at: Annotated[
        Mapping[_RateText, RecipeAtRate], Meta(description='Settings by pruning rate: [recipe.NAME.at."0.9"].')
    ] = {}
    teacher: Annotated[
        NetworkName, Meta(description="Network that teaches, for a learner that needs one: trained, or from a file.")
    ] = ""
    tolerance: Annotated[float, Meta(ge=0, le=1, description="Fraction by which repeats may differ.")] = 0.02

    def params_at(self, keep: str) -> Mapping[str, Any]:
        """Return the parameters where the fraction `keep` is kept, a decimal string."""
        return {**self.params, **self.at.get(complement(keep), RecipeAtRate()).params}

    @staticmethod
    def broken(given: Mapping[str, Any]) -> Iterator[Broken]:
        yield from _rates_twice(given)


class AtRate(Table, frozen=True):
    """Parameters of a method at one pruning rate; those that are not written are the method's own."""

    params: Params = {}
    selector_params: Params = {}


class Method(Table, frozen=True):
    """A row of the board: a scorer with parameters, and the selector that picks from its scores."""

    name: str  # once it is read, the rates of `at` are without trailing zeros
    scorer: Annotated[Text, Meta(description="Plugin that scores.")]
    params: Params = {}
    selector: Annotated[Text, Meta(description="Plugin that selects; default: the scorer's.")] = ""
    selector_params: Params = {}
    at: Annotated[Mapping[_RateText, AtRate], Meta(description='Settings by rate: [method.NAME.at."0.9"].')] = {}
    caveat: Annotated[str, Meta(pattern="^[^\n]{0,500}$", description="One line, printed beside the rows.")] = ""

    def at_keep(self, keep: str) -> Self:
        """Return the method with the parameters that it has where the fraction `keep` is kept."""
        own = self.at.get(complement(keep), AtRate())
        chosen = {**self.selector_params, **own.selector_params}
        return replace(self, params={**self.params, **own.params}, selector_params=chosen, at={})

    @staticmethod
    def broken(given: Mapping[str, Any]) -> Iterator[Broken]:
        yield from _rates_twice(given)


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
    dist: Annotated[Text, Meta(description="Distribution that declares it.")]
    version: Annotated[str, Meta(pattern=rf"^{_CLAUSE}(\s*,\s*{_CLAUSE})*$", description='Range, such as ">=1,<2".')]
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
                Requirement(text)
            except ValueError as error:
                yield ("environment", place), f"{text!r} is no requirement: {error}", "write PEP 508 requirements"
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
    protocol: Annotated[str, Meta(pattern=rf"^{_NAME}", description="Raised whenever numbers stop being comparable.")]
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
