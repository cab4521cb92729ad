"""What the records say of one measurement of a claim: values by the names of what was sampled, one function a rule."""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from prunebench.board.cells import BASELINE, MEAN, NONE, UNPRUNED, WHOLE, groups, label, mean
from prunebench.board.claims import Accuracy, Agreement, Cost, Diagnostic, Measurement, Order, Pair
from prunebench.board.comparison import of_known_data
from prunebench.board.correlation import CONTROL, CROSS, MEASURES, Run, more_of, place_of
from prunebench.board.grid import TABLE
from prunebench.board.table import Board
from prunebench.records import AgreementRecord, CellRecord, Record
from prunebench.registry import Registry, Suite, without_noise
from prunebench.stats import rank_statistic
from prunebench.stats.moderated import Floats, sample_variance

NETWORKS = 3  # fewer are no sample of networks: where networks are not what is compared, the seeds are
OTHER = "other"
Unit = frozenset[str]  # what a value hangs on: networks, seeds, or a method
Values = Mapping[Unit, Sequence[float]]
Place = tuple[tuple[str, str], Run]  # two networks, and the seed or seeds


class Lack(NamedTuple):
    """Why there is no number."""

    reason: str


class Sample(NamedTuple):
    """Values by unit of the two sides; b is empty where there is one.  over: the kind of what was sampled, of which
    `strata` has the names.  of: the number of one side, of values float64 [units, columns].  logs: it is that of
    logarithms, so that a difference is a ratio.  where: the training.  ceiling, control: the
    numbers beside, None where there is none."""

    a: Values
    b: Values
    over: str
    strata: Sequence[Collection[str]]
    of: Callable[[Floats], float]
    logs: bool = False
    where: str = ""
    ceiling: float | None = None
    control: float | None = None

    def side(self, values: Values, without: str | None = None) -> float | None:
        """Return the number of one side without a name, or None where it is not defined."""
        kept = [value for unit, value in values.items() if without not in unit]
        found = self.of(np.array(kept, dtype=np.float64)) if kept else math.nan
        return found if math.isfinite(found) else None

    def number(self, without: str | None = None) -> float | None:
        """Return the number of a, or of a less b."""
        a, b = self.side(self.a, without), self.side(self.b, without) if self.b else 0.0
        return None if a is None or b is None else a - b


class Tables:
    """A board, its records by suite, and the rows of its grid, both on the data of the registry."""

    def __init__(self, board: Board, registry: Registry) -> None:
        self.board, self.registry, self.rows = board, registry, of_known_data(board.grid.rows, registry)
        self.records = defaultdict[str, list[Record]](list)
        for frame in (board.cells, board.comparisons):
            for one in of_known_data(frame, registry).record:
                self.records[one.suite].append(one)


def measure(test: Measurement, suite: Suite, tables: Tables) -> list[Sample | Lack]:
    """Return what the records say of a measurement: one number, or one for each training of the suite."""
    kind = AgreementRecord if isinstance(test, Agreement) else CellRecord
    if suite.name not in tables.registry.suites:
        return [Lack("the registry has no such suite")]
    if not test.a or (test.called[1] and not test.b):
        return [Lack("the suite has none of these methods")]
    if not any(isinstance(one, kind) for one in tables.records[suite.name]):
        return [Lack("not run")]
    match test:
        case Agreement():
            return [_agreement(test, suite, tables)]
        case Accuracy():
            return list(_accuracies(test, suite, tables))
        case Order():
            return list(_orders(test, suite, tables))
        case Cost():
            return [_facts(test, suite, tables, lambda one: one.seconds_score, logs=True)]
        case Diagnostic(name=name):
            return [_facts(test, suite, tables, lambda one: one.diagnostics.get(name))]
        case _:
            raise TypeError(f"{type(test).__name__} is no rule")


def average(values: Floats) -> float:
    """Return the mean of the first column."""
    return math.fsum(values[:, 0].tolist()) / len(values)


def spread(values: Floats) -> float:
    """Return the standard deviation of the first column; not finite where nothing varies."""
    return math.sqrt(sample_variance(values[:, 0].tolist())) or math.nan


def order(values: Floats) -> float:
    """Return Kendall's tau-b of two columns."""
    return float(rank_statistic(values[:, 0], values[:, 1], "tau"))


def _by_unit(found: Iterable[tuple[Unit, float]]) -> Values:
    """Return the mean of the values of each unit."""
    values = defaultdict[Unit, list[float]](list)
    for unit, value in found:
        values[unit].append(value)
    return {unit: (math.fsum(some) / len(some),) for unit, some in values.items()}


def _named(record: Record) -> str:
    return label({"method": record.method, "projector": record.projector})


# ------------------------------------------------------------------------------------------------ agreement of scores


def _agreement(test: Agreement, suite: Suite, tables: Tables) -> Sample | Lack:
    wanted: dict[str, dict[Place, float]] = {name: {} for name in (*test.a, *test.b)}
    for one in tables.records[suite.name]:
        if isinstance(one, AgreementRecord) and (name := _named(one)) in wanted:
            kind, pair, run = place_of(one)
            value = _quantity(one, test.quantity)
            if kind == test.comparison and value is not None:
                wanted[name][pair, run] = value
    places = set[Place]().union(*wanted.values())
    if lacking := [name for name, found in wanted.items() if not found]:
        return Lack(f"not run: {', '.join(lacking)}")
    if holes := [name for name, found in wanted.items() if len(found) < len(places)]:
        return Lack(f"incomplete: {', '.join(holes)}")
    if test.share:
        known = _ceilings(test, suite, tables)
        if without := [name for name, found in wanted.items() if any((name, pair) not in known for pair, _ in found)]:
            return Lack(f"no ceiling: {', '.join(without)}")
        wanted = {name: {place: value / known[name, place[0]] for place, value in found.items()}
                  for name, found in wanted.items()}  # fmt: skip
    globs = test.between, test.beside or test.between
    sides = [sorted(place for place in places if _between(place[0], pair)) for pair in globs]
    if not all(sides):
        return Lack("no such pair of networks was compared")
    networks = {without_noise(name)[0] for side in sides for pair, _ in side for name in pair}
    by_network = test.comparison.endswith(CROSS) or len(networks) >= NETWORKS
    methods = test.a, test.b or (test.a if test.beside else ())
    a, b = (_by_unit((_unit(place, by_network), math.fsum(wanted[name][place] for name in names) / len(names))
                     for place in side if names) for names, side in zip(methods, sides, strict=True))  # fmt: skip
    strata = defaultdict[tuple[bool, ...], set[str]](set)
    for name in set[str]().union(*a, *b):
        apart = (*(test.between or ()), *test.beside) if test.beside and by_network else ()
        strata[tuple(fnmatchcase(name, glob) for glob in apart)].add(name)
    over = "networks" if by_network else "seeds"
    return Sample(a, b, over, list(strata.values()), average, False, "", *_beside(test, suite, tables))


def _ceilings(test: Agreement, suite: Suite, tables: Tables) -> dict[tuple[str, tuple[str, str]], float]:
    """Return the ceilings that a ratio can be taken to, by method and pair of networks."""
    rows = tables.board.rank_correlation
    rows = rows[(rows.suite == suite.name) & (rows.quantity == test.quantity) & (rows.comparison == test.comparison)]
    found = rows[(rows.a != MEAN) & rows.ratio.notna()].to_dict("records")
    return {(label(row), (row["a"], row["b"])): row["ceiling"] for row in found}


def _quantity(record: AgreementRecord, name: str) -> float | None:
    """Return what a record says of a quantity of rank_correlation.csv."""
    known = {quantity: getattr(record, field) for quantity, field in MEASURES.items()}
    return (known | more_of(record)).get(name if name in known else name.removeprefix("score_"))


def _unit(place: Place, by_network: bool) -> Unit:
    pair, run = place
    networks = (without_noise(name)[0] for name in pair)
    return frozenset(networks if by_network else map(str, run if isinstance(run, tuple) else [run]))


def _between(pair: tuple[str, str], globs: Pair | None) -> bool:
    return globs is None or any(fnmatchcase(a, globs[0]) and fnmatchcase(b, globs[1]) for a, b in (pair, pair[::-1]))


def _beside(test: Agreement, suite: Suite, tables: Tables) -> Iterator[float | None]:
    """Yield the ceiling of a, and its agreement with a network that has learnt nothing."""
    rows = tables.board.rank_correlation
    rows = rows[(rows.suite == suite.name) & (rows.quantity == test.quantity) & (rows.a != MEAN)]
    for comparison, column in ((test.comparison, "ceiling"), (CONTROL + test.comparison, "value")):
        mine = [row for row in rows[rows.comparison == comparison].to_dict("records") if label(row) in test.a]
        own = [row for row in mine if column == "value" or _between((row["a"], row["b"]), test.between)]
        yield mean(row[column] for row in own) if column == "ceiling" or not test.share else None


# ------------------------------------------------------------------------------------------------ cells


def _accuracies(test: Accuracy, suite: Suite, tables: Tables) -> Iterator[Sample | Lack]:
    rows, seeds = tables.rows[tables.rows.suite == suite.name], tables.board.grid.seeds
    names, networks = (*test.a, *test.b), tables.registry.networks
    others = {name for name in suite.backbones if name in networks and not networks[name].control}
    for (*_, arch, recipe, _), table in groups(rows, TABLE):
        rows = table[(table.keep == test.keep) & table.complete]
        labels = [label(row) for row in rows.to_dict("records")]
        found = {
            name: _column(rows[[one == name for one in labels]], seeds, test.read, others - {arch}) for name in names
        }
        if lacking := [name for name, column in found.items() if column.empty]:
            yield Lack(f"not run or incomplete: {', '.join(lacking)}")
            continue
        columns = pd.DataFrame({name: column.accuracy for name, column in found.items()}).dropna()
        seen = pd.DataFrame({name: column.observation for name, column in found.items()}).loc[columns.index]
        columns = columns[~seen.duplicated()]
        a, b = ({frozenset([str(unit)]): (value,) for unit, value in columns[list(side)].mean(axis=1).items()}
                if side else {} for side in (test.a, test.b))  # fmt: skip
        where, over, strata = f"{arch}, {recipe}", "networks" if test.read == OTHER else "seeds", [set().union(*a)]
        if test.statistic == "spread":
            yield Sample(a, b, over, strata, spread, where=where)
            continue
        whole = table[table.complete & table.score_backbone.isin(WHOLE) & table.keep.isin(["1", test.keep])]
        beside = (mean(seeds.accuracy.loc[list(whole.index[whole.role == role])]) for role in (UNPRUNED, BASELINE))
        yield Sample(a, b, over, strata, average, False, where, *beside)


def _column(rows: pd.DataFrame, seeds: pd.DataFrame, read: str, others: Collection[str]) -> pd.DataFrame:
    """Return accuracy and observation of one method, by seed, or with "other" by the networks `others`."""
    own = rows[rows.score_backbone == NONE]
    if read != OTHER:
        chosen = rows[rows.score_backbone == read] if own.empty else own
        found: pd.DataFrame = seeds.loc[list(chosen.index)].droplevel(0)  # one row, or none
        return found
    mine = dict(zip(rows.score_backbone, rows.index, strict=True))
    known = {name: mine.get(name, mine.get(NONE)) for name in sorted(others)}
    values = {name: mean(seeds.accuracy.loc[[row]]) for name, row in known.items() if row is not None}
    return pd.DataFrame({"accuracy": values, "observation": {name: name for name in values}})


def _orders(test: Order, suite: Suite, tables: Tables) -> Iterator[Sample | Lack]:
    rows = tables.board.accuracy
    rows = rows[(rows.suite == suite.name) & (rows.status == "ok") & (rows.role != UNPRUNED)]
    rows = rows[rows.score_backbone.isin(WHOLE)]
    rows = rows.assign(name=[label(row) for row in rows.to_dict("records")])
    if test.metric not in rows:
        yield Lack(f"no plugin measures {test.metric}")
        return
    for (arch, recipe), table in groups(rows, ["train_arch", "recipe"]):
        metric = table.groupby("name")[test.metric].first().rename("metric")
        accuracy = table.pivot(index="name", columns="keep", values="accuracy_mean")
        if lacking := sorted({*test.a, *test.b} - {*accuracy.columns}):
            yield Lack(f"not run: keep {', '.join(lacking)}")
            continue
        pairs = [pd.concat([metric, accuracy[list(side)].mean(axis=1, skipna=False)], axis=1).dropna()
                 for side in (test.a, test.b)]  # fmt: skip
        a, b = ({frozenset([str(name)]): row for name, *row in pair.itertuples()} for pair in pairs)
        yield Sample(a, b, "methods", [set().union(*a, *b)], order, where=f"{arch}, {recipe}")


def _facts(
    test: Measurement, suite: Suite, tables: Tables, fact: Callable[[CellRecord], Any], *, logs: bool = False
) -> Sample | Lack:
    """Return the mean over seeds of a fact of the scoring; scores with equal keys are one observation."""
    found: dict[str, dict[str, tuple[Unit, float]]] = {name: {} for name in (*test.a, *test.b)}
    for one in tables.records[suite.name]:
        if isinstance(one, CellRecord) and (name := _named(one)) in found:
            value = fact(one)
            if isinstance(value, int | float) and (value > 0 or not logs):
                known = one.scores_key or one.key
                found[name][known] = frozenset([str(one.seed)]), math.log(value) if logs else float(value)
    if lacking := [name for name, values in found.items() if not values]:
        return Lack(f"not run: {', '.join(lacking)}")
    a, b = (_by_unit(value for name in names for value in found[name].values()) for names in (test.a, test.b))
    return Sample(a, b, "seeds", [set().union(*a, *b)], average, logs)
