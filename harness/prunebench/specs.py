"""What plugins declare: frozen, JSON-able, importable without torch."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from prunebench.errors import PluginContractError, UsageError, did_you_mean

API = 1  # raised when a plugin written for the number before would not find what it needs
OLDEST_API = 1  # plugins for this number and up to API work unchanged
EVIDENCE = frozenset({"features", "logits", "labels", "projection", "pseudo_labels", "dynamics", "gradients", "pixels"})
LEARNS_FROM = frozenset({"pixels", "features", "teacher"})
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]*")

ParamValue = bool | int | float | str | None


@dataclass(frozen=True, kw_only=True)
class Param:
    """One parameter of a method: its default, what it means, and which values it takes.
    The type of `default` is the type of the parameter (an int is accepted for a float); `minimum` and
    `maximum` are inclusive; `source` cites the paper or code that the default comes from."""

    default: ParamValue
    doc: str
    choices: tuple[ParamValue, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    unit: str = ""
    source: str = ""

    def problem(self, value: Any) -> str:
        """Return why `value` is not allowed, or an empty string."""
        if self.choices:
            return "" if value in self.choices else f"expected one of {', '.join(map(repr, self.choices))}"
        expected = type(self.default)
        if isinstance(value, int | float) and not abs(value) <= sys.float_info.max:  # NaN is no number either
            return "expected a finite number"
        if expected is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if self.default is not None and type(value) is not expected:
            return f"expected {expected.__name__}, got {type(value).__name__}"
        if self.minimum is not None and value is not None and value < self.minimum:
            return f"expected at least {self.minimum}"
        if self.maximum is not None and value is not None and value > self.maximum:
            return f"expected at most {self.maximum}"
        return ""


@dataclass(frozen=True, kw_only=True)
class PluginSpec:
    """What every kind of plugin declares.
    name: unique slug within its kind.  summary: one sentence.  load: "module:object", imported only where
    work is done.  params: name to `Param`.  version: default is a digest of the code that `load`
    reaches; set it, and raise it, where results follow from more than code, such as a file that ships with the plugin.
    paper: citation.  differences: where the paper and its released code part, and which is followed here.
    licence: SPDX of the implementation.  api: the number of the plugin API it is written for; a plugin that
    does not say is taken for one of the first."""

    kind: ClassVar[str] = "plugin"

    name: str
    summary: str
    load: str
    params: Mapping[str, Param] = field(default_factory=dict)
    version: str = ""
    paper: str = ""
    differences: str = ""
    licence: str = "MIT"
    api: int = 1

    def __init_subclass__(cls) -> None:
        if PluginSpec in cls.__bases__:  # a subclass that somebody else makes keeps the kind
            cls.kind = cls.__name__.removesuffix("Spec").lower()

    def __post_init__(self) -> None:
        if not _SLUG.fullmatch(self.name):
            text = f"{self.kind} name {self.name!r} is not a slug"
            raise PluginContractError(text, "use lower-case letters, digits, '-' and '_'")
        for name in ("load", "labeller", "pictures", "uses"):
            target = getattr(self, name, "")
            fits = ":" in target or (not target and name != "load")
            self._check(fits, f"{name} = {target!r} names no object", 'write "module:object"')
        for name in {"params", "selector_params", "check_params"} & {*vars(self)}:
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def _check(self, holds: bool, text: str, hint: str) -> None:
        if not holds:
            raise PluginContractError(f"{self.kind} {self.name!r}: {text}", hint)

    def resolve_params(self, given: Mapping[str, Any]) -> dict[str, ParamValue]:
        """Return all parameters, defaults filled in.
        Raises UsageError for an unknown name (with the nearest known one) or a value out of range."""
        for name, value in given.items():
            if name not in self.params:
                text = f"{self.kind} {self.name!r} has no parameter {name!r}"
                raise UsageError(text, did_you_mean(name, self.params))
            if problem := self.params[name].problem(value):
                raise UsageError(f"{self.kind} {self.name!r}: {name} = {value!r}: {problem}", self.params[name].doc)
        values = {**{name: param.default for name, param in self.params.items()}, **given}
        return {n: float(v) if isinstance(self.params[n].default, float) else v for n, v in values.items()}


@dataclass(frozen=True, kw_only=True)
class ScorerSpec(PluginSpec):
    """A data-pruning method: evidence to one number per sample, higher = keep first, or an order.
    `load` is a function `score(ctx: ScoreContext) -> ndarray[n] | Scores`.
    needs: the evidence that it reads.  stochastic: the result depends on the seed (beyond the projection).
    budget_dependent: the score depends on the budget, so subsets of two budgets need not be nested.
    greedy: it picks one sample after another, and the budget only says where it stops: what a smaller budget keeps are
    the first picks of a larger one.  output: "scores" float64[n], higher = keep first, or "order" int64[n], best first.
    cost: growth with n.  selector, selector_params: how the method picks from its scores by default.
    favours: what it prefers on a planted set.
    family: what kind of method it is, for the board to group and filter by, one word or a few with hyphens: "random",
    "geometric", "topological", "submodular", "dynamics", "gradient", "uncertainty", or one of your own.
    projection_rows: name of the parameter that says which samples are projected, "all" or "classified" (those that the
    backbone predicts as labelled; the rows of the others are NaN in `ctx.projection`); empty: all of them.
    labeller: "module:object" of a function `label(ctx: ScoreContext) -> ndarray[n]` that makes pseudo-labels, int64
    from 0, out of the other evidence; for scorers that need "pseudo_labels". Their training dynamics are those of a
    proxy run that learns the pseudo-labels in place of the labels.
    check_params: parameters under which `prunebench check` runs it, where the defaults are sized for large sets.
    gpu: it computes on `ctx.device`, and is quicker on a GPU; others run on the processor, beside what needs a GPU."""

    needs: frozenset[str] = frozenset()
    stochastic: bool = False
    budget_dependent: bool = False
    greedy: bool = False
    output: Literal["scores", "order"] = "scores"
    cost: Literal["n", "n log n", "n^2"] = "n log n"
    min_samples: int = 1
    favours: Literal["", "easy", "hard", "diverse", "clean"] = ""
    family: str = ""
    selector: str = "class_top"
    selector_params: Mapping[str, ParamValue] = field(default_factory=dict)
    projection_rows: str = ""
    labeller: str = ""
    check_params: Mapping[str, ParamValue] = field(default_factory=dict)
    gpu: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = not self.family or _SLUG.fullmatch(self.family) is not None
        self._check(fits, f"family = {self.family!r} is not a slug", "use lower-case letters, digits, '-' and '_'")
        unknown = sorted(self.needs - EVIDENCE)
        self._check(not unknown, f"needs has unknown evidence {unknown}", "known: " + ", ".join(sorted(EVIDENCE)))
        given, stated = bool(self.labeller), f"labeller = {self.labeller!r}"
        text = f"needs has {'no ' if given else ''}'pseudo_labels', and {stated}"
        hint = 'one asks for the other: needs = {"pseudo_labels", ...} and labeller = "module:object"'
        self._check(given == ("pseudo_labels" in self.needs), text, hint)
        # The version of the scorer is a digest of its package: it has to cover the labels as well.
        packages = {target.partition(":")[0].partition(".")[0] for target in (self.labeller, self.load) if target}
        text = f"{stated} is in another package than load = {self.load!r}"
        hint = "move it there, or give the spec a version that changes with both"
        self._check(len(packages) == 1 or bool(self.version), text, hint)
        name, param = self.projection_rows, self.params.get(self.projection_rows)
        sound = param is not None and "projection" in self.needs and set(param.choices) == {"all", "classified"}
        text = f"projection_rows = {name!r} is not the name of a parameter with the choices 'all' and 'classified'"
        hint = f'add params = {{"{name}": Param(default="all", choices=("all", "classified"), ...)}}'
        self._check(not name or sound, f"{text} of a scorer that needs 'projection'", hint)

    @property
    def label_needs(self) -> frozenset[str]:
        """The evidence that the labeller reads: what the scorer needs and what is there without pseudo-labels."""
        return self.needs - {"pseudo_labels", "dynamics"}


@dataclass(frozen=True, kw_only=True)
class ProjectorSpec(PluginSpec):
    """features[n, d] to float32[n, k]; `load` is `project(ctx: ProjectContext) -> ndarray`.
    gpu: it computes on `ctx.device`, and is quicker on a GPU."""

    stochastic: bool = True
    min_samples: int = 1
    gpu: bool = False


@dataclass(frozen=True, kw_only=True)
class SelectorSpec(PluginSpec):
    """Scores and a budget to that many sorted indices; `load` is `select(ctx: SelectContext) -> ndarray`.
    stochastic: the choice itself draws random numbers (ties are broken by the harness, not here).
    order: how its budgets nest, so that 5 % is inside 10 %: "all" takes the best of one ranking, "class" takes each
    class in proportion to its size; empty for rules, such as strata, under which a larger budget may leave out what a
    smaller one keeps."""

    stochastic: bool = False
    order: Literal["", "all", "class"] = ""


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(PluginSpec):
    """Images, labels and stable ids; `load` is `load(ctx: DataContext) -> Dataset`."""

    image_licence: str = ""
    n_classes: int = 0
    obtain: str = ""


@dataclass(frozen=True, kw_only=True)
class BackboneSpec(PluginSpec):
    """A provider of networks; `load` is an object with `build(...)` and `embed(...)` (see contexts.Backbone).
    check_model: name of a small model that takes images of any size, under which `prunebench check` runs it.
    pictures: "module:object" of a function `open(ctx: PictureContext) -> PictureNetwork`, for a person's own pictures;
    empty where there is none.  The version of the spec does not cover it: stored features have one of their own."""

    check_model: str = ""
    pictures: str = ""


@dataclass(frozen=True, kw_only=True)
class LearnerSpec(PluginSpec):
    """Subset to trained model; `load` is `train(ctx: TrainContext) -> TrainResult`.
    needs: "pixels" to train a network on images, "features" to train on frozen features of the arch, and "teacher" for
    `ctx.teacher`, a network that was trained on the whole training set: the recipe names it.
    stochastic: the trained model depends on the seed.  Seeds of a learner that says False are one observation.
    uses: "module:object" in the package of another plugin, which the learner gets as `ctx.used`: packages of plugins do
    not import each other.  Its code is part of the version, as that of `load` is.
    check_params: parameters under which `prunebench check` runs it, where the defaults are sized for large sets."""

    needs: frozenset[str] = frozenset({"pixels"})
    stochastic: bool = True
    uses: str = ""
    check_params: Mapping[str, ParamValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = sorted(self.needs - LEARNS_FROM)
        self._check(not unknown, f"needs has unknown inputs {unknown}", "known: " + ", ".join(sorted(LEARNS_FROM)))


@dataclass(frozen=True, kw_only=True)
class ExecutorSpec(PluginSpec):
    """Where tasks run; `load` is a factory of an object with the Executor protocol, called with (settings, slots, log
    folder) and the parameters by name.
    slots: for an executor that finds devices by itself, on other machines too: how many tasks it takes at a time where
    nobody says.  Its slots are then "cpu", and "cuda" where its parameter `gpus` is above 0.  0: it runs on the devices
    of this machine, and each slot names one."""

    slots: int = 0


@dataclass(frozen=True, kw_only=True)
class MetricSpec(PluginSpec):
    """An extra column of the board; `load` is `measure(cells: Sequence[CellRecord]) -> float | None`.
    scope: "cell" is called with the finished cells of one method at one pruning rate under one training and one
    seed, and the board prints the mean over seeds.  "method" is called once per seed with those of all pruning rates
    and of the unpruned set.  label: the head of the column.  higher_is_better: which end is good.  A function that
    returns None leaves a hole; one that raises is reported by name, and the board is written without its column."""

    scope: Literal["cell", "method"] = "cell"
    label: str = ""
    higher_is_better: bool = True
