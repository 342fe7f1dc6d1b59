"""Read the course's data: typed tables with units and provenance.

This module is the only reader of ``data/``. The schema it enforces is
``data/datapackage.json`` (Frictionless Data Package v2): every column is documented,
every documented column is there, every cell has its type and keeps its limits.
"""

from __future__ import annotations

import csv
import datetime
import difflib
import json
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

__all__ = ["DataError", "Fact", "codebook", "data_dir", "fact", "load", "number", "package", "sources", "table_names"]

_TRUE, _FALSE = "true", "false"
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")  # float() also takes nan, inf and 1_000


class DataError(ValueError):
    """A table, a row or a cell that is not what the schema says; the message names it and the way out."""


def data_dir() -> Path:
    """Return the folder that holds the tables: inside the wheel, or the checkout's ``data/``."""
    packed = Path(__file__).with_name("_data")
    return packed if packed.is_dir() else Path(__file__).resolve().parent.parent / "data"


@lru_cache
def package(folder: Path | None = None) -> dict:
    """Return the parsed ``datapackage.json`` of `folder` (default: the course's own).

    Raises
    ------
    DataError
        If the file is missing or is not JSON.
    """
    path = (folder or data_dir()) / "datapackage.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: missing; reinstall aistack or restore the file from git") from None
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error})") from None


def table_names(folder: Path | None = None) -> list[str]:
    """Return the names that :func:`load` knows, in the package's order."""
    return [resource["name"] for resource in package(folder)["resources"]]


def _nearest(name: str, names) -> str:
    known = {str(n).lower(): str(n) for n in names}
    close = difflib.get_close_matches(str(name).lower(), known, n=1, cutoff=0.5)
    return f"; did you mean {known[close[0]]!r}?" if close else ""


def _resource(name: str, folder: Path | None) -> dict:
    for resource in package(folder)["resources"]:
        if resource["name"] == name:
            return resource
    raise DataError(f"no table {name!r} in data/datapackage.json{_nearest(name, table_names(folder))}")


def codebook(name: str, folder: Path | None = None) -> list[dict]:
    """Return the field descriptors (name, type, unit, description, constraints) of table `name`."""
    return _resource(name, folder)["schema"]["fields"]


def _cell(text: str, field: dict):
    """Convert one cell; raise ValueError saying what was expected."""
    kind = field.get("type", "string")
    limits = field.get("constraints", {})
    if text == "":
        if limits.get("required"):
            raise ValueError("is empty but required")
        return None
    if text != text.strip():
        raise ValueError(f"{text!r} has spaces around it")
    if kind == "integer":
        if not re.fullmatch(r"[+-]?[0-9]+", text):
            raise ValueError(f"{text!r} is not an integer")
        value = int(text)
    elif kind == "number":
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"{text!r} is not a number")
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"{text!r} is not a finite number")
    elif kind == "boolean":
        if text not in (_TRUE, _FALSE):
            raise ValueError(f"{text!r} is neither 'true' nor 'false'")
        value = text == _TRUE
    elif kind == "year":
        if not re.fullmatch(r"[0-9]{4}", text):
            raise ValueError(f"{text!r} is not a four-digit year")
        value = int(text)
    elif kind == "date":
        try:  # fromisoformat alone also takes 20260101 and 2026-W01-1
            value = datetime.date.fromisoformat(text if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else "")
        except ValueError:
            raise ValueError(f"{text!r} is not a date YYYY-MM-DD") from None
    elif kind == "string":
        value = text
    else:
        raise ValueError(f"has a type {kind!r} that the loader does not know")
    if "minimum" in limits and value < limits["minimum"]:
        raise ValueError(f"{text!r} is below the minimum {limits['minimum']}")
    if "maximum" in limits and value > limits["maximum"]:
        raise ValueError(f"{text!r} is above the maximum {limits['maximum']}")
    if "enum" in limits and value not in limits["enum"]:
        raise ValueError(f"{text!r} is not one of {limits['enum']}{_nearest(text, limits['enum'])}")
    if "pattern" in limits and not re.fullmatch(limits["pattern"], text, re.ASCII):
        raise ValueError(f"{text!r} does not match {limits['pattern']!r}")
    return value


_DTYPES = {"integer": "Int64", "year": "Int64", "number": "float64", "boolean": "boolean"}


def _read(name: str, folder: Path | None):
    """Return (resource, header fields, rows) of one table, cells converted and row rules checked."""
    resource = _resource(name, folder)
    path = (folder or data_dir()) / resource["path"]
    fields = resource["schema"]["fields"]
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            lines = list(csv.reader(stream, strict=True))
    except FileNotFoundError:
        raise DataError(f"{path.name}: missing, though datapackage.json lists it as {name!r}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: not UTF-8 ({error})") from None
    except csv.Error as error:
        raise DataError(f"{path.name}: not a readable CSV ({error})") from None
    if not lines:
        raise DataError(f"{path.name}: empty, expected a header row")
    header, names = lines[0], [field["name"] for field in fields]
    for column in names:
        if column not in header:
            raise DataError(f"{path.name}: column {column!r} is missing{_nearest(column, header)}")
    for column in header:
        if column not in names:
            raise DataError(
                f"{path.name}: column {column!r} is not documented in datapackage.json{_nearest(column, names)}"
            )
    if header != names:
        raise DataError(f"{path.name}: columns stand in another order than documented: {header} against {names}")
    rows = []
    for at, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise DataError(f"{path.name}: row {at}: {len(line)} cells where the header has {len(header)}")
        row = []
        for text, field in zip(line, fields, strict=True):
            try:
                row.append(_cell(text, field))
            except ValueError as error:
                raise DataError(f"{path.name}: row {at}, column {field['name']!r}: {error}") from None
        _check_ranges(dict(zip(names, row, strict=True)), path.name, at)
        rows.append(row)
    _check_keys(resource["schema"], names, rows, path.name)
    return resource, names, rows


def _check_ranges(row: dict, file: str, at: int) -> None:
    """A low end stands below its point estimate and its high end."""
    for column, low in row.items():
        if not column.endswith("_low") or low is None:
            continue
        stem = column[: -len("_low")]
        ordered = [low, row.get(stem), row.get(f"{stem}_high")]
        known = [x for x in ordered if x is not None]
        if known != sorted(known):
            raise DataError(
                f"{file}: row {at}, column {column!r}: {low} <= {stem} <= {stem}_high does not hold ({known})"
            )
    for column, high in row.items():
        if column.endswith("_high") and high is not None:
            point = row.get(column[: -len("_high")])
            if point is not None and point > high:
                raise DataError(f"{file}: row {at}, column {column!r}: {high} is below the point estimate {point}")


def _check_keys(schema: dict, names: list[str], rows: list[list], file: str) -> None:
    key = schema.get("primaryKey", [])
    keys = [([key] if isinstance(key, str) else key)] if key else []
    keys += [[f["name"]] for f in schema["fields"] if f.get("constraints", {}).get("unique")]
    for key in keys:
        at = [names.index(k) for k in key]
        seen: dict = {}
        for number_, row in enumerate(rows, start=2):
            value = tuple(row[i] for i in at)
            if value == (None,):
                continue
            if value in seen:
                raise DataError(
                    f"{file}: row {number_}, column {', '.join(key)!r}: {value} already stands in row {seen[value]}"
                )
            seen[value] = number_


@lru_cache
def _frame(name: str, folder: Path | None):
    import pandas as pd

    resource, names, rows = _read(name, folder)
    _check_references(resource, names, rows, folder)
    columns = list(zip(*rows, strict=True)) if rows else [[] for _ in names]
    frame = pd.DataFrame(
        {
            field["name"]: pd.Series(list(column), dtype=_DTYPES.get(field.get("type", "string"), "object"))
            for field, column in zip(resource["schema"]["fields"], columns, strict=True)
        }
    )
    return resource, frame


def _check_references(resource: dict, names: list[str], rows: list[list], folder: Path | None) -> None:
    for link in resource["schema"].get("foreignKeys", []):
        column, target = link["fields"], link["reference"]
        known = _key_values(target["resource"], target["fields"], folder)
        at = names.index(column)
        for number_, row in enumerate(rows, start=2):
            if row[at] is not None and row[at] not in known:
                raise DataError(
                    f"{resource['path']}: row {number_}, column {column!r}: {row[at]!r} is not in "
                    f"{target['resource']}.csv{_nearest(row[at], known)}"
                )


@lru_cache
def _key_values(name: str, column: str, folder: Path | None) -> frozenset:
    _, names, rows = _read(name, folder)
    return frozenset(row[names.index(column)] for row in rows)


def load(name: str, folder: Path | None = None):
    """Return one table as a DataFrame, checked against its schema.

    Parameters
    ----------
    name : str
        A resource name of ``data/datapackage.json``, for example ``"nvlink_generations"``.
    folder : Path, optional
        Another folder of tables with its own ``datapackage.json``.

    Returns
    -------
    pandas.DataFrame
        A fresh copy. ``.attrs`` holds ``name``, ``title``, ``units`` (column -> unit), ``sources``
        (the ids of its rows, in order of first use) and ``survey_tables``.

    Raises
    ------
    DataError
        For an unknown name, a missing file or column, a column that is not documented, a cell of the
        wrong type or outside its limits, a duplicate key, a reference to nothing; it names file, row and column.

    Examples
    --------
    >>> load("nvlink_generations").attrs["units"]["bandwidth_gb_per_s"]
    'GB/s'
    """
    resource, frame = _frame(name, folder)
    copy = frame.copy()
    copy.attrs = {
        "name": name,
        "title": resource.get("title", name),
        "units": {f["name"]: f["unit"] for f in resource["schema"]["fields"] if "unit" in f},
        "sources": list(dict.fromkeys(copy["source_id"].dropna())) if "source_id" in copy else [],
        "survey_tables": resource.get("survey_tables", []),
    }
    return copy


@lru_cache
def _sources() -> dict:
    return {row["source_id"]: row for row in _frame("sources", None)[1].to_dict("records")}


def sources(ids=None) -> list[dict]:
    """Return the source records (title, publisher, date, kind, locator …) with these ids; all when None.

    Raises
    ------
    DataError
        If an id is not in ``data/sources.csv``.
    """
    records = _sources()
    wanted = list(records) if ids is None else list(dict.fromkeys(ids))
    for source in wanted:
        if source not in records:
            raise DataError(f"no source {source!r} in sources.csv{_nearest(source, records)}")
    return [dict(records[source]) for source in wanted]


def number(table: str, column: str, **where) -> float:
    """Return the one number in `column` of the row that matches ``where``.

    Examples
    --------
    >>> number("nvlink_generations", "bandwidth_gb_per_s", generation="NVLink 4.0", source_id="survey")
    900.0

    Raises
    ------
    DataError
        If the column is unknown, or the conditions match no row, several rows, or an empty cell.
    """
    frame = _frame(table, None)[1]
    for name in [column, *where]:
        if name not in frame.columns:
            raise DataError(f"{table}: no column {name!r}{_nearest(name, frame.columns)}")
    for name, wanted in where.items():
        frame = frame[(frame[name] == wanted).fillna(False)]
    if len(frame) != 1:
        raise DataError(f"{table}: {len(frame)} rows match {where}, expected exactly one")
    value = frame[column].iloc[0]
    if frame[column].isna().iloc[0]:
        raise DataError(f"{table}: {column!r} is empty where {where}")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DataError(f"{table}: {column!r} where {where} is not a number: {value!r}") from None


@dataclass(frozen=True)
class Fact:
    """One sourced figure of ``data/facts.csv``; ``float(fact)`` is its point estimate."""

    fact_id: str
    entity: str
    quantity: str
    low: float | None
    value: float | None
    high: float | None
    unit: str
    as_of: str
    source_id: str

    def __float__(self) -> float:
        if self.value is None:
            raise DataError(
                f"fact {self.fact_id!r} is a range {self.low}-{self.high} with no point estimate; use .low and .high"
            )
        return self.value

    @property
    def range(self) -> tuple[float, float]:
        """Low and high end; the point estimate stands in for an end that the source does not give."""
        ends = [x for x in (self.low, self.value, self.high) if x is not None]
        return min(ends), max(ends)


@lru_cache
def _facts() -> dict:
    return {row["fact_id"]: row for row in _frame("facts", None)[1].to_dict("records")}


def fact(fact_id: str) -> Fact:
    """Return the fact with this id.

    Raises
    ------
    DataError
        If ``data/facts.csv`` has no such id.
    """
    try:
        row = _facts()[fact_id]
    except KeyError:
        raise DataError(f"no fact {fact_id!r} in facts.csv{_nearest(fact_id, _facts())}") from None
    ends = {k: None if row[k] != row[k] else row[k] for k in ("value_low", "value", "value_high")}
    return Fact(
        fact_id,
        row["entity"],
        row["quantity"],
        ends["value_low"],
        ends["value"],
        ends["value_high"],
        row["unit"],
        row["as_of"],
        row["source_id"],
    )
