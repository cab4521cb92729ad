"""Train from what was kept without copying it: a view of your own data set, a sampler, tar shards by offset."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch.distributed
from torch.utils import data
from torch.utils.data.distributed import DistributedSampler

from prunebench.errors import DataError, UsageError
from prunebench.pictures import Unreadable
from prunebench.pruning.places import Pruning, chosen, files_of, positions_in
from prunebench.pruning.reading.picture_files import PictureFiles

Read = TypeVar("Read")


class Subset(data.Subset[Any]):
    """The kept samples of your own data set, with its transforms, in its order; nothing is copied.

    dataset: map-style, of torch, torchvision or Hugging Face.  kept: what `prunebench.prune` returned, the folder that
    it wrote, indices or ids or a mask.  keep: which of several budgets, by default the first.  `indices` are positions
    in your data set, right also where samples were skipped when it was read: files are matched by their paths, others
    by id or by the place in the input.  Raises UsageError where it cannot be known which samples are meant."""

    def __init__(self, dataset: Any, kept: Any, keep: str | float | None = None) -> None:
        super().__init__(dataset, positions_in(dataset, kept, keep).tolist())


class SubsetSampler(DistributedSampler[Any]):
    """Yields the positions of the kept samples in your own data set: `DataLoader(dataset, sampler=SubsetSampler(...))`.

    dataset, kept, keep: as for `Subset`.  shuffle: in an order that follows from `seed` and the epoch alone; call
    `set_epoch(epoch)` before each epoch.  num_replicas, rank: each process takes its share, by default of the process
    group where there is one, as DistributedSampler does: shares have one length, by repeating samples or, with
    `drop_last`, by leaving some out."""

    def __init__(
        self, dataset: Any, kept: Any, keep: str | float | None = None, *, shuffle: bool = True, seed: int = 0,
        num_replicas: int | None = None, rank: int | None = None, drop_last: bool = False,
    ) -> None:  # fmt: skip
        grouped = torch.distributed.is_available() and torch.distributed.is_initialized()
        if num_replicas is None:
            num_replicas = torch.distributed.get_world_size() if grouped else 1
        if rank is None:
            rank = torch.distributed.get_rank() if grouped else 0
        if not 0 <= rank < num_replicas:
            raise UsageError(f"rank {rank} of {num_replicas} processes", "ranks count from 0")
        self.indices: list[int] = positions_in(dataset, kept, keep).tolist()
        super().__init__(self.indices, num_replicas, rank, shuffle, seed, drop_last)

    def __iter__(self) -> Iterator[Any]:
        return (self.indices[place] for place in super().__iter__())


class TarSubset(data.Dataset[tuple[Any, int]]):
    """The kept pictures of tar shards (or of a folder of files), each read by its offset in bytes; other samples are
    never read.  Map-style: works with any sampler, and with the workers of a DataLoader, which open files themselves.

    kept: what `prunebench.prune` returned, or the folder that it wrote.  keep: which of several budgets.  transform: of
    a picture (PIL, RGB, upright).  target_transform: of a label, a position in `classes`, -1 where there are none.
    root: the folder of the shards or of the data, where they were moved since.  An item is (picture, label); `ids` are
    in the same order.  Raises UsageError for data that are no files, DataError for files that are gone or damaged."""

    def __init__(
        self, kept: Pruning | str | os.PathLike[str], keep: str | float | None = None, *,
        transform: Callable[[Any], Any] | None = None, target_transform: Callable[[int], Any] | None = None,
        root: str | os.PathLike[str] | None = None,
    ) -> None:  # fmt: skip
        found = chosen(kept, keep)
        if found.files is None:
            raise UsageError(f"what {found.title} keeps are no files", "use prunebench.Subset with your own data set")
        of = found.table["class"].tolist()
        self.ids, self.classes = found.ids, tuple(found.classes) if all(of) else ()
        known = {name: label for label, name in enumerate(self.classes)}
        self.targets = [known.get(name, -1) for name in of]
        self.transform, self.target_transform = transform, target_transform
        self._pictures = PictureFiles(root="", **files_of(found.files, root))

    def __len__(self) -> int:
        return len(self.ids)

    def encoded(self, index: int) -> bytes:
        """Return the bytes of a picture as they are stored; raises DataError."""
        return self._read(self._pictures.encoded, index)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        picture: Any = self._read(self._pictures.picture, index)
        label = self.targets[index]
        if self.transform is not None:
            picture = self.transform(picture)
        return picture, label if self.target_transform is None else self.target_transform(label)

    def _read(self, read: Callable[[int], Read], index: int) -> Read:
        try:
            return read(index)
        except Unreadable as error:
            raise DataError(f"{self.ids[index]!r}: {error}", "the data changed: prune them again") from error
