"""What the values of registry.toml may be: types with their rules, and what all its tables share."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct

from prunebench.records import END

NOISE = "+noise-"  # between the name of a backbone and the level of the noise in its features
NAME = rf"[A-Za-z0-9][A-Za-z0-9._+-]{{0,99}}{END}"  # names of tables become names of files and of folders

Head = Literal["own", "fitted"]
Measure = Literal["overlap", "distributions"]
Dtype = Literal["float32", "half", "float16", "bfloat16"]
Text = Annotated[str, Meta(min_length=1)]
Names = tuple[Text, ...]
Hex = Annotated[
    str, Meta(pattern=f"^[0-9a-f]*{END}", description="Digest of the content, hexadecimal; empty accepts any.")
]
Count = Annotated[int, Meta(ge=1, le=1000)]
RateText = Annotated[str, Meta(pattern=rf"^(0|0?\.[0-9]{{1,20}}){END}", description='In [0, 1), such as "0.9".')]
_KeepText = Annotated[
    str, Meta(pattern=rf"^(1|0?\.(?=0*[1-9])[0-9]{{1,20}}){END}", description='In (0, 1], such as "0.1".')
]
Rate = RateText | Annotated[float, Meta(ge=0, lt=1)]
Keep = _KeepText | Annotated[float, Meta(gt=0, le=1)]
_LEVEL = 'Above 0, such as "0.5": in mean standard deviations of the features; level 0 is the backbone itself.'
_LevelText = Annotated[str, Meta(pattern=rf"^(?=.*[1-9])[0-9]{{1,3}}(\.[0-9]{{1,6}})?{END}", description=_LEVEL)]
Level = _LevelText | Annotated[float, Meta(ge=1e-3, lt=1000, description=_LEVEL)]
FIRST = "Take only the first so many samples of each class, in the order of the file; 0 takes all."
# The file itself must have a table of that name.
DatasetName = Annotated[str, Meta(description="Data set.", extra={"names": ("dataset",)})]
NetworkName = Annotated[str, Meta(description="Network.", extra={"names": ("backbone", "arch")})]
RecipeName = Annotated[str, Meta(description="Recipe.", extra={"names": ("recipe",)})]
_LETTERS = "Name of letters, digits, '.', '_', '+' and '-': files are named after it."
TableName = Annotated[str, Meta(pattern=rf"^{NAME}", description=_LETTERS)]
NetworkTableName = Annotated[
    str, Meta(pattern=rf"^(?!.*\{NOISE}){NAME}", description=f"{_LETTERS} Without `{NOISE}`: that is for noise.")
]
MethodName = Annotated[str, Meta(pattern=rf"^(?!agreement$){NAME}", description=f"{_LETTERS} Not `agreement`.")]
SuiteName = Annotated[str, Meta(pattern=rf"^(?!board$){NAME}", description=f"{_LETTERS} Not `board`.")]
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
