"""What papers print: the tables of published.toml, which lies beside the registry."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct

from prunebench.guard import read_toml
from prunebench.registry import Registry

FILE = "published.toml"
_NUMBER = r"\d+(?:\.\d+)?"
_CELL = re.compile(rf"({_NUMBER})(?:±({_NUMBER}))?")
Cell = Annotated[str, Meta(pattern=rf"^(-|<{_NUMBER}|{_NUMBER}(±{_NUMBER})?)$")]
Text = Annotated[str, Meta(min_length=1)]
Rate = Annotated[str, Meta(pattern=r"^(0|0\.[0-9]+)$")]
PlusMinus = Literal["", "spread", "variance", "reading"]


class Number(NamedTuple):
    """A printed accuracy; mean: a fraction, None where there is none.  spread: standard deviation over the runs.
    reading: by how much we may have misread the figure.  shown: as it is printed, in %."""

    shown: str
    mean: float | None
    spread: float | None
    reading: float


class PublishedRecipe(Struct, frozen=True, forbid_unknown_fields=True):
    """How some papers train; ours: the recipes of the registry that repeat it.  doubts: what they leave open."""

    title: Text
    says: Text
    ours: tuple[Text, ...] = ()
    doubts: tuple[Text, ...] = ()


class PublishedTable(Struct, frozen=True, forbid_unknown_fields=True):
    """One table of one paper: a row per method, a column per pruning rate; network is the name of an arch.
    methods: those that may stand beside rows of this table, where they are not those of the whole file."""

    title: Text
    source: Text
    recipe: Text
    dataset: Text
    network: Text
    pruning_rates: tuple[Rate, ...]
    rows: dict[str, tuple[Cell, ...]]
    iterations: tuple[Annotated[int, Meta(ge=1)], ...] = ()
    plus_minus: PlusMinus = ""
    runs: Annotated[int, Meta(ge=2)] | None = None
    unpruned: Cell = "-"
    methods: dict[str, tuple[Text, ...]] = {}
    notes: dict[str, Text] = {}

    def __post_init__(self) -> None:
        width = len(self.pruning_rates)
        if wrong := [name for name, row in self.rows.items() if len(row) != width]:
            raise ValueError(f"{self.title}: row {wrong[0]!r} has not {width} cells, one for each pruning rate")
        if len(self.iterations) not in (0, width):
            raise ValueError(f"{self.title}: expected {width} numbers of iterations, got {len(self.iterations)}")
        if unknown := sorted({*self.notes, *self.methods} - self.rows.keys()):
            raise ValueError(f"{self.title}: {unknown[0]!r} is no row, but has a note or methods")
        if self.plus_minus in ("spread", "variance") and self.runs is None:
            raise ValueError(f"{self.title}: plus_minus = {self.plus_minus!r} needs `runs`, over which it is")
        if not self.plus_minus and any("±" in text for row in self.rows.values() for text in row):
            raise ValueError(f"{self.title}: a cell has ±, but plus_minus does not say what it is")

    def number(self, text: str) -> Number:
        """Return what a cell of this table says."""
        if not (found := _CELL.fullmatch(text)):
            return Number(text.replace("-", ""), None, None, 0.0)
        mean, beside = float(found[1]) / 100, float(found[2]) if found[2] else None
        spread = None
        if beside is not None and self.plus_minus != "reading":
            spread = beside**0.5 / 100 if self.plus_minus == "variance" else beside / 100
        return Number(text, mean, spread, beside / 100 if beside and self.plus_minus == "reading" else 0.0)


class Published(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file; methods: which of our methods may stand beside the rows of that name.  left_out: which tables are
    not here, and why."""

    methods: dict[str, tuple[Text, ...]]
    recipe: dict[str, PublishedRecipe]
    table: tuple[PublishedTable, ...]
    left_out: str = ""

    def __post_init__(self) -> None:
        for one in self.table:
            if one.recipe not in self.recipe:
                raise ValueError(f"{one.title}: there is no [recipe.{one.recipe}]")

    def beside(self, table: PublishedTable, row: str) -> tuple[str, ...]:
        """Return the names of our methods that may stand beside a row of a table."""
        return table.methods.get(row, self.methods.get(row, ()))

    @property
    def blocks(self) -> Mapping[str, list[PublishedTable]]:
        """The tables by recipe, in the order of the recipes."""
        return {name: [one for one in self.table if one.recipe == name] for name in self.recipe}


def load_published(registry: Registry) -> Published | None:
    """Return the tables beside a registry, or None where it has none; raises DataError with the key that is wrong."""
    return read_toml(registry.file.parent / FILE, Published, f"the head of {FILE} says what a table looks like")
