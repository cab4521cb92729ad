"""From what came of a pruning to the page about it; the same input gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from prunebench.board.render import charts
from prunebench.board.render.view import percent
from prunebench.pruning.flow import DUPLICATE_COSINE, Outcome
from prunebench.pruning.report import facts
from prunebench.pruning.report.layout import layout
from prunebench.pruning.report.thumbnails import TILE, Sheet, thumbnails, without_sheet
from prunebench.store import Store

POINTS, POINTS_WITH_PICTURES = 4000, 2000
WIDTH, HEIGHT = 1000, 640  # of the map, in its own units
ID_LENGTH, SEED = 100, 0

Form = Mapping[str, Any]


@dataclass(frozen=True)
class Drawn:
    """The map: rows int64 [m] of the samples that are drawn, and their places int64 [m, 2] in its units."""

    rows: NDArray[np.int64]
    places: NDArray[np.int64]


def render(
    outcome: Outcome, manifest: Form, *, board_row: str = "", store: Store | None = None, workers: int = 2
) -> str:
    """Return the page about a pruning, HTML of at most about 3 MB that loads nothing.

    board_row: the nearest row of the board, in words.  store: remembers thumbnails.  workers: threads that decode
    pictures; the page does not depend on them."""
    ledger = outcome.ledger.iloc[: len(outcome.source)].reset_index(drop=True)
    columns = [f"kept_{keep}" for keep in outcome.kept] if len(outcome.kept) > 1 else ["kept"]
    listed, drawn, pictures = facts.listed(ledger), _drawn(outcome), outcome.source.pictures
    uris: dict[int, str] = {}
    sheet: Sheet | None = None
    if pictures is not None:
        uris, sheet = thumbnails(pictures, listed.rows(), drawn.rows.tolist(), store, workers)
    originals = _originals(outcome, ledger, listed, workers)
    page = _environment().get_template("report.html.j2").render(
        outcome=outcome, manifest=manifest, samples=_Samples(ledger, uris), listed=listed, sheet=sheet,
        budgets={keep: len(outcome.indices(keep)) for keep in outcome.kept}, columns=columns,
        classes=facts.classes(ledger, columns), reasons=facts.reasons(ledger),
        skipped=facts.skipped(outcome.source.skipped), settings=facts.settings(manifest),
        command=facts.command(manifest), dots=_points(ledger, drawn, sheet), proof=manifest.get("proof"),
        originals=originals, probabilities=facts.probabilities(ledger),
        stability=_stabilities(manifest), board_row=board_row,
    )  # fmt: skip
    return page.encode("utf-8", "backslashreplace").decode()  # a lone surrogate in a name is no text


class _Samples:
    """The rows of a ledger with their thumbnails, as the templates read them."""

    def __init__(self, ledger: pd.DataFrame, uris: Mapping[int, str]) -> None:
        self._ledger, self._uris = ledger, uris

    def __getitem__(self, row: int) -> dict[str, Any]:
        values = {name: self._ledger[name].iloc[row] for name in map(str, self._ledger.columns)}
        known = {name: None if pd.isna(value) else value for name, value in values.items()}
        return {**known, "image": self._uris.get(row, ""), "id": _short(values["id"])}


def _originals(outcome: Outcome, ledger: pd.DataFrame, listed: facts.Listed, workers: int) -> dict[str, str]:
    """Return the pictures of the reference of which listed samples are near-duplicates, by their ids."""
    if outcome.reference is None or outcome.reference.pictures is None or not listed.leaked:
        return {}
    wanted = set(ledger["reference_copy"].iloc[list(listed.leaked)])
    rows = {row: name for row, name in enumerate(outcome.reference.ids) if name in wanted}
    return {rows[row]: uri for row, uri in without_sheet(outcome.reference.pictures, rows, workers).items()}


def _drawn(outcome: Outcome) -> Drawn:
    """Return the samples of the map, drawn with a seed where there are too many."""
    features = outcome.source.features
    assert features is not None
    most = POINTS if outcome.source.pictures is None else POINTS_WITH_PICTURES
    rows = np.arange(len(features))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(SEED).permutation(len(rows))[:most])
    return Drawn(rows, np.round(layout(features[rows], SEED) * (WIDTH, HEIGHT)).astype(np.int64))


def _points(ledger: pd.DataFrame, drawn: Drawn, sheet: Sheet | None) -> dict[str, Any]:
    """Return what the page needs to say of each point, as columns for JSON."""
    shown = ledger.iloc[drawn.rows]
    classes, names = pd.factorize(shown["class"], sort=True)
    whys, reasons = pd.factorize(shown["reason"], sort=True)
    return {
        "x": drawn.places[:, 0].tolist(), "y": drawn.places[:, 1].tolist(), "ids": [_short(one) for one in shown["id"]],
        "kept": shown["kept"].tolist(), "classes": [_short(name) for name in names],
        "class": classes.tolist(), "reasons": reasons.tolist(), "reason": whys.tolist(),
        "rank": [None if rank != rank else int(rank) for rank in shown["rank"].astype(float)],
        "often": facts.shares(shown),
        "for": [_short(one) for one in shown["kept_neighbour"]] if "kept_neighbour" in shown else [],
        "columns": sheet.columns if sheet else 0, "tile": TILE,
        "places": [sheet.places.get(row, -1) for row in drawn.rows.tolist()] if sheet else [],
    }  # fmt: skip


def _stabilities(manifest: Form) -> dict[str, Form]:
    """Return how the choice agrees with others, by what was changed."""
    seeds = {"another seed": known} if (known := manifest.get("stability")) else {}
    return seeds | {f"another backbone, {name}": one for name, one in manifest.get("backbones", {}).items()}


def _sample(row: int, samples: _Samples) -> dict[str, Any]:
    return samples[row]


def _short(name: str) -> str:
    return name if len(name) <= ID_LENGTH else f"{name[: ID_LENGTH // 2]}…{name[-ID_LENGTH // 2 :]}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("prunebench.pruning.report"), PackageLoader("prunebench.board.render")]),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {"percent": percent, "json": _json, "short": _short, "sample": _sample}
    environment.globals |= {"charts": charts, "px": charts.px, "facts": facts, "width": WIDTH, "height": HEIGHT}
    environment.globals["usual_cosine"] = DUPLICATE_COSINE
    return environment


def _json(value: Any) -> Any:
    """Return JSON that can stand inside a script element, or as text of the page."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
