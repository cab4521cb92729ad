"""What a person's data are once they were read, and before any picture is decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from prunebench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image


class Pictures(Protocol):
    """The pictures of a data set, by position; pickled to the processes that decode them, so it holds no open file."""

    def __len__(self) -> int: ...

    def picture(self, index: int) -> Image:
        """Return a picture as RGB, upright, at its own size; raises ValueError with the reason for one that is none."""

    def digest(self, index: int) -> str:
        """Return the identity of what `picture` decodes, 32 hexadecimal digits; no name and no path is in it."""

    def locator(self, index: int) -> Mapping[str, Any]:
        """Return where the picture lies, as JSON: {"path"}, with "offset" and "length" in bytes inside a tar file."""


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """One sample that is there and was not read.  code: a slug, such as "truncated" or "not-an-image".  reason: in
    words, for a person who may want to mend the file."""

    id: str
    code: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """Samples in the order of the input; `features` or `pictures` or both.

    title: how messages and the report name the data.  ids: unique and printable.  labels: int64 [n] in
    0..len(class_names)-1, or None where there are none.  features: float32 [n, d], mapped into memory where they come
    from a file.  skipped: what was left out, and why.  notes: what the reader decided, one sentence each ("the folder
    train was read; test lies beside it").  settings: the reader's parameters as JSON, to repeat it.
    positions: int64 [n], sorted, the place of each sample in the input of `size` samples, skipped ones included; both
    None where the input has no order of its own, as a folder has none.  decoded: what the decoder noted of pictures,
    keys of `NOTES` of prunebench.pictures.decoding, by row; empty before they are embedded."""

    title: str
    ids: tuple[str, ...]
    labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] = ()
    features: NDArray[np.float32] | None = None
    pictures: Pictures | None = None
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    positions: NDArray[np.int64] | None = None
    size: int | None = None
    decoded: Mapping[int, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if twice := [name for name, count in Counter(self.class_names).items() if count > 1]:
            raise DataError(f"{self.title}: two classes are named {twice[0]!r}", "give each class a name of its own")

    def __len__(self) -> int:
        return len(self.ids)

    def embedded(
        self, features: NDArray[np.float32], positions: NDArray[np.int64], unread: Mapping[int, str],
        decoded: Mapping[int, Sequence[str]],
    ) -> Source:  # fmt: skip
        """Return the samples at `positions`, int64 [m], sorted, with features float32 [m, d]; the others are skipped,
        with "code: reason" by position.  Classes of which no sample is left are no classes.  decoded: by position."""
        import numpy as np

        labels, names = self.labels, self.class_names
        if labels is not None:
            present, found = np.unique(labels[positions], return_inverse=True)
            labels, names = found.astype(np.int64), tuple(names[label] for label in present)
        parts = [(self.ids[place], *why.partition(": ")[::2]) for place, why in unread.items()]
        more = [Skipped(id=name, code=code, reason=why) for name, code, why in parts]
        pictures = self.pictures and (Taken(self.pictures, positions) if unread else self.pictures)
        ids = tuple(self.ids[place] for place in positions)
        return replace(
            self, ids=ids, labels=labels, class_names=names, features=features, pictures=pictures,
            skipped=(*self.skipped, *more), positions=None if self.positions is None else self.positions[positions],
            decoded={row: decoded[place] for row, place in enumerate(positions.tolist()) if place in decoded},
        )  # fmt: skip

    def noted(self) -> Mapping[str, list[int]]:
        """Return the rows of the pictures of which the decoder noted something, by what it noted."""
        from prunebench.pictures.decoding import NOTES

        found = {note: [row for row, notes in self.decoded.items() if note in notes] for note in NOTES}
        return {note: rows for note, rows in found.items() if rows}

    def remarks(self) -> Iterator[str]:
        """Yield a sentence for each thing that the decoder noted of pictures."""
        from prunebench.pictures.decoding import NOTES

        for note, rows in self.noted().items():
            yield f"pictures that {NOTES[note]}: {len(rows):,}, such as {self.ids[rows[0]]!r}"


@dataclass(frozen=True)
class Taken:
    """Some of the pictures of others, by their positions int64 [m]."""

    pictures: Pictures
    positions: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.positions)

    def picture(self, index: int) -> Image:
        return self.pictures.picture(int(self.positions[index]))

    def digest(self, index: int) -> str:
        return self.pictures.digest(int(self.positions[index]))

    def locator(self, index: int) -> Mapping[str, Any]:
        return self.pictures.locator(int(self.positions[index]))
