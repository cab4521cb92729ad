"""`prunebench.prune(...)`: your own data in, what to keep out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import silent
from prunebench.errors import UsageError
from prunebench.keys import digest
from prunebench.plugins import Catalogue, Entry
from prunebench.pruning.assurance import Assurance, across, assure, with_probabilities
from prunebench.pruning.choose import budgets_of, named_budget
from prunebench.pruning.evidence import check_reads_labels, check_reads_no_pixels
from prunebench.pruning.flow import Outcome, Wanted, prune_features
from prunebench.pruning.gathering import Given, Machine, gather
from prunebench.pruning.progress import Progress, part
from prunebench.pruning.scoring import Method
from prunebench.pruning.search import Search, check_search
from prunebench.pruning.selecting import Balance, Choice
from prunebench.pruning.source import Source
from prunebench.registry import registry_for_own_data
from prunebench.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from prunebench.pruning.subset import Subset


@dataclass(frozen=True)
class Pruned:
    """What is kept of your data, and why.

    outcome: everything in the order of the input.  assurance: proof and stability.  manifest: all that is needed to
    repeat it, JSON-able.  store: where the thumbnails of the report are remembered."""

    outcome: Outcome
    assurance: Assurance
    manifest: Mapping[str, Any]
    store: Store | None = None

    @property
    def indices(self) -> NDArray[np.int64]:
        """The kept places at the first budget, int64, sorted: indices into the array, table, list or data set that was
        given, whatever was skipped of it (`dataset.select(pruned.indices)` of Hugging Face).  A folder has no order of
        its own, and there they count its readable samples: use `ids`."""
        return self.at()

    @property
    def ids(self) -> list[str]:
        """The kept ids at the first budget, in the order of the input."""
        return [self.outcome.source.ids[row] for row in self.outcome.indices()]

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """The score of each place that `indices` count, float64 [n], higher is kept first; NaN for what was skipped and
        for removed near-duplicates."""
        source = self.outcome.source
        found: NDArray[np.float64] = self.ledger["score"].to_numpy(dtype=np.float64)[: len(source)]
        if source.positions is None or source.size is None:
            return found
        placed = np.full(source.size, np.nan)
        placed[source.positions] = found
        return placed

    @property
    def ledger(self) -> pd.DataFrame:
        """One row per sample of the input: see docs/own-data.md for its columns."""
        return self.outcome.ledger

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know, one sentence each."""
        return self.outcome.notes

    def at(self, keep: str | float | None = None) -> NDArray[np.int64]:
        """Return the kept places at one of the budgets that were asked for, by default the first; see `indices`."""
        rows = self.outcome.indices(named_budget(keep, self.outcome.kept))
        positions = self.outcome.source.positions
        return rows if positions is None else positions[rows]

    def subset(self, dataset: Any, keep: str | float | None = None) -> Subset:
        """Return the kept samples of your own torch data set, as `prunebench.Subset` does."""
        from prunebench.pruning.subset import Subset

        return Subset(dataset, self, keep)

    def save(self, folder: str | Path, form: str = "csv") -> dict[str, Path]:
        """Write kept samples, ledger, manifest and report to a folder; return the files by what they are."""
        from prunebench.pruning.output import write_folder

        if form not in ("csv", "parquet", "txt"):
            raise UsageError(f"no format is named {form!r}", "csv, parquet or txt")
        return write_folder(Path(folder), self.outcome, self.manifest, self.report(), form)  # type: ignore[arg-type]

    def report(self) -> str:
        """Return the page about it, HTML in one piece that needs no network."""
        from prunebench.pruning.report import render

        board = self.assurance.board
        return render(self.outcome, self.manifest, board_row=board.text() if board else "", store=self.store)


def prune(
    data: Any,
    labels: Any = None,
    keep: str | float | Sequence[str | float] = "0.1",
    *,
    method: str | Method = "",
    scorer: str = "",
    params: Mapping[str, Any] | None = None,
    selector: str = "",
    selector_params: Mapping[str, Any] | None = None,
    projector: str = "",
    balance: Balance = "",
    backbone: str | Sequence[str] = "",
    weights: str | Path | Sequence[str | Path] | None = None,
    seed: int = 0,
    protect: Iterable[str] = (),
    drop_duplicates: float | None = None,
    clusters: int | None = None,
    reference: Any = None,
    search: Search = "auto",
    prove: bool | None = None,
    ids: Sequence[str] | None = None,
    roots: Sequence[str | Path] = (),
    split: str | None = None,
    strict: bool = False,
    cache: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    executor: str = "",
    progress: Progress = silent,
) -> Pruned:
    """Choose what to keep of your own data.

    data: a data set of registry.toml by its name (its files in `roots`), a path (image folder, feature file, Hugging
    Face data set on disk, tar shards), an array of images uint8 [n, h, w, c] or of features [n, d], a torch Dataset or
    a Hugging Face data set.  labels: int [n], names, or a CSV file with columns id and label.  keep: one or several
    budgets; "0.1" is a fraction, 500 a number.  scorer, params, selector, projector: any installed plugin; by default
    those of [own-data] in registry.toml.  method: what `create_method` made, in place of scorer, params, projector and
    seed, or the name of a scorer.  balance: "class" or "none", by default as the method says.  backbone, weights: for
    data that are pictures, a network of the registry or a timm model, and a file of weights; or several, of which the
    first chooses, and the others tell how far the choice depends on it.  protect: ids that are
    always kept.  drop_duplicates: cosine from which near-duplicates are removed first.  clusters: pseudo-classes for
    data without labels.  reference: data such as a test set, of which near-duplicates are told.  search: how
    neighbours over all classes are searched: "exact", "clusters", "pynndescent" or "faiss"; by default exactly for
    small data, and near clusters otherwise.  prove: True for a proof and stability at any size, False for none; by
    default where they cost little beside the rest.  executor: where pictures are embedded, such as "local:slots=4",
    "ray" or "slurm"; by default in this process.  Raises UsageError and DataError with what to do about it."""
    from prunebench.plugins import load_plugins
    from prunebench.store import default_cache

    registry, catalogue = registry_for_own_data(), load_plugins()
    usual = registry.own_data
    if method and (scorer or (isinstance(method, Method) and (params or projector or seed))):
        text = "method says the scorer, and with create_method also its parameters, projector and seed"
        raise UsageError(text, "give method, or scorer, params, projector and seed")
    if not isinstance(method, Method):
        name, drawer = method or scorer or usual.scorer, projector or usual.projector
        method = Method(scorer=name, params=dict(params or {}), projector=drawer, seed=seed)
    choice = Choice(selector=selector, params=dict(selector_params or {}), balance=balance)
    wanted = Wanted(
        keep=budgets_of(keep), method=method, choice=choice, protect=tuple(map(str, protect)),
        drop_duplicates=drop_duplicates, clusters=clusters, search=search,
    )  # fmt: skip
    check_search(search)
    check_names(catalogue, wanted)
    given = Given(
        data=data, labels=labels, ids=ids, split=split, strict=strict, backbones=_several(backbone),
        weights=_several(weights), reference=reference, roots=tuple(map(str, roots)),
    )  # fmt: skip

    def check_labels(source: Source) -> None:
        labelled = source.labels is not None or clusters is not None
        check_reads_labels(catalogue.scorer(method.scorer).spec, labelled)

    folder = Path(cache or default_cache()).expanduser().absolute()
    machine = Machine(cache=folder, device=device, workers=workers, executor=executor)
    gathered = gather(given, machine, registry, catalogue, check_labels, part(progress, 0, 0.7))
    wanted = replace(wanted, reference=gathered.reference)
    outcome = prune_features(gathered.bench, gathered.source, wanted, part(progress, 0.7, 0.8))
    found = assure(gathered.bench, outcome, wanted, prove, part(progress, 0.8, 0.95))
    sources = {name: source for name, (source, _) in gathered.others.items()}
    found = replace(found, backbones=across(gathered.bench, outcome, wanted, sources, part(progress, 0.95, 1.0)))
    outcome = with_probabilities(outcome, found)
    facts = manifest_of(outcome, wanted, gathered.network, catalogue)
    facts["other_networks"] = {name: dict(known) for name, (_, known) in gathered.others.items()}
    return Pruned(outcome, found, {**facts, **found.as_json()}, gathered.bench.store)


def _several(given: Any) -> tuple[Any, ...]:
    """Return what was given for backbones or weights, of which there may be none, one or several."""
    return (given,) if isinstance(given, str | Path) and given != "" else tuple(given or ())


def manifest_of(outcome: Outcome, wanted: Wanted, network: Mapping[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    """Return what is needed to repeat a pruning and to see that it came out the same; no time and no place is in it."""
    from prunebench.provenance import versions

    method, choice, source = wanted.method, wanted.choice, outcome.source
    scorer = catalogue.scorer(method.scorer)
    selector = catalogue.selector(choice.selector or scorer.spec.selector)
    described: dict[str, Any] = {"scorer": _described(scorer, method.params), "seed": method.seed}
    if "projection" in scorer.spec.needs:
        described["projector"] = _described(catalogue.projector(method.projector), {})
    return {
        "schema": 1, "versions": {"prunebench": _version(), **versions()}, "network": dict(network),
        "data": {"title": source.title, "samples": len(source), "size": source.size, "skipped": len(source.skipped),
                 "picture_notes": {note: len(rows) for note, rows in source.noted().items()},
                 "classes": list(outcome.evidence.class_names), "reading": dict(source.settings),
                 "fingerprint": outcome.evidence.fingerprint, "ids": digest(list(source.ids))},
        "method": described,
        "choice": {"selector": selector.spec.name, "selector_named": bool(choice.selector),
                   "params": dict(choice.params), "balance": choice.balance,
                   "drop_duplicates": wanted.drop_duplicates, "reference": wanted.reference and wanted.reference.title,
                    "clusters": wanted.clusters,
                   "protected": list(wanted.protect), "nested": outcome.nested},
        "neighbours": outcome.like.as_json(),
        "keep": list(outcome.kept),
        "budgets": {keep: {"samples": len(outcome.indices(keep)), "ids": digest([source.ids[row] for row in
                    outcome.indices(keep)])} for keep in outcome.kept},
        "notes": list(outcome.notes),
    }  # fmt: skip


def _described(entry: Entry[Any], params: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": entry.spec.name, "params": entry.spec.resolve_params(params), "version": entry.version,
            "dist": str(entry.origin)}  # fmt: skip


def _version() -> str:
    from prunebench import __version__

    return __version__


def check_names(catalogue: Catalogue, wanted: Wanted) -> None:
    """Raise UsageError for a name or a parameter that is unknown, before anything is read."""
    spec = catalogue.scorer(wanted.method.scorer).spec
    check_reads_no_pixels(spec)
    spec.resolve_params(wanted.method.params)
    if "projection" in spec.needs:
        catalogue.projector(wanted.method.projector)
    choice = wanted.choice
    catalogue.selector(choice.selector or spec.selector).spec.resolve_params(choice.params)
    if wanted.drop_duplicates is not None and not 0 < wanted.drop_duplicates <= 1:
        raise UsageError(f"drop_duplicates = {wanted.drop_duplicates:g} is no cosine in (0, 1]", "0.95 is usual")
