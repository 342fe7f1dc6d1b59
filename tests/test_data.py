"""The data: every table keeps its schema, and every way of breaking one is refused with file, row and column."""

import csv
import io
import itertools
import json
import math
import re
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from aistack import DataError, data, fact, load, number

FOLDER = data.data_dir()
SCRATCH = tempfile.TemporaryDirectory()
RESOURCES = {resource["name"]: resource for resource in data.package()["resources"]}
WINDOW = 10  # rows of a table that a corrupted copy keeps: enough, and quick
quick = settings(
    max_examples=2, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)  # no shrinking: a failure already names table, column and text


def limits(field):
    return field.get("constraints", {})


@cache
def cells(name):
    """The header and the rows of a table as text."""
    with (FOLDER / RESOURCES[name]["path"]).open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    return header, rows


def csv_bytes(lines):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue().encode()


def copy_folder(resource):
    """A fresh folder with the schema of one table and, as far as needed, the tables it refers to."""
    folder, needed, used = Path(tempfile.mkdtemp(dir=SCRATCH.name)), [resource], {}
    for link in resource["schema"].get("foreignKeys", []):
        at = cells(resource["name"])[0].index(link["fields"])
        place = link["reference"]["resource"], link["reference"]["fields"]
        used.setdefault(place, set()).update(row[at] for row in cells(resource["name"])[1])
    for (name, field), values in used.items():
        target, (header, rows) = RESOURCES[name], cells(name)
        key = header.index(field)
        (folder / target["path"]).write_bytes(csv_bytes([header, *(r for r in rows if r[key] in values)]))
        needed.append({**target, "schema": {**target["schema"], "foreignKeys": []}})
    (folder / "datapackage.json").write_text(json.dumps({"resources": needed}), encoding="utf-8")
    return folder


@cache
def scratch_folder(name):
    return copy_folder(RESOURCES[name])


def refusal(name, lines, folder=None):
    """The message with which table `name` is refused when its file holds `lines` (or bytes)."""
    folder = folder or scratch_folder(name)
    path = folder / RESOURCES[name]["path"]
    path.write_bytes(lines if isinstance(lines, bytes) else csv_bytes(lines))
    try:
        load(name, folder)
    except DataError as error:
        return str(error)
    scratch_folder.cache_clear()  # what loaded is cached for the folder
    pytest.fail(f"{path.name} was loaded although it is corrupt:\n{path.read_text()}")


# ---- the course's own tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RESOURCES)
def test_table_loads_with_types_units_and_sources(name):
    frame = load(name)
    fields = RESOURCES[name]["schema"]["fields"]
    assert list(frame.columns) == [f["name"] for f in fields]
    assert len(frame) == len(cells(name)[1]) > 0
    assert frame.attrs["name"] == name and frame.attrs["title"]
    assert frame.attrs["units"] == {f["name"]: f["unit"] for f in fields if "unit" in f}
    assert frame.attrs["survey_tables"] == RESOURCES[name].get("survey_tables", [])
    kinds = {"number": "float64", "integer": "Int64", "year": "Int64", "boolean": "boolean"}
    for f in fields:
        assert str(frame[f["name"]].dtype) == kinds.get(f["type"], "object")
    if "source_id" in frame:
        assert set(frame.attrs["sources"]) == set(frame["source_id"].dropna())
        assert data.sources(frame.attrs["sources"])


@pytest.mark.parametrize("name", RESOURCES)
def test_table_schema_is_documented(name):
    resource = RESOURCES[name]
    fields = {f["name"]: f for f in resource["schema"]["fields"]}
    assert resource["title"] and resource["description"]
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name) and resource["path"] == f"{name}.csv"
    for f in fields.values():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", f["name"]) and f["description"], f
        assert f["type"] in ("string", "integer", "number", "boolean", "year", "date"), f
    keys = resource["schema"]["primaryKey"]
    assert keys and set(keys) <= set(fields)
    if name not in ("sources", "claims"):
        assert {"source_id", "as_of"} <= set(fields)
        assert limits(fields["source_id"])["required"] and limits(fields["as_of"])["required"]
    if "source_id" in fields and name != "sources":
        wanted = {"fields": "source_id", "reference": {"resource": "sources", "fields": "source_id"}}
        assert wanted in resource["schema"]["foreignKeys"]


@pytest.mark.parametrize("name", [n for n in RESOURCES if n not in ("claims", "facts")])  # these have a column `unit`
def test_number_fields_have_units_and_limits(name):
    for f in RESOURCES[name]["schema"]["fields"]:
        if f["type"] in ("number", "integer"):
            assert f.get("unit"), f["name"]
            assert "minimum" in limits(f), f["name"]


def test_data_folder_holds_the_resources_and_nothing_else():
    assert {p.name for p in FOLDER.iterdir()} == {r["path"] for r in RESOURCES.values()} | {"datapackage.json"}
    assert len(RESOURCES) == len(data.package()["resources"])


def test_data_files_are_utf8_with_unix_line_ends():
    for path in FOLDER.iterdir():
        raw = path.read_bytes()
        assert b"\r" not in raw and raw.endswith(b"\n") and not raw.startswith(b"\xef\xbb\xbf"), path.name
        raw.decode("utf-8")


def test_table_names_are_the_resources_in_order():
    assert data.table_names() == [r["name"] for r in data.package()["resources"]]


@pytest.mark.parametrize("name", RESOURCES)
def test_codebook_returns_the_field_descriptors(name):
    assert data.codebook(name) == RESOURCES[name]["schema"]["fields"]


def test_load_returns_a_fresh_copy():
    first = load("nvlink_generations")
    first.iloc[:, 0] = "changed"
    first.attrs["units"].clear()
    again = load("nvlink_generations")
    assert "changed" not in set(again.iloc[:, 0]) and again.attrs["units"]


def test_data_dir_holds_the_package():
    assert (data.data_dir() / "datapackage.json").is_file()


# ---- facts, numbers and sources -----------------------------------------------------------------------------------


def test_every_fact_has_a_value_and_a_range_around_it():
    for row in load("facts")["fact_id"]:
        one = fact(row)
        low, high = one.range
        assert low <= high and one.unit and one.source_id
        if one.value is None:
            assert one.low is not None and one.high is not None, row
        else:
            assert low <= float(one) <= high


def test_fact_without_point_estimate_is_not_a_number():
    ranges = [i for i in load("facts")["fact_id"] if fact(i).value is None]
    with pytest.raises(DataError, match=f"{re.escape(repr(ranges[0]))} is a range .* use .low and .high"):
        float(fact(ranges[0]))


def test_fact_unknown_id_suggests_the_nearest():
    known = load("facts")["fact_id"][0]
    with pytest.raises(DataError, match=rf"no fact '{known}x' in facts.csv; did you mean '.+'\?"):
        fact(known + "x")


def test_number_reads_one_cell():
    assert number("nvlink_generations", "bandwidth_gb_per_s", generation="NVLink 4.0", source_id="survey") == 900.0


@pytest.mark.parametrize(
    ("column", "where", "message"),
    [
        ("bandwidth", {}, r"nvlink_generations: no column 'bandwidth'; did you mean 'bandwidth_gb_per_s'\?"),
        ("bandwidth_gb_per_s", {"generatio": "NVLink 4.0"}, r"no column 'generatio'; did you mean 'generation'\?"),
        ("bandwidth_gb_per_s", {"generation": "NVLink 99"}, r"0 rows match \{'generation': 'NVLink 99'\}, expected"),
        ("bandwidth_gb_per_s", {}, r"\d+ rows match \{\}, expected exactly one"),
        ("source_id", {"generation": "NVLink 4.0", "source_id": "survey"}, r"'source_id' .* is not a number: 'survey'"),
    ],
)
def test_number_refuses_with_the_way_out(column, where, message):
    with pytest.raises(DataError, match=message):
        number("nvlink_generations", column, **where)


@pytest.mark.parametrize("kinds", [("number",), ("integer", "year")])
def test_number_refuses_an_empty_cell(kinds):
    name, column, at = next(
        (name, f["name"], i)
        for name, resource in RESOURCES.items()
        for f in resource["schema"]["fields"]
        if f["type"] in kinds
        for i, row in enumerate(cells(name)[1])
        if row[cells(name)[0].index(f["name"])] == ""
    )
    row = load(name).iloc[at]
    where = {k: row[k] for k in RESOURCES[name]["schema"]["primaryKey"] if row[k] is not None}
    with pytest.raises(DataError, match=f"{name}: {column!r} is empty where"):
        number(name, column, **where)


def test_number_unknown_table_suggests_the_nearest():
    with pytest.raises(DataError, match=r"no table 'nvlink_generation' .*did you mean 'nvlink_generations'\?"):
        number("nvlink_generation", "x")


def test_sources_returns_records_in_the_order_asked():
    ids = list(load("sources")["source_id"])[:3]
    assert [s["source_id"] for s in data.sources([*ids[::-1], ids[0]])] == ids[::-1]
    assert len(data.sources()) == len(load("sources"))


def test_sources_unknown_id_suggests_the_nearest():
    with pytest.raises(DataError, match=r"no source 'survy' in sources.csv; did you mean 'survey'\?"):
        data.sources(["survy"])


# ---- a broken package ---------------------------------------------------------------------------------------------


def test_load_unknown_table_suggests_the_nearest():
    with pytest.raises(
        DataError, match=r"no table 'nvlink_generation' in data/.*; did you mean 'nvlink_generations'\?"
    ):
        load("nvlink_generation")


def test_package_missing_says_where(tmp_path):
    with pytest.raises(DataError, match=r"datapackage.json: missing; reinstall aistack"):
        load("sources", tmp_path)


def test_package_that_is_not_json_says_where(tmp_path):
    (tmp_path / "datapackage.json").write_text("{")
    with pytest.raises(DataError, match=r"datapackage.json: not valid JSON \(.*line 1 column"):
        load("sources", tmp_path)


@pytest.mark.parametrize("name", ["sources", "nvlink_generations"])
def test_load_missing_file_names_it(name):
    with pytest.raises(DataError) as refused:
        load(name, copy_folder(RESOURCES[name]))
    assert str(refused.value) == f"{name}.csv: missing, though datapackage.json lists it as {name!r}"


def test_load_missing_referenced_file_names_it():
    header, rows = cells("nvlink_generations")
    folder = copy_folder(RESOURCES["nvlink_generations"])
    (folder / "sources.csv").unlink()
    assert refusal("nvlink_generations", [header, *rows], folder).startswith("sources.csv: missing")


def test_load_empty_file_is_refused():
    assert refusal("sources", b"") == "sources.csv: empty, expected a header row"


def test_load_file_that_is_not_utf8_is_refused():
    assert refusal("sources", "source_id,caf\u00e9\n".encode("latin-1")).startswith("sources.csv: not UTF-8 (")


def test_load_broken_quotes_are_refused():
    raw = csv_bytes([cells("sources")[0], cells("sources")[1][0]]) + b'x,"open\n'
    assert refusal("sources", raw).startswith("sources.csv: not a readable CSV (")


def test_load_type_unknown_to_the_loader_is_refused():
    schema = RESOURCES["sources"]["schema"]
    fields = [{**schema["fields"][0], "type": "duration"}, *schema["fields"][1:]]
    changed = {**RESOURCES["sources"], "schema": {**schema, "fields": fields}}
    header, rows = cells("sources")
    message = refusal("sources", [header, rows[0]], copy_folder(changed))
    assert message.startswith("sources.csv: row 2, column 'source_id': has a type 'duration'")


def test_load_enum_suggests_the_nearest():
    header, (row, *_) = cells("sources")
    at = header.index("kind")
    message = refusal("sources", [header, [*row[:at], "surveys", *row[at + 1 :]]])
    assert message.startswith("sources.csv: row 2, column 'kind': 'surveys' is not one of [")
    assert message.endswith("]; did you mean 'survey'?")


def test_load_reference_suggests_the_nearest():
    header, (row, *_) = cells("nvlink_generations")
    at = header.index("source_id")
    message = refusal("nvlink_generations", [header, [*row[:at], row[at] + "x", *row[at + 1 :]]])
    assert message.endswith(f"is not in sources.csv; did you mean {row[at]!r}?")


def test_load_unique_field_may_stay_empty_but_not_repeat(tmp_path):
    fields = [{"name": "a", "type": "string"}, {"name": "b", "type": "string", "constraints": {"unique": True}}]
    package = {"resources": [{"name": "t", "path": "t.csv", "schema": {"fields": fields, "primaryKey": "a"}}]}
    for at, text in enumerate(["a,b\nx,\ny,\nz,1\n", "a,b\nx,1\ny,2\nz,1\n"]):
        (tmp_path / str(at)).mkdir()
        (tmp_path / str(at) / "datapackage.json").write_text(json.dumps(package))
        (tmp_path / str(at) / "t.csv").write_text(text)
    assert len(load("t", tmp_path / "0")) == 3
    with pytest.raises(DataError, match=r"t.csv: row 4, column 'b': \('1',\) already stands in row 2"):
        load("t", tmp_path / "1")


# ---- every table, every column, every corruption ------------------------------------------------------------------

WORDS = st.text("abcXYZ019.-_~ é", min_size=1, max_size=12).filter(lambda t: t == t.strip())
NOT_A = {
    "integer": ["x", "1.5", "1e3", "0x1", "nan", "inf", "1_000", "1,000", "--1", "٣"],
    "number": ["x", "nan", "NaN", "inf", "-inf", "Infinity", "1e999", "1,000", "1_000", "12%", "$5", "~3", "0x1", "٣"],
    "year": ["26", "20260", "MMXX", "2026.0", "-2026", "٢٠٢٦"],
    "date": ["2026", "2026-13-01", "2026-02-30", "2026-1-5", "20260101", "2026-W01-1", "1 May 2026"],
    "boolean": ["True", "FALSE", "yes", "1", "0"],
}


def outside(field, which):
    """Texts of the right type beyond a limit."""
    end, kind = limits(field)[which], field["type"]
    if kind == "number":
        below, above = {"max_value": end, "exclude_max": True}, {"min_value": end, "exclude_min": True}
        side = below if which == "minimum" else above
        return st.floats(**side, allow_infinity=False, allow_nan=False).map(repr)
    if kind == "year":
        return (st.integers(0, end - 1) if which == "minimum" else st.integers(end + 1, 9999)).map("{:04d}".format)
    return (st.integers(max_value=end - 1) if which == "minimum" else st.integers(min_value=end + 1)).map(str)


def forbidden(field, known):
    """Kind of corruption -> texts that the schema forbids in a cell of `field`; ``{}`` stands for the text there."""
    rules = limits(field)
    kinds = {"spaces": st.sampled_from([" {}", "{} ", "\t{}", "{}\u00a0", "{}\n"])}
    if rules.get("required"):
        kinds["required"] = st.just("")
    if field["type"] in NOT_A:
        kinds["type"] = st.sampled_from(NOT_A[field["type"]])
    for which in ("minimum", "maximum"):
        if which in rules and not (field["type"] == "year" and which == "maximum" and rules[which] >= 9999):
            kinds[which] = outside(field, which)
    if "enum" in rules:
        allowed = set(map(str, rules["enum"]))
        near = st.sampled_from(sorted(allowed)).map(lambda e: e + "s")
        kinds["enum"] = (WORDS | near).filter(lambda t: t not in allowed)
    if "pattern" in rules:
        kinds["pattern"] = WORDS.filter(lambda t: not re.fullmatch(rules["pattern"], t))
    if known is not None:
        kinds["reference"] = WORDS.filter(lambda t: t not in known)
    return kinds


@pytest.mark.parametrize("name", RESOURCES)
@quick
@given(draw=st.data())
def test_corrupt_cell_names_file_row_and_column(name, draw):
    header, rows = cells(name)
    links = {link["fields"]: link["reference"] for link in RESOURCES[name]["schema"].get("foreignKeys", [])}
    for at, field in enumerate(RESOURCES[name]["schema"]["fields"]):
        known = None
        if field["name"] in links:
            target = links[field["name"]]
            known = {row[cells(target["resource"])[0].index(target["fields"])] for row in cells(target["resource"])[1]}
        for kind, texts in forbidden(field, known).items():
            start = draw.draw(st.integers(0, max(len(rows) - WINDOW, 0)))
            kept = [list(row) for row in rows[start : start + WINDOW]]
            row = draw.draw(st.integers(0, len(kept) - 1))
            text = draw.draw(texts)
            kept[row][at] = text.replace("{}", kept[row][at])
            message = refusal(name, [header, *kept])
            where = f"{name}.csv: row {row + 2}, column {field['name']!r}: "
            assert message.startswith(where), f"{kind} {text!r} in {where}: {message}"


HEADERS = {
    "removed": lambda header, at: [*header[:at], *header[at + 1 :]],
    "renamed": lambda header, at: [*header[:at], header[at] + "x", *header[at + 1 :]],
    "blanked": lambda header, at: [*header[:at], "", *header[at + 1 :]],
    "doubled": lambda header, at: [*header[: at + 1], *header[at:]],
    "added": lambda header, at: [*header[:at], header[at] + "_2", *header[at:]],
    "moved": lambda header, at: [*header[at:], *header[:at]] if at else header[::-1],
    "capital": lambda header, at: [*header[:at], header[at].title(), *header[at + 1 :]],
}


WHY = {"moved": "another order", "doubled": "another order", "added": "not documented"}


@pytest.mark.parametrize("name", RESOURCES)
def test_corrupt_header_names_file_and_column(name):
    header, (row, *_) = cells(name)
    pairs = dict(zip(header, row, strict=True))
    for (change, made), (at, column) in itertools.product(HEADERS.items(), enumerate(header)):
        changed = made(header, at)
        message = refusal(name, [changed, [pairs.get(c, "1") for c in changed]])
        assert message.startswith(f"{name}.csv: column") and repr(column)[1:-1] in message, f"{change}: {message}"
        assert WHY.get(change, "is missing") in message, f"{change}: {message}"


@pytest.mark.parametrize("name", RESOURCES)
@quick
@given(draw=st.data())
def test_corrupt_rows_name_file_and_row(name, draw):
    header, rows = cells(name)
    kept = rows[:WINDOW]
    one, place = draw.draw(st.integers(0, len(kept) - 1)), draw.draw(st.integers(0, len(kept)))
    again = [header, *kept[:place], kept[one], *kept[place:]]
    message, later = refusal(name, again), max(place, one + (place <= one)) + 2
    key = ", ".join(RESOURCES[name]["schema"]["primaryKey"])
    assert message.startswith(f"{name}.csv: row {later}, column {key!r}: ") and "already stands in row" in message
    for changed in (kept[one][:-1], [*kept[one], "1"], [], kept[one][:1]):
        message = refusal(name, [header, *kept[:one], changed, *kept[one + 1 :]])
        assert message == f"{name}.csv: row {one + 2}: {len(changed)} cells where the header has {len(header)}"


@pytest.mark.parametrize("name", [n for n in RESOURCES if len(cells(n)[1]) > 1])
def test_repeated_key_names_both_rows(name):
    header, rows = cells(name)
    schema = RESOURCES[name]["schema"]
    for keys in [schema["primaryKey"], *([f["name"]] for f in schema["fields"] if limits(f).get("unique"))]:
        copy = [list(row) for row in rows[:WINDOW]]
        for key in keys:
            copy[-1][header.index(key)] = copy[0][header.index(key)]
        message = refusal(name, [header, *copy])
        assert message.startswith(f"{name}.csv: row {len(copy) + 1}, column {', '.join(keys)!r}: "), message
        assert message.endswith("already stands in row 2")


RANGES = [
    (name, f["name"].removesuffix("_low"))
    for name, resource in RESOURCES.items()
    for f in resource["schema"]["fields"]
    if f["name"].endswith("_low")
]


@pytest.mark.parametrize(("name", "stem"), RANGES)
def test_range_upside_down_names_row_and_column(name, stem):
    header, rows = cells(name)
    at = {end: header.index(stem + end) for end in ("_low", "", "_high") if stem + end in header}
    kinds = {f["name"]: f["type"] for f in RESOURCES[name]["schema"]["fields"]}
    assert len(at) >= 2 and all(kinds[stem + end] in ("number", "integer", "year") for end in at)
    number_of = next((i for i, r in enumerate(rows) if len({float(r[c]) for c in at.values() if r[c]}) > 1), None)
    if number_of is None:  # no row has two different ends: make some from the limits of the field
        field = next(f for f in RESOURCES[name]["schema"]["fields"] if f["name"] == f"{stem}_low")
        low = limits(field).get("minimum", 0)
        ends, number_of = [str(low + 2), str(low + 1)], 0
    else:
        ends = sorted({rows[number_of][c] for c in at.values() if rows[number_of][c]}, key=float)[::-1]
    row = list(rows[number_of])
    for column in at.values():
        row[column] = ""
    for first, second in (("_low", ""), ("_low", "_high"), ("", "_high")):
        if first in at and second in at:
            changed = list(row)
            changed[at[first]], changed[at[second]] = ends[0], ends[-1]
            message = refusal(name, [header, changed])
            assert message.startswith(f"{name}.csv: row 2, column '{stem}"), message


@pytest.mark.parametrize("name", RESOURCES)
def test_copy_without_corruption_loads(name):
    header, rows = cells(name)
    folder = copy_folder(RESOURCES[name])
    (folder / RESOURCES[name]["path"]).write_bytes(csv_bytes([header, *rows[-WINDOW:]]))
    assert len(load(name, folder)) == min(len(rows), WINDOW)


@settings(max_examples=200)
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_number_cell_reads_back_exactly(value):
    read = data._cell(repr(value), {"name": "x", "type": "number"})
    assert read == value and math.copysign(1, read) == math.copysign(1, value)
