"""Notebooks follow the chapter template, carry no outputs, and their prose states no number that nothing holds."""

import ast
import csv
import json
import re
from functools import cache
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml

from aistack import data, units
from aistack.book.execute import executed, notebooks
from aistack.claims import claims

ROOT = Path(__file__).parent.parent
ALL = notebooks(ROOT)
CHAPTERS = [path for path in ALL if path.parts[0] == "chapters"]
TAUGHT = [path for path in ALL if path.parts[0] in ("chapters", "synthesis")]
HEADINGS = [
    "At a glance", "Build it small", "The players", "What holds it back", "The frontier", "Who works here",
    "How we got here", "Up and down the stack", "Summary", "Exercises", "Sources",
]  # fmt: skip


def read(path):
    return nbformat.read(ROOT / path, as_version=4)


def tags(cell):
    return cell.metadata.get("tags", [])


def markdown(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def prose(text):
    """Text without code, formulas, directives' options, roles, links and citations."""
    text = re.sub(r"```.*?```|\$\$.*?\$\$", " ", text, flags=re.S)
    text = re.sub(r"`[^`]*`|\$[^$\n]+\$|\]\([^)]*\)|https?://\S+|\{[a-z:-]+\}", " ", text)
    return re.sub(r"^(:{3,}.*|:[a-z-]+:.*|\(.*\)=)$", " ", text, flags=re.M)


def test_every_chapter_file_is_in_the_contents():
    on_disk = {
        p.relative_to(ROOT)
        for folder in ("chapters", "synthesis", "reference")
        for p in (ROOT / folder).glob("*.ipynb")
    }
    assert on_disk == set(ALL)
    assert CHAPTERS


@pytest.mark.parametrize("path", ALL, ids=str)
def test_notebook_is_stripped(path):
    for cell in read(path).cells:
        if cell.cell_type == "code" and "keep_output" not in tags(cell):
            assert not cell.outputs and cell.execution_count is None, cell.source[:80]


@pytest.mark.parametrize("path", CHAPTERS, ids=str)
def test_chapter_follows_the_template(path):
    notebook = read(path)
    layer = data.load("layers").set_index("slug").loc[path.stem]
    first = notebook.cells[0].source.splitlines()
    assert first[0] == f"(ch-{path.stem[3:]})="
    assert first[1] == f"# {layer['title']}"
    found = re.findall(r"^## (.+)$", markdown(notebook), re.M)
    at = [next((i for i, h in enumerate(found) if h.startswith(wanted)), None) for wanted in HEADINGS]
    assert None not in at, [h for h, i in zip(HEADINGS, at, strict=True) if i is None]
    assert at[0] == 0 and at[1:] == sorted(at[1:])
    imports = next(c for c in notebook.cells if c.cell_type == "code" and "bootstrap" not in tags(c))
    assert len(imports.source.splitlines()) <= 12


@pytest.mark.parametrize("path", TAUGHT, ids=str)
def test_chapter_code_is_short_and_clean(path):
    for cell in read(path).cells:
        if cell.cell_type != "code":
            continue
        if not {"hide-input", "remove-cell", "hide-cell"} & set(tags(cell)):
            assert len(cell.source.splitlines()) <= 18, cell.source
        if "bootstrap" not in tags(cell):
            assert not re.search(r"^\s*[%!]|import \*|sys\.path|urlopen|requests\.", cell.source, re.M), cell.source


@pytest.mark.parametrize("path", CHAPTERS, ids=str)
def test_chapter_is_long_enough_to_teach(path):
    notebook = read(path)
    assert 3000 <= len(prose(markdown(notebook)).split()) <= 7500
    code = "\n".join(c.source for c in notebook.cells if c.cell_type == "code")
    assert len(re.findall(r"^chart\(|[^.\w]chart\(", code, re.M)) >= 5
    assert len(re.findall(r"\bexplore\(", code)) >= 2
    assert len(re.findall(r"\bclaim\(", code)) >= 5
    assert len(re.findall(r"^\s*assert ", code, re.M)) >= 5


def test_bootstrap_names_the_configured_repository():
    url = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    for path in TAUGHT:
        boot = [c.source for c in read(path).cells if "bootstrap" in tags(c)]
        assert len(boot) == 1 and f"git+{url}@" in boot[0], path


#: Pure conversions that pages name: cubic feet a minute in a cubic metre a second, operations in a petaFLOP/s-day, without its powers of ten.
CONVERSIONS = (60 / 0.3048**3, units.DAY / 1e4)
NUMBER = re.compile(r"(?<![\w.,/^_-])(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(?![\w]|[.,]\d)")


def numbers(text):
    """Every number in a text, also those glued to letters or signs."""
    return [
        float(x.replace(",", "")) for x in re.findall(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", text)
    ]


@cache
def held():
    """Every number in the data and the claims, but for the tables that hold the course's own words."""
    pool = list(CONVERSIONS)
    for name in set(data.table_names()) - {"course_text", "course_glossary", "course_questions"}:
        with (data.data_dir() / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
            for row in csv.reader(stream):
                pool += numbers(" ".join(row))
    for one in claims():
        for which in ("literal", "fair"):
            value = one.computed(which)
            if value is not None and not isinstance(value, bool):
                pool += value
    return np.unique(np.abs(pool))


def known_numbers(path):
    """What the data, the claims, and this notebook's code and outputs hold."""
    pool = []
    for cell in executed(ROOT, path).cells:
        if cell.cell_type == "code":
            pool += numbers(cell.source)
            pool += numbers(json.dumps(cell.outputs))
    return np.union1d(held(), np.abs(pool))


def captions(path):
    """What is typed into titles, summaries, questions and answers, without the numbers put in, and the numbers in the code."""
    typed, pool = [], []
    for cell in read(path).cells:
        if cell.cell_type == "code" and "bootstrap" not in tags(cell):
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Constant) and type(node.value) in (int, float):
                    pool.append(abs(node.value))
                elif isinstance(node, ast.keyword) and node.arg in ("title", "summary", "question", "says"):
                    texts = (n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant))
                    typed += [re.sub(r"\{[^}]*\}", " ", t) for t in texts if isinstance(t, str)]
    return typed, np.union1d(held(), pool)


def stands(text, decimals, pool):
    """Whether some known number, at some decimal scale, rounds to the one written."""
    value = float(text)
    zeros = 0 if decimals else len(text) - len(text.rstrip("0"))
    half = 0.5 * 10.0 ** (zeros - decimals)
    for scale in (1, 1e2, 1e-2, 1e3, 1e-3, 1e6, 1e-6, 1e9, 1e-9, 1e12, 1e-12):
        low, high = np.searchsorted(pool, [(value - half) * scale * (1 - 1e-9), (value + half) * scale * (1 + 1e-9)])
        if high > low:
            return True
    return False


def unheld(text, pool):
    """The numbers above 20 in a text, years left out, that the pool does not hold, each with the words around it."""
    unknown = []
    for match in NUMBER.finditer(text):
        whole, part = match[1].replace(",", ""), match[2] or ""
        if not part and (int(whole) <= 20 or 1900 <= int(whole) <= 2100):
            continue
        if not stands(whole + part, len(part[1:]) if part else 0, pool):
            unknown.append(f"{match[0]}: …{' '.join(text[max(0, match.start() - 50) : match.end() + 30].split())}…")
    return unknown


@pytest.mark.parametrize("path", TAUGHT, ids=str)
def test_prose_numbers_are_held_by_data_claims_or_outputs(path):
    pool = known_numbers(path)
    texts = [prose(cell.source) for cell in read(path).cells if cell.cell_type == "markdown"]
    assert [n for text in texts for n in unheld(text, pool)] == []


@pytest.mark.parametrize("path", TAUGHT, ids=str)
def test_numbers_typed_into_captions_are_held_by_data_claims_or_code(path):
    typed, pool = captions(path)
    assert [n for text in typed for n in unheld(text, pool)] == []


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *ROOT.glob("reference/*.md")], ids=lambda p: p.name)
def test_numbers_on_pages_are_held_by_data_or_claims(path):
    assert unheld(prose(path.read_text(encoding="utf-8")), held()) == []


def test_a_number_that_nothing_holds_is_found():
    pool = np.array([3.35, 295.2, 28000.0])
    assert stands("295", 0, pool) and stands("3.4", 1, pool) and stands("28", 0, pool)
    assert not stands("296", 0, pool) and not stands("3.36", 2, pool)
