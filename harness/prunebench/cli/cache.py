"""prunebench cache."""

import json
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from prunebench.artefact_files import fault
from prunebench.cli.bar import Bar
from prunebench.cli.options import amount, cache_option, json_option, together
from prunebench.cli.text import say, table
from prunebench.errors import UsageError
from prunebench.request import cache_folder
from prunebench.store import Store
from prunebench.upkeep import Item, check_folder, chosen, items, remove, split_by_use

_DAYS = {"h": 1 / 24, "d": 1.0, "w": 7.0, "": 1.0}
_dry = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
_options = together(cache_option, json_option)


def _days(_: click.Context, __: click.Parameter, given: str | None) -> float | None:
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([hdw]?)", (given or "").strip(), re.IGNORECASE)
    if given is not None and not found:
        raise UsageError(f"--older-than {given!r} cannot be read", "write it such as 30d, 12h or 2w")
    return float(found[1]) * _DAYS[found[2].lower()] if found else None


@click.group()
def command() -> None:
    """Show what the cache folder holds, check it, and remove what is not used."""


@command.command()
@_options
def ls(cache: Path | None, as_json: bool) -> None:
    """List what the cache holds by kind: how much, and when it was last used."""
    root, found = _opened(cache)
    rows = [{"kind": kind, **_sum(some)} for kind, some in _by_kind(found)]
    if as_json:
        click.echo(json.dumps({"cache": str(root), "kinds": rows, **_sum(found)}))
        return
    lines = [(row["kind"], f"{row['count']:,}", _size(row["bytes"]), _date(row["last_used"])) for row in rows]
    total = _sum(found)
    lines.append(("all", f"{total['count']:,}", _size(total["bytes"]), _date(total["last_used"])))
    click.echo("\n".join(table(("kind", "count", "size", "last used"), lines)))
    say(f"in {root}; `prunebench cache gc` removes what was not used for long")


@command.command()
@_options
@click.option("--max-bytes", metavar="N", callback=amount, help="Remove until so much is left, such as 20GB.")
@click.option("--older-than", metavar="D", callback=_days,
              help="Remove what was not used for so long, such as 30d.")  # fmt: skip
@_dry
def gc(cache: Path | None, as_json: bool, max_bytes: int | None, older_than: float | None, dry_run: bool) -> None:
    """Remove what was used least recently; what a running process may hold stays."""
    if max_bytes is None and older_than is None:
        raise UsageError("gc needs to know what may go", "give --max-bytes N, --older-than D, or both")
    root, found = _opened(cache)
    before = None if older_than is None else time.time() - 86400 * older_than
    wanted = chosen(found, max_bytes=max_bytes, before=before)
    _remove(root, found, wanted, dry_run, as_json)


@command.command()
@_options
@_dry
def clear(cache: Path | None, as_json: bool, dry_run: bool) -> None:
    """Remove everything; what a running process may hold stays."""
    root, found = _opened(cache)
    _remove(root, found, chosen(found, max_bytes=-1), dry_run, as_json)


@command.command()
@_options
@_dry
def verify(cache: Path | None, as_json: bool, dry_run: bool) -> None:
    """Compare what is stored with the digests of its writing; what is damaged is set aside.  Ends with 1 if any is."""
    root, found = _opened(cache)
    stored, store = [item for item in found if item.artefact], Store(root)
    damaged, done, total = [], 0, max(1, sum(item.size for item in stored))
    with Bar(as_json) as progress:
        for item in stored:
            progress(done / total, f"checking {item.kind}")
            done += item.size
            if wrong := fault(item.path):
                stage = str(item.path.parent.parent.relative_to(root))
                place = None if dry_run else store.set_aside(stage, item.path.name)
                if dry_run or place:
                    damaged.append({"path": str(item.path), "fault": wrong, "set_aside": place and str(place)})
    if as_json:
        click.echo(json.dumps({"cache": str(root), "checked": len(stored), "damaged": damaged}))
    for one in [] if as_json else damaged:
        click.echo(f"{one['path']}: {one['fault']}" + (f"; set aside in {one['set_aside']}" if not dry_run else ""))
    say(f"{len(stored):,} artefacts checked, {len(damaged):,} damaged; what is set aside is computed again when needed")
    raise SystemExit(1 if damaged else 0)


def _opened(cache: Path | None) -> tuple[Path, list[Item]]:
    root = cache_folder(cache)
    check_folder(root)
    return root, items(root)


def _remove(root: Path, found: list[Item], wanted: list[Item], dry_run: bool, as_json: bool) -> None:
    free, held = split_by_use(root, wanted)
    gone = free if dry_run else remove(root, free)
    in_use = [*held, *({*free} - {*gone})]
    left = _sum({*found} - {*gone})
    if as_json:
        kinds = {kind: _sum(some) for kind, some in _by_kind(gone)}
        told = {"removed": _sum(gone), "kinds": kinds, "in_use": _sum(in_use), "left": left, "dry_run": dry_run}
        click.echo(json.dumps({"cache": str(root), **told}))
        return
    for kind, some in _by_kind(gone):
        click.echo(f"{kind}: {len(some):,}, {_size(sum(item.size for item in some))}")
    say(f"{'would remove' if dry_run else 'removed'} {_told(gone)}; {_size(left['bytes'])} are left")
    if in_use:
        say(f"{_told(in_use)} stay, as running processes may use them")


def _by_kind(found: Iterable[Item]) -> list[tuple[str, list[Item]]]:
    kinds: dict[str, list[Item]] = {}
    for item in found:
        kinds.setdefault(item.kind, []).append(item)
    return sorted(kinds.items())


def _sum(found: Iterable[Item]) -> dict[str, Any]:
    some = list(found)
    last = max((item.used for item in some), default=None)
    return {"count": len(some), "bytes": sum(item.size for item in some), "last_used": last}


def _told(found: list[Item]) -> str:
    return f"{len(found):,} item{'' if len(found) == 1 else 's'}, {_size(sum(item.size for item in found))}"


def _size(size: float) -> str:
    power = next((power for power in range(4) if size < 1000 ** (power + 1)), 4)
    return f"{size / 1000**power:.{1 if power else 0}f} {('B', 'KB', 'MB', 'GB', 'TB')[power]}"


def _date(used: float | None) -> str:
    return "-" if used is None else time.strftime("%Y-%m-%d", time.localtime(used))
