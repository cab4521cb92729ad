"""Published tables beside our records: equal data set, network and share kept, or no comparison at all."""

import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pandas as pd
from msgspec import UNSET

from prunebench.board.cells import METHOD, SECTION, TRAINING, WHOLE, groups, label
from prunebench.board.facts import command_of
from prunebench.board.grid import TABLE, Grid
from prunebench.board.published import Number, Published, PublishedRecipe, PublishedTable
from prunebench.board.table import Board
from prunebench.records import CellRecord, complement
from prunebench.registry import Registry, Suite
from prunebench.stats import Interval, mean_intervals
from prunebench.stats.unpaired import Sample, difference, samples

NOT_RUN, NO_METHOD, NO_NUMBER = "not run", "no method of ours", "not published"


class Measured(NamedTuple):
    """What our seeds say of one method at one pruning rate; iterations: of one training, None if not known.
    caveat: what is said against the records."""

    interval: Interval
    sample: Sample
    iterations: int | None
    caveat: str


class Trained(NamedTuple):
    """One method under one training of one suite, by pruning rate."""

    place: dict[str, Any]
    label: str
    rates: dict[str, Measured]


class CellView(NamedTuple):
    """One cell; hole: why there is no difference, else empty.  iterations: ours, where they are not the published."""

    theirs: Number
    ours: Interval | None
    difference: Interval | None
    iterations: int | None
    hole: str

    @property
    def beyond(self) -> bool:
        """Whether the interval of the difference leaves 0 out."""
        low, high = (self.difference.low, self.difference.high) if self.difference else (None, None)
        return low is not None and high is not None and not low <= 0 <= high


class LineView(NamedTuple):
    """One published row beside one of our methods; trained: by which recipe, or why there is nothing of ours.
    repeats: whether that recipe repeats the published one."""

    label: str
    ours: str
    trained: str
    repeats: bool
    cells: list[CellView]
    note: str
    caveat: str = ""


class Fill(NamedTuple):
    """The command that fills holes of a table, without the rates that no such suite has; or why there is none."""

    command: str
    lacking: list[str]
    remark: str = ""


class TableView(NamedTuple):
    """One published table; others: networks on its data set that are not compared, since they are not its own.
    n_cells: cells with a published number; n_compared: those that were run by the published recipe; n_beyond: those
    of them that differ by more than their interval; n_other: those that were run by another recipe alone."""

    table: PublishedTable
    lines: list[LineView]
    unpruned: list[LineView]
    n_cells: int
    n_compared: int
    n_beyond: int
    n_other: int
    fill: Fill
    others: list[str]

    @property
    def notes(self) -> list[str]:
        """What is to be said of published rows, and of methods of ours; each sentence once, after all it is about."""
        said = [(line.label, line.note) for line in self.lines] + [(line.ours, line.caveat) for line in self.lines]
        about: dict[str, dict[str, None]] = {}
        for name, text in said:
            about.setdefault(text, {})[name] = None
        return [f"{', '.join(names)}: {text}" for text, names in about.items() if text]

    @property
    def slug(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.table.title.lower()).strip("-")


class BlockView(NamedTuple):
    """The tables of one recipe."""

    name: str
    recipe: PublishedRecipe
    tables: list[TableView]


def compare(board: Board, published: Published, registry: Registry) -> list[BlockView]:
    """Return all published tables beside what the records of a board say."""
    cells, ours = of_known_data(board.cells, registry), _measured(board.grid, published, registry)
    return [
        BlockView(name, recipe, [_table(one, published, registry, ours, cells, board.needs_data) for one in tables])
        for name, tables in published.blocks.items()
        for recipe in [published.recipe[name]]
    ]


def of_known_data(rows: pd.DataFrame, registry: Registry) -> pd.DataFrame:
    """Return the rows about the images that the registry knows under the name of their data set."""
    known = {name: entry.fingerprint for name, entry in registry.datasets.items()}
    places = zip(rows.dataset, rows.dataset_fingerprint, strict=True)
    return rows.loc[[known.get(name, "unknown") in ("", found) for name, found in places]]


def _measured(grid: Grid, published: Published, registry: Registry) -> list[Trained]:
    """Return what was trained on the data sets and networks of the published tables."""
    wanted = {(one.dataset, one.network) for one in published.table}
    rows = of_known_data(grid.rows[grid.rows.score_backbone.isin(WHOLE)], registry)
    rows = rows.loc[[place in wanted for place in zip(rows.dataset, rows.train_arch, strict=True)]]
    found: dict[tuple[Any, ...], Trained] = {}
    for place, column in groups(rows, [*TABLE, "keep"]):
        for row, measured in _column(grid, column).items():
            facts = column.loc[row]
            method = tuple(facts[METHOD])
            key = (*place[:-1], *method)
            where = dict(zip([*SECTION, *TRAINING, *METHOD], key, strict=True))
            trained = found.setdefault(key, Trained(where, label(where), {}))
            trained.rates[complement(str(facts.keep))] = measured
    return list(found.values())


def _column(grid: Grid, column: pd.DataFrame) -> dict[int, Measured]:
    """Return what the distinct observations of each row say, moderated over the methods of one table and budget."""
    values = {}
    for row in column.index:
        seeds = grid.seeds.loc[[row]].dropna(subset="accuracy").drop_duplicates("observation")
        if len(seeds):
            values[str(row)] = seeds.accuracy.tolist()
    means, spreads = mean_intervals(values), samples(values)
    return {
        row: Measured(
            means[str(row)], spreads[str(row)], _iterations(grid.cells.loc[[row]].record), str(column.caveat[row])
        )
        for row in map(int, values)
    }


def _iterations(records: Iterable[Any]) -> int | None:
    """Return the updates of one training, from the first record that says how it went."""
    for one in records:
        if isinstance(one, CellRecord) and one.iterations is not UNSET:
            return one.iterations or None
        if isinstance(one, CellRecord) and one.epochs and one.batch_size_used:  # an older record
            batch = one.batch_size_used << one.oom_retries
            return one.epochs * max(1, math.ceil((one.n_keep - 1) / batch))  # a lone last sample joins a batch
    return None


def _table(
    table: PublishedTable, published: Published, registry: Registry, ours: Sequence[Trained],
    cells: pd.DataFrame, needs_data: Collection[str],
) -> TableView:  # fmt: skip
    recipe = published.recipe[table.recipe]
    mine = [one for one in ours if (one.place["dataset"], one.place["train_arch"]) == (table.dataset, table.network)]
    mine.sort(key=lambda one: one.place["recipe"] not in recipe.ours)
    lines: list[LineView] = []
    for name, texts in table.rows.items():
        methods = published.beside(table, name)
        beside = [one for method in methods for one in mine if one.place["method"] == method]
        lines += _lines(name, table, texts, table.pruning_rates, beside, methods, recipe)
    full = [one for one in mine if "0" in one.rates]
    unpruned = list(_lines("nothing pruned", table, (table.unpruned,), ("0",), full, ("full set",), recipe))
    compared = _compared(line for line in lines if line.repeats)
    other = _compared(line for line in lines if not line.repeats)
    return TableView(
        table, lines, unpruned if table.unpruned != "-" else [],
        sum(table.number(text).mean is not None for texts in table.rows.values() for text in texts),
        len(compared), sum(cell.beyond for cell in compared.values()), len(other.keys() - compared.keys()),
        _fill(table, recipe, published, registry, {place[0] for place in compared}, needs_data),
        sorted({*cells.train_arch[cells.dataset == table.dataset]} - {table.network}),
    )  # fmt: skip


def _compared(lines: Iterable[LineView]) -> dict[tuple[str, int], CellView]:
    """Return the cells that have a difference, by the name of the row and the place in it."""
    return {(line.label, place): cell for line in lines for place, cell in enumerate(line.cells) if cell.difference}


def _lines(
    name: str, table: PublishedTable, texts: Sequence[str], rates: Sequence[str], beside: Iterable[Trained],
    methods: Sequence[str], recipe: PublishedRecipe,
) -> Iterator[LineView]:  # fmt: skip
    """Yield a line for each of our trainings, or one of holes."""
    numbers, note = [table.number(text) for text in texts], table.notes.get(name, "")
    known = (rates == table.pruning_rates and table.iterations) or (None,) * len(rates)
    some = [one for one in beside if one.rates.keys() & set(rates)]
    for one in some:
        cells = [_cell(number, one.rates.get(rate), iterations, table)
                 for number, rate, iterations in zip(numbers, rates, known, strict=True)]  # fmt: skip
        repeats = one.place["recipe"] in recipe.ours
        trained = f"by {one.place['recipe']}{'' if repeats else ', another recipe'}"
        caveats = {part for rate in rates if rate in one.rates for part in one.rates[rate].caveat.split("; ") if part}
        yield LineView(name, one.label, trained, repeats, cells, note, "; ".join(sorted(caveats)))
    if not some:
        hole = NOT_RUN if methods else NO_METHOD
        holes = [
            CellView(number, None, None, None, hole if number.mean is not None else NO_NUMBER) for number in numbers
        ]
        yield LineView(name, " or ".join(methods), hole, False, holes, note)


def _cell(number: Number, ours: Measured | None, iterations: int | None, table: PublishedTable) -> CellView:
    """Return one cell; a misread figure widens the interval by as much on both sides."""
    if ours is None:
        return CellView(number, None, None, None, NOT_RUN if number.mean is not None else NO_NUMBER)
    other = ours.iterations if ours.iterations != iterations else None
    if number.mean is None:
        return CellView(number, ours.interval, None, other, NO_NUMBER)
    runs = table.runs or 0
    theirs = Sample(number.mean, (number.spread or 0.0) ** 2, runs - 1.0 if number.spread else 0.0, runs)
    found = difference(ours.sample, theirs)
    if found.low is not None and found.high is not None:
        found = replace(found, low=found.low - number.reading, high=found.high + number.reading)
    return CellView(number, ours.interval, found, other, "")


def _fill(
    table: PublishedTable, recipe: PublishedRecipe, published: Published, registry: Registry, done: Collection[str],
    needs_data: Collection[str],
) -> Fill:  # fmt: skip
    """Return the command that fills most of the holes, or why there is none."""
    if not recipe.ours:
        return Fill("", [], "no recipe of the registry repeats this one")
    rows = {name: methods for name in table.rows if name not in done and (methods := published.beside(table, name))}
    keeps = {complement(rate) for rate in table.pruning_rates}

    def covered(suite: Suite) -> tuple[int, int, str]:
        methods = sum(bool({*rows[name]} & {*suite.methods}) for name in rows)
        return len(keeps & {*suite.keeps}), methods, suite.name

    fit = [suite for suite in registry.suites.values() if suite.dataset == table.dataset
           and any(pair.arch == table.network and pair.recipe in recipe.ours for pair in suite.training)]  # fmt: skip
    if not fit:
        return Fill("", [], f"no suite trains {table.network} on {table.dataset} by {' or '.join(recipe.ours)}")
    best = max(fit, key=covered)
    more = [("--with", methods[0]) for methods in rows.values() if not {*methods} & {*best.methods}]
    command = command_of(best.name, more, table.dataset in needs_data)
    return Fill(command, [rate for rate in table.pruning_rates if complement(rate) not in best.keeps])
