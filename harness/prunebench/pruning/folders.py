"""Read what a pruning wrote: the manifest, the ledger, one sample in plain words, and two selections side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from prunebench.errors import DataError, UsageError, did_you_mean
from prunebench.guard import checked_table, read_csv, read_json
from prunebench.pictures.decoding import NOTES
from prunebench.pictures.names import UNPRINTABLE
from prunebench.pruning.output import FILES, LEDGER, MANIFEST, require
from prunebench.pruning.selecting import CHOSEN, DUPLICATE, EXTRA, FILLED, LEFT_OUT, LOWER, PROTECTED

if TYPE_CHECKING:
    import pandas as pd

TEXTS = (
    "id", "class", "reason", "kept_neighbour", "copy_of", "suspected_class", "reference_copy", "picture_notes",
)  # fmt: skip
REASONS: Mapping[str, str] = {
    CHOSEN: "its place in the order is within the budget",
    PROTECTED: "it is protected, so it is kept whatever its score",
    EXTRA: "the method takes it on top of the budget",
    FILLED: "the method would leave it out, but the rest did not fill the budget",
    LOWER: "others come before it in the order, and the budget is used up",
    LEFT_OUT: "the method leaves it out, whatever its score",
    DUPLICATE: "it is a near-duplicate of a sample that stayed",
}


_AGAIN = "prune again, or restore the folder"


class _Named(msgspec.Struct):
    name: str


class _Method(msgspec.Struct):
    scorer: _Named


class _Data(msgspec.Struct):
    fingerprint: str
    classes: list[str]
    reading: dict[str, Any]
    size: int | None = None


class _Choice(msgspec.Struct):
    clusters: int | None


class _Manifest(msgspec.Struct):
    """What is read of a manifest."""

    keep: Annotated[list[str], msgspec.Meta(min_length=1)]
    method: _Method
    data: _Data
    choice: _Choice


@dataclass(frozen=True)
class Written:
    """A folder that a pruning wrote."""

    folder: Path
    manifest: Mapping[str, Any]
    ledger: pd.DataFrame

    @property
    def kept(self) -> set[str]:
        """The ids that are kept at the first budget."""
        return self.at(self.manifest["keep"][0])

    def at(self, keep: str) -> set[str]:
        """Return the ids that a budget of the pruning keeps; raises UsageError for one that it has not."""
        known = self.manifest["keep"]
        if keep not in known:
            raise UsageError(f"{self.folder} has no budget {keep}", f"it has {', '.join(known)}; others: prune again")
        column = f"kept_{keep}" if len(known) > 1 else "kept"
        return set(self.ledger.loc[self.ledger[column] == 1, "id"])

    def table(self, keep: str) -> pd.DataFrame:
        """Return id, class, score, rank and kept (1 or 0) at a budget, one row per sample."""
        table = self.ledger[["id", "class", "score", "rank"]].copy()
        table["kept"] = table["id"].isin(self.at(keep)).astype(int)
        return table

    @property
    def files(self) -> pd.DataFrame:
        """Where the files of what is kept lie; raises UsageError for data that are no files."""
        if not (path := self.folder / f"{FILES}.csv").is_file():
            raise UsageError(
                f"what {self.folder} keeps are features, not files", "the tables of kept samples have the ids"
            )
        kinds = {"id": str, "path": object}  # no column of text holds bytes that are no UTF-8
        return read_csv(path, kinds, kinds, _AGAIN)


def input_folder(written: Written) -> Path | None:
    """Return the folder of images that was pruned, None for other data, or where it cannot be told from the files."""
    if written.manifest["data"]["reading"].get("kind") != "image folder" or not len(written.files):
        return None
    path, name = written.files.iloc[0][["path", "id"]]
    return Path(path.removesuffix(f"/{name}")) if path.endswith(f"/{name}") else None


def open_folder(folder: Path) -> Written:
    """Return what is in a folder; raises DataError for one that no pruning wrote, or that lacks a part."""
    ledgers = [path for form in ("csv", "parquet") if (path := folder / f"{LEDGER}.{form}").is_file()]
    if not ledgers or not (folder / MANIFEST).is_file():
        hint = "name the folder that was given to `prunebench prune --out`"
        raise DataError(f"{folder} holds no {MANIFEST} and {LEDGER} of a pruning", hint)
    manifest, path = read_json(folder / MANIFEST, _Manifest, _AGAIN), ledgers[0]
    budgets = [f"kept_{keep}" for keep in manifest["keep"] if len(manifest["keep"]) > 1]
    needed = ("id", "class", "score", "rank", "reason", "kept", *budgets)
    if path.suffix == ".parquet":
        table = _parquet(path, needed)
    else:
        table = read_csv(path, dict.fromkeys(TEXTS, str), needed, _AGAIN)
    ids, kept = table["id"], table[["kept", *budgets]].eq(1).any(axis=1)
    wrong = {
        "id": ids.eq("") | ids.map(lambda name: UNPRINTABLE.search(name) is not None).astype(bool),
        "position": kept & table.get("position", kept).isna(),
    }
    for name, rows in wrong.items():
        if rows.any():
            raise DataError(f"{path}, row {int(rows.to_numpy().argmax()) + 1}: its {name} is none", _AGAIN)
    return Written(folder, manifest, table)


def _parquet(path: Path, needed: Iterable[str]) -> pd.DataFrame:
    import pandas as pd

    require("pyarrow", "parquet files")
    try:
        table = pd.read_parquet(path)
    except Exception as error:  # what its reader raises for a damaged file is anything
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}", _AGAIN) from error
    for name in (name for name in TEXTS if name in table):
        table[name] = table[name].fillna("").astype(str)
    return checked_table(table, path, TEXTS, needed, _AGAIN)


def explain(written: Written, name: str) -> str:
    """Return in plain words what became of one sample and why; raises UsageError for an id that is not there."""
    ledger = written.ledger
    found = ledger[ledger["id"] == name]
    if found.empty:
        text = f"no sample is named {name!r} in {written.folder}"
        raise UsageError(text, did_you_mean(name, ledger["id"].iloc[:10_000].tolist()))
    row = {str(name): value for name, value in found.iloc[0].items()}
    return "\n".join(_sentences(row, written, int(ledger["rank"].notna().sum())))


def _sentences(row: Mapping[str, Any], written: Written, ranked: int) -> Iterator[str]:
    method, budgets = written.manifest["method"]["scorer"]["name"], written.manifest["keep"]
    named = f"{row['id']!r}" + (f" of class {row['class']!r}" if row.get("class") else "")
    budget = budgets[0]
    yield f"{named} is {'kept' if row['kept'] == 1 else 'not kept'} at keep {budget}: {_reason(row['reason'])}."
    others = [keep for keep in budgets[1:] if row.get(f"kept_{keep}") == 1]
    if others:
        yield f"It is kept at keep {', '.join(others)}."
    if _there(row, "rank"):
        yield f"By {method} its score is {float(row['score']):.6g}, place {int(float(row['rank'])):,} of {ranked:,}."
    if row.get("copy_of"):
        yield f"The sample that stayed in its place is {row['copy_of']!r}."
    elif row.get("kept_neighbour"):
        near = f", at cosine {float(row['cosine']):.3f}" if _there(row, "cosine") else ""
        yield f"The most similar kept sample is {row['kept_neighbour']!r}{near}."
    if _there(row, "duplicate_group"):
        yield f"It belongs to group {int(float(row['duplicate_group']))} of near-duplicates."
    if row.get("suspected_class"):
        share = f"{float(row['votes']):.0%}" if _there(row, "votes") else "most"
        share += " of its nearest neighbours"
        yield f"Its label is doubtful: {share} have class {row['suspected_class']!r}."
    for note in row.get("picture_notes", "").split():
        yield f"Its picture is one of those that {NOTES.get(note, note)}."
    if _there(row, "keep_probability"):
        yield f"Of repeated choices with other seeds, {float(row['keep_probability']):.0%} keep it."


def _reason(code: str) -> str:
    return REASONS.get(code, code.removeprefix("unreadable: ") or "no reason is recorded")


def _there(row: Mapping[str, Any], name: str) -> bool:
    import pandas as pd

    return name in row and not pd.isna(row[name]) and row[name] != ""


def diff(a: Written, b: Written) -> dict[str, Any]:
    """Return how two selections differ: numbers kept, shared, and what chance would share; ids on each side alone.

    chance: the expected number of shared samples of two draws of these sizes from the samples that both know."""
    known = set(a.ledger["id"]) & set(b.ledger["id"])
    one, two = a.kept & known, b.kept & known
    shared, union = len(one & two), len(one | two)
    return {
        "kept_a": len(a.kept), "kept_b": len(b.kept), "samples_in_both": len(known), "shared": shared,
        "chance": round(len(one) * len(two) / max(len(known), 1), 1),
        "overlap": round(shared / union, 4) if union else None,
        "only_a": sorted(a.kept - b.kept), "only_b": sorted(b.kept - a.kept),
        "settings": _differences(a.manifest, b.manifest),
    }  # fmt: skip


def moved(earlier: Written, now: Written) -> str:
    """Return in a sentence how a selection moved since an earlier one in the same folder."""
    before, after = set(earlier.ledger["id"]), set(now.ledger["id"])
    stayed, left, came = len(earlier.kept & now.kept), len(earlier.kept - now.kept), len(now.kept - earlier.kept)
    samples = f"{len(after - before):,} samples are new, {len(before - after):,} are gone"
    classes, was = (dict(zip(one.ledger["id"], one.ledger["class"], strict=True)) for one in (now, earlier))
    if relabelled := sum(classes[name] != was[name] for name in before & after):
        samples += f", {relabelled:,} have another class"
    elif before == after and earlier.manifest["data"]["fingerprint"] != now.manifest["data"]["fingerprint"]:
        samples += ", some have other content"
    kept = f"of what was kept {stayed:,} stay and {left:,} leave, and {came:,} come in"
    return f"since the earlier pruning in {now.folder}: {samples}; {kept}"


def _differences(a: Any, b: Any, key: str = "") -> dict[str, list[Any]]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        found: dict[str, list[Any]] = {}
        for name in sorted({*a, *b} - {"budgets", "notes"}):
            found |= _differences(a.get(name), b.get(name), f"{key}.{name}".lstrip("."))
        return found
    return {} if a == b else {key: [a, b]}
