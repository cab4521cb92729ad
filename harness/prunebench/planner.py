"""The tasks of one suite: every stage described by all that determines its result. Pure, without data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from prunebench.contexts import Arch
from prunebench.errors import UsageError
from prunebench.keys import seed_for
from prunebench.plugins import Catalogue, Entry
from prunebench.registry import Method, Network, Registry, Suite
from prunebench.specs import ScorerSpec
from prunebench.tasks import Task


@dataclass(frozen=True)
class Planner:
    """Builds the tasks of one suite; equal stages are the same object, so a plan of many cells stays small."""

    registry: Registry
    catalogue: Catalogue
    suite: Suite
    base_seed: int = 0
    _memo: dict[tuple[Any, ...], Task] = field(default_factory=dict, repr=False)

    def _once(self, name: tuple[Any, ...], build: Callable[[], Task]) -> Task:
        if name not in self._memo:
            self._memo[name] = build()
        return self._memo[name]

    def dataset(self) -> dict[str, Any]:
        """Return the keyed description of the suite's data set."""
        entry = self.registry.datasets[self.suite.dataset]
        plugin = self.catalogue.dataset(entry.spec)
        return {
            "name": entry.name,
            "spec": entry.spec,
            "params": plugin.spec.resolve_params(entry.params),
            "fingerprint": entry.fingerprint,
        }

    def arch(self, arch: Arch) -> dict[str, Any]:
        """Return the keyed description of a network: everything but the name that it has here."""
        provider = self.catalogue.backbone(arch.provider)
        described = {key: value for key, value in asdict(arch).items() if key != "name"}
        described["provider_version"] = provider.version
        return described

    def recipe(self, name: str) -> dict[str, Any]:
        """Return the keyed description of a training recipe."""
        recipe = self.registry.recipes[name]
        learner = self.catalogue.learner(recipe.learner)
        return {
            "learner": recipe.learner,
            "params": learner.spec.resolve_params(recipe.params),
            "version": learner.version,
        }

    def pretrain(self, arch: Arch, recipe: str) -> Task:
        """Train `arch` on the whole training set, keeping its weights and its training dynamics."""
        return self._once(
            ("pretrain", arch.name, recipe),
            lambda: Task(
                "pretrain",
                {
                    "dataset": self.dataset(),
                    "arch": self.arch(arch),
                    "recipe": self.recipe(recipe),
                    "seed": seed_for("pretrain", self.base_seed, arch=arch.name, recipe=recipe),
                },
            ),
        )

    def features(self, name: str) -> Task:
        """Embed the data set with a registered network."""
        return self._once(("features", name), lambda: self._features(self.registry.networks[name]))

    def _features(self, network: Network) -> Task:
        weights = network.weights
        upstream, locators = {}, {}
        source: dict[str, Any] = {"source": weights.source}
        if weights.source == "file":
            source["sha256"], locators = weights.sha256, {"weights_file": weights.file}
        elif weights.source == "trained":
            upstream = {"weights": self.pretrain(network.arch, weights.recipe)}
        elif weights.source == "random":
            source["seed"] = seed_for("random-weights", self.base_seed, arch=network.arch.name)
        config = {"dataset": self.dataset(), "arch": self.arch(network.arch), "weights": source}
        return Task("features", config, upstream, locators)

    def projection(self, backbone: str, projector: str, seed: int) -> Task:
        """Project the features of a backbone."""
        entry = self.catalogue.projector(projector)
        replicate = seed if entry.spec.stochastic else 0
        config: dict[str, Any] = {
            "projector": projector,
            "params": entry.spec.resolve_params({}),
            "version": entry.version,
        }
        if entry.spec.stochastic:
            config["seed"] = seed_for("projection", self.base_seed, backbone=backbone, seed=replicate)
        return self._once(
            ("projection", backbone, projector, replicate),
            lambda: Task("projection", config, {"features": self.features(backbone)}),
        )

    def scores(self, method: Method, backbone: str, projector: str, keep: str, seed: int) -> Task:
        """Score every training sample by a method."""
        entry = self.catalogue.scorer(method.scorer)
        spec = entry.spec
        upstream: dict[str, Task] = {}
        if spec.needs & {"features", "logits", "gradients"}:
            upstream["features"] = self.features(backbone)
        if "projection" in spec.needs:
            upstream["projection"] = self.projection(backbone, projector, seed)
        seeds = {"scorer": method.scorer, "backbone": backbone, "projector": projector, "seed": seed}
        pseudo_labels = self._pseudo_labels(method, upstream, seeds) if spec.labeller else None
        if pseudo_labels:
            upstream["pseudo_labels"] = pseudo_labels
        if "dynamics" in spec.needs:
            upstream["dynamics"] = self._proxy(method, pseudo_labels)
        config: dict[str, Any] = {
            "dataset": self.dataset(),
            "scorer": method.scorer,
            "params": spec.resolve_params(method.params),
            "version": entry.version,
        }
        if spec.budget_dependent:
            config["keep"] = keep
        if spec.stochastic:
            config["seed"] = seed_for("scores", self.base_seed, **seeds)
        task = Task("scores", config, upstream)
        return self._memo.setdefault(("scores", task.key), task)

    def _pseudo_labels(self, method: Method, upstream: Mapping[str, Task], seeds: Mapping[str, Any]) -> Task:
        """Label every training sample by the labeller of a method."""
        entry = self.catalogue.scorer(method.scorer)
        config = {
            "dataset": self.dataset(),
            "scorer": method.scorer,
            "params": entry.spec.resolve_params(method.params),
            "version": entry.version,
            "seed": seed_for("pseudo-labels", self.base_seed, **seeds),
        }
        task = Task("pseudo_labels", config, dict(upstream))
        return self._memo.setdefault(("pseudo_labels", task.key), task)

    def _proxy(self, method: Method, pseudo_labels: Task | None) -> Task:
        if self.suite.proxy is None:
            raise UsageError(
                f"method {method.name!r} reads training dynamics, and suite {self.suite.name!r} has no proxy run",
                f"add proxy = {{ arch = ..., recipe = ... }} to [suite.{self.suite.name}]",
            )
        arch, recipe = self.suite.proxy
        plain = self.pretrain(self.registry.networks[arch].arch, recipe)
        if pseudo_labels is None:
            return plain
        return self._once(
            ("pretrain", arch, recipe, pseudo_labels.key),
            lambda: Task("pretrain", plain.config, {"pseudo_labels": pseudo_labels}),
        )

    def cell(
        self, method: Method, backbone: str, projector: str, keep: str, training: tuple[str, str], seed: int
    ) -> Task:
        """Select by the scores of a method and train on what is kept."""
        arch, recipe = training
        selector, params = self.selector(method)
        learner = self.catalogue.learner(self.registry.recipes[recipe].learner)
        upstream = {"scores": self.scores(method, backbone, projector, keep, seed)}
        if "features" in learner.spec.needs:
            upstream["arch_features"] = self.features(arch)
        axes = {"method": method.name, "backbone": backbone, "projector": projector, "seed": seed}
        config = {
            "dataset": self.dataset(),
            "selector": selector.spec.name,
            "selector_params": params,
            "selector_version": selector.version,
            "keep": keep,
            "select_seed": seed_for("select", self.base_seed, **axes),
            "arch": self.arch(self.registry.networks[arch].arch),
            "recipe": self.recipe(recipe),
            # The method is left out on purpose: all methods train from the same start, so differences pair.
            "train_seed": seed_for("train", self.base_seed, arch=arch, recipe=recipe, seed=seed),
        }
        return Task("cell", config, upstream)

    def selector(self, method: Method) -> tuple[Entry[Any], dict[str, Any]]:
        """Return the selector of a method with its parameters: the method's own, else its scorer's."""
        spec: ScorerSpec = self.catalogue.scorer(method.scorer).spec
        entry = self.catalogue.selector(method.selector or spec.selector)
        given = dict(method.selector_params) if method.selector else {**spec.selector_params, **method.selector_params}
        return entry, entry.spec.resolve_params(given)
