"""The reference shelf: what the tables of all layers hold of one kind, put together and in order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from aistack import data
from aistack.claims import claims

__all__ = ["Event", "Player", "Role", "due", "events", "players", "roles"]

REVIEW_MONTHS = 12  #: a source that was looked at longer ago is due for another look


@dataclass(frozen=True)
class Event:
    """Something dated that happened in a layer."""

    layer: int
    year: int
    until: int | None
    what: str
    who: str
    impact: str
    disputed: str
    source_id: str
    locator: str


@dataclass(frozen=True)
class Role:
    """A job in a layer; pay in US dollars a year where a source gives it."""

    layer: int
    role: str
    work: str
    pay_usd: tuple[float, float] | None
    source_id: str


@dataclass(frozen=True)
class Player:
    """An organisation and what it does, layer by layer."""

    name: str
    does: tuple[tuple[int, str], ...]

    @property
    def layers(self) -> list[int]:
        """The layers it works in, in order."""
        return sorted({layer for layer, _ in self.does})


def _tables(pattern: str):
    """Rows of every table whose name matches, with the table's layer: (layer, row as dict, blanks as '')."""
    import pandas as pd

    for resource in data.package()["resources"]:
        if re.fullmatch(pattern, resource["name"]):
            for row in data.load(resource["name"]).to_dict("records"):
                yield (
                    resource["layer"],
                    {k: "" if pd.isna(v) else v for k, v in row.items()},
                )


def _first(row: dict, *columns: str) -> str:
    return next((str(row[c]) for c in columns if row.get(c)), "")


def _doubted() -> dict[tuple[int, str], str]:
    """What the ledger has against dates: (layer, survey line) -> why."""
    return {
        (c.layer, f"line {c.line}"): c.why
        for c in claims()
        if c.unit == "year" and c.verdict in ("conflicts", "misleading", "approximate")
    }


def events() -> list[Event]:
    """Return every dated event of all layers, oldest first; `disputed` says what speaks against the date."""
    doubts, found = _doubted(), {}
    for layer, row in _tables(r"\w+_(?:events|history)"):
        what = str(row["event"])
        note = str(row.get("note", ""))
        doubt = doubts.get((layer, str(row.get("source_locator", "")))) or (
            note if re.search(r"(?i)\b(wrong|dated? (from|to)|not of|year)\b", note) else ""
        )
        one = Event(
            layer, int(row["year"]), int(row["year_end"]) if row.get("year_end") else None, what,
            _first(row, "organisation", "actor"), _first(row, "impact"), doubt, str(row["source_id"]), str(row.get("source_locator", "")),
        )  # fmt: skip
        found.setdefault((layer, one.year, what), one)
    return sorted(found.values(), key=lambda e: (e.year, e.layer, e.what))


def roles() -> list[Role]:
    """Return the jobs of all layers, from the mine up."""
    return [
        Role(
            layer, str(row["role"]), str(row["work"]),
            (float(row["salary_usd_low"]), float(row["salary_usd_high"])) if row.get("salary_usd_low") else None, str(row["source_id"]),
        )
        for layer, row in _tables(r"\w+_roles")
    ]  # fmt: skip


#: Tables that list organisations, with the columns of the name and of what it does.
_PLAYERS = r"\w+_players|wafer_makers|rare_earth_producers|data_labelling_companies|model_providers|middleware_companies|ai_company_profiles|inference_providers|training_software|notable_training_runs"
_NAME = ("organisation", "player", "entity", "company", "maker", "producer")
_DOES = (
    "does",
    "contribution",
    "what",
    "products",
    "offering",
    "focus",
    "position",
    "strength",
    "specialty",
    "role",
    "scale",
    "note",
)
_ALSO = {
    "AWS": "Amazon", "Amazon AWS": "Amazon", "Google DeepMind": "Google", "DeepMind": "Google", "Google Cloud": "Google", "Alphabet": "Google",
    "Microsoft Azure": "Microsoft", "Meta AI": "Meta", "Meta FAIR": "Meta", "Facebook": "Meta", "Samsung Electronics": "Samsung",
}  # fmt: skip


def players() -> list[Player]:
    """Return the organisations of all layers, those in most layers first, then by name.

    A name in brackets is a part of the one before it: "Meta (FAIR)" counts as Meta.
    """
    found: dict[str, list[tuple[int, str]]] = {}
    for layer, row in _tables(_PLAYERS):
        full = _first(row, *_NAME)
        for part in re.split(r"\s*;\s*|\s*/\s*(?=[A-Z])|, (?:with|now) ", re.sub(r"\s*\([^)]*\)", "", full)):
            does = (layer, ": ".join(filter(None, (_first(row, "project", "run"), _first(row, *_DOES)))))
            if part and does not in (listed := found.setdefault(_ALSO.get(part, part), [])):
                listed.append(does)
    made = [Player(name, tuple(sorted(does))) for name, does in found.items()]
    return sorted(made, key=lambda p: (-len(p.layers), p.name.lower()))


def due(today: date, months: int = REVIEW_MONTHS) -> list[dict]:
    """Return the sources that were last looked at more than `months` before `today`, the oldest first."""
    limit = today.year * 12 + today.month - months

    def month(text: str) -> int:
        year, _, rest = text.partition("-")
        return int(year) * 12 + int((rest or "1")[:2])

    old = [s for s in data.sources() if s["accessed"] and month(s["accessed"]) < limit]
    return sorted(old, key=lambda s: (month(s["accessed"]), s["source_id"]))
