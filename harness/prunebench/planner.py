"""The tasks of one suite: every stage described by all that determines its result. Pure, without data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from prunebench.errors import UsageError
from prunebench.keys import digest, seed_for
from prunebench.plugins import Catalogue, Entry
from prunebench.records import complement
from prunebench.registry import Method, Registry, Suite, without_noise
from prunebench.registry.model import Pair
from prunebench.specs import ScorerSpec
from prunebench.tasks import Task

T = TypeVar("T")
BASE_SEED = 0  # of all seeds; another one is another protocol


def described(entry: Entry[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyed description of a plugin: its name, all of its parameters and its version."""
    spec = entry.spec
    return {"kind": spec.kind, "name": spec.name, "params": spec.resolve_params(given), "version": entry.version}


@dataclass(frozen=True)
class Contents:
    """What files hold, by the names of the registry: fingerprints of data sets, and SHA-256 of weights.
    half: the type in which this machine computes networks that ask for half precision, "" where it does not."""

    datasets: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    half: str = ""


@dataclass(frozen=True)
class Planner:
    """Builds the tasks of one suite; equal stages are the same object, so a plan of many cells stays small."""

    registry: Registry
    catalogue: Catalogue
    suite: Suite
    contents: Contents = Contents()
    _memo: dict[str, Task] = field(default_factory=dict, repr=False)
    _parts: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False)  # what many tasks have in common

    @property
    def fingerprint(self) -> str:
        """The content of the suite's data; raises UsageError where it is neither registered nor computed."""
        entry = self.registry.datasets[self.suite.dataset]
        found = self.contents.datasets.get(entry.name) or entry.fingerprint
        if not found:
            text = f"data set {entry.name!r} has no fingerprint in the registry, and its content was not looked at"
            raise UsageError(text, "give the folder that holds it with --data DIR")
        return found

    def _once(self, name: tuple[Any, ...], make: Callable[[], T]) -> T:
        """Return what was made under this name before, or make it."""
        if name not in self._parts:
            self._parts[name] = make()
        found: T = self._parts[name]
        return found

    def _on_data(self, stage: str, config: Mapping[str, Any], upstream: Mapping[str, Task], **where: str) -> Task:
        """Return a task that reads the data set: its content is in the key, its place is not."""
        locators = {"dataset": self._once(("dataset",), self._place_of_data), **where}
        task = Task(stage, {"dataset": {"fingerprint": self.fingerprint}, **config}, upstream, locators)
        return self._memo.setdefault(task.key, task)

    def _place_of_data(self) -> dict[str, Any]:
        entry = self.registry.datasets[self.suite.dataset]
        params = self.catalogue.dataset(entry.spec).spec.resolve_params(entry.params)
        per_class = [entry.train_per_class, entry.test_per_class]
        return {"name": entry.name, "spec": entry.spec, "params": params, "per_class": per_class}

    def plugin(self, entry: Entry[Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keyed description of a plugin, as `described` does, once for each of its parameters."""
        name = ("plugin", entry.spec.kind, entry.spec.name, *map(repr, given.items()))
        return self._once(name, lambda: described(entry, given))

    def arch(self, name: str, half: str = "") -> dict[str, Any]:
        """Return the keyed description of a network: everything but the name that it has here.  half: the type for half
        precision where the network embeds on a GPU; training and other devices take no notice of it."""
        return self._once(("arch", name, half), lambda: self._arch(name, half))

    def _arch(self, name: str, half: str) -> dict[str, Any]:
        arch = self.registry.networks[name].arch
        described = {key: value for key, value in asdict(arch).items() if key not in ("name", "provider")}
        described["dtype"] = {"half": half}.get(arch.dtype, arch.dtype) if half else "float32"
        return {**described, "plugin": self.plugin(self.catalogue.backbone(arch.provider), {})}

    def recipe(self, name: str, keep: str = "1") -> dict[str, Any]:
        """Return the keyed description of a training recipe where the fraction `keep` is kept."""
        recipe = self.registry.recipes[name]
        return self.plugin(self.catalogue.learner(recipe.learner), recipe.params_at(keep))

    def pretrain(self, arch: str, recipe: str, replicate: int, labels: Task | None = None) -> Task:
        """Train `arch` on the whole training set, keeping its weights and its training dynamics.  replicate: of how
        many networks trained here, which one.  labels: pseudo-labels in place of the labels."""
        if self.registry.recipes[recipe].teacher:
            text = f"recipe {recipe!r} has a teacher, and trains network {arch!r} on the whole training set"
            raise UsageError(text, "a teacher is for trainings on subsets: choose another recipe for this network")
        drawn = _drawn(True, "pretrain", arch=arch, recipe=recipe, replicate=replicate)
        config = {"arch": self.arch(arch), "recipe": self.recipe(recipe), **drawn}
        return self._on_data("pretrain", config, {"pseudo_labels": labels} if labels else {})

    def features(self, name: str, seed: int = 0) -> Task:
        """Embed the data set with a registered network; `seed` chooses among the networks that are trained here, and
        draws the noise where `name` is that of a backbone under noise."""
        name, level = without_noise(name)
        source, upstream, where = self._weights(name, seed)
        head = self.registry.networks[name].head
        fitted = {} if head == "own" else {"head": head}
        config = {"arch": self.arch(name, self.contents.half), "weights": source, **fitted}
        clean = self._on_data("features", config, upstream, **where)
        if not level:
            return clean
        # The levels share their draw, so that they differ in nothing else.
        return self._on_data(
            "noise", {**config, "noise": level, **_drawn(True, "noise", backbone=name, seed=seed)}, {"features": clean}
        )

    def _weights(self, name: str, seed: int) -> tuple[dict[str, Any], dict[str, Task], dict[str, str]]:
        """Return the keyed description of a network's weights, the task that trains them, and where a file of them is
        found; the last two where there is one."""
        weights, replicate = self.registry.networks[name].weights, seed % self.suite.backbone_seeds
        source: dict[str, Any] = {"source": weights.source}
        if weights.source == "file":
            source["sha256"] = self.contents.weights.get(weights.place) or weights.sha256
            return source, {}, {"weights_file": weights.file, "weights_package": weights.package}
        if weights.source == "trained":
            return source, {"weights": self.pretrain(name, weights.recipe, replicate)}, {}
        if weights.source == "random":
            source |= _drawn(True, "random-weights", arch=name, replicate=replicate)
        return source, {}, {}

    def projection(self, backbone: str, projector: str, seed: int, rows: str) -> Task:
        """Project the features of a backbone: those of all samples, or of those that it classifies as labelled."""
        entry, features = self.catalogue.projector(projector), self.features(backbone, seed)
        drawn = _drawn(entry.spec.stochastic, "projection", backbone=backbone, seed=seed)
        config = {"plugin": self.plugin(entry, {}), "rows": rows, **drawn}
        return self._on_data("projection", config, {"features": features})

    def scores(self, method: Method, backbone: str, projector: str, keep: str, seed: int) -> Task:
        """Score every training sample by a method."""
        entry = self.catalogue.scorer(method.scorer)
        seen = ("scores", method.scorer, backbone, projector, keep if entry.spec.budget_dependent else "", seed)
        params = map(repr, method.params.items())
        return self._once((*seen, *params), lambda: self._scores(entry, method, backbone, projector, keep, seed))

    def _scores(
        self, entry: Entry[ScorerSpec], method: Method, backbone: str, projector: str, keep: str, seed: int
    ) -> Task:
        spec, described = entry.spec, self.plugin(entry, method.params)
        upstream: dict[str, Task] = {}
        if spec.needs & {"features", "logits", "gradients"}:
            upstream["features"] = self.features(backbone, seed)
        if "projection" in spec.needs:
            rows = str(described["params"][spec.projection_rows]) if spec.projection_rows else "all"
            upstream["projection"] = self.projection(backbone, projector, seed, rows)
        seeds = {"scorer": method.scorer, "backbone": backbone, "projector": projector, "seed": seed}
        if spec.labeller:
            config = {"plugin": described, **_drawn(True, "pseudo-labels", **seeds)}
            upstream["pseudo_labels"] = self._on_data("pseudo_labels", config, {**upstream})
        if "dynamics" in spec.needs:
            upstream["proxy"] = self._proxy(method, upstream.get("pseudo_labels"), seed)
        budget = {"keep": keep} if spec.budget_dependent else {}
        config = {"plugin": described, **budget, **_drawn(spec.stochastic, "scores", **seeds)}
        return self._on_data("scores", config, upstream)

    def _proxy(self, method: Method, labels: Task | None, seed: int) -> Task:
        if self.suite.proxy is None:
            text = f"method {method.name!r} reads training dynamics, and suite {self.suite.name!r} has no proxy run"
            raise UsageError(text, f"add proxy = {{ arch = ..., recipe = ... }} to [suite.{self.suite.name}]")
        return self.pretrain(self.suite.proxy.arch, self.suite.proxy.recipe, seed % self.suite.proxy_seeds, labels)

    def subset(self, method: Method, backbone: str, projector: str, keep: str, seed: int) -> Task:
        """Select by the scores of a method."""
        selector, given = self.selector(method)
        scores = self.scores(method, backbone, projector, keep, seed)
        drawn = _drawn(True, "select", method=method.name, backbone=backbone, projector=projector, seed=seed)
        config = {"plugin": self.plugin(selector, given), "keep": keep, **drawn}
        return self._on_data("subset", config, {"scores": scores})

    def cell(self, method: Method, backbone: str, projector: str, keep: str, training: Pair, seed: int) -> Task:
        """Train on what a method keeps."""
        arch, recipe = training.arch, training.recipe
        learner = self.catalogue.learner(self.registry.recipes[recipe].learner).spec
        upstream = {"subset": self.subset(method, backbone, projector, keep, seed)}
        if "features" in learner.needs:
            upstream["arch_features"] = self.features(arch)
        # The method is left out on purpose: all methods train from the same start, so differences pair.
        drawn = _drawn(learner.stochastic, "train", arch=arch, recipe=recipe, seed=seed)
        config = {"arch": self.arch(arch), "recipe": self.recipe(recipe, keep), "keep": keep, **drawn}
        taught, teachers, where = self._teacher(recipe, seed)
        return self._on_data("cell", {**config, **taught}, {**upstream, **teachers}, **where)

    def _teacher(self, name: str, seed: int) -> tuple[dict[str, Any], dict[str, Task], dict[str, str]]:
        """Return what a recipe adds to the configuration, the inputs and the locators of a cell: its teacher, and the
        digest of all of it where the description of one pruning rate does not say it."""
        recipe = self.registry.recipes[name]
        needs = self.catalogue.learner(recipe.learner).spec.needs
        if recipe.teacher and "teacher" not in needs:
            text = f"recipe {name!r} names a teacher, and its learner {recipe.learner!r} needs none"
            raise UsageError(text, "remove it, or choose a learner that needs one")
        if "teacher" in needs and not recipe.teacher:
            text = f"recipe {name!r} names no teacher, and its learner {recipe.learner!r} needs one"
            hint = f'add teacher = "NETWORK" to [recipe.{name}]: one of [backbone] that was trained on the data set'
            raise UsageError(text, hint)
        rates = {rate: self.recipe(name, complement(rate)) for rate in sorted(recipe.at)}
        if not recipe.teacher:
            return ({"recipe_digest": digest([self.recipe(name), rates])} if rates else {}), {}, {}
        source, upstream, where = self._weights(recipe.teacher, seed)
        if source["source"] not in ("trained", "file"):
            text = f"recipe {name!r}: the weights of its teacher {recipe.teacher!r} are {source['source']}"
            raise UsageError(text, "name a network with weights = { train = RECIPE } or { file = NAME }")
        teacher = self.arch(recipe.teacher)
        lasting = digest([self.recipe(name), rates, teacher, source])
        return {"teacher": teacher, "weights": source, "recipe_digest": lasting}, upstream, where

    def agreement(
        self, scores: Sequence[Task], method: Method, projector: str, sides: Sequence[tuple[str, int]]
    ) -> Task:
        """Compare two scores of the same samples, of one method from the backbones and seeds `sides`."""
        asked, upstream = self.suite.agreement, dict(zip("ab", scores, strict=True))
        for side, (backbone, seed) in zip("ab", sides, strict=True):
            # All budgets of the suite, whatever was filtered: the comparison is the same one.
            for keep in self.registry.suite(self.suite.name).keeps if "overlap" in asked.measures else ():
                upstream[f"{side}/kept/{keep}"] = self.subset(method.at_keep(keep), backbone, projector, keep, seed)
            for name in asked.given:
                upstream[f"{side}/given/{name}"] = self._given(name, backbone, seed)
        config = {"measures": sorted(asked.measures)} if asked.measures else {}
        return self._on_data("agreement", config, upstream)

    def _given(self, name: str, backbone: str, seed: int) -> Task:
        """Score by a method that others are compared given it; it has to read the features of a backbone alone."""
        method = self.registry.method(name)
        needs = self.catalogue.scorer(method.scorer).spec.needs
        if "projection" in needs or not needs & {"features", "logits", "gradients"}:
            text = f"suite {self.suite.name!r} compares scores given method {name!r}, which "
            text += "reads a projection" if "projection" in needs else "reads no backbone"
            raise UsageError(text, "name methods that read features, such as densities")
        return self.scores(method, backbone, "-", "", seed)

    def selector(self, method: Method) -> tuple[Entry[Any], dict[str, Any]]:
        """Return the selector of a method with its parameters: the method's own, else its scorer's."""
        given = map(repr, method.selector_params.items())
        return self._once(("selector", method.scorer, method.selector, *given), lambda: self._selector(method))

    def _selector(self, method: Method) -> tuple[Entry[Any], dict[str, Any]]:
        spec = self.catalogue.scorer(method.scorer).spec
        entry = self.catalogue.selector(method.selector or spec.selector)
        given = dict(method.selector_params) if method.selector else {**spec.selector_params, **method.selector_params}
        return entry, entry.spec.resolve_params(given)


def _drawn(stochastic: bool, stage: str, **axes: Any) -> dict[str, int]:
    # The first of several networks has the seed that it would have alone: what was computed stays.
    named = {axis: value for axis, value in axes.items() if (axis, value) != ("replicate", 0)}
    return {"seed": seed_for(stage, BASE_SEED, **named)} if stochastic else {}
