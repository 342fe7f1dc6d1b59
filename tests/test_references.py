"""References and sources: each has an address or says why not, says when and how it was checked, and is used."""

import re
from pathlib import Path

import nbformat
import pytest
from pybtex.database import parse_file, parse_string

from aistack import data
from aistack.book.reference import Checked

ROOT = Path(__file__).parent.parent
ENTRIES = parse_file(ROOT / "references.bib").entries
DAY = r"\d{4}-\d{2}(-\d{2})?"
FORMS = {"doi": r"10\.\d{4,}/\S+", "eprint": r"\d{4}\.\d{4,5}", "url": r"https://\S+", "urldate": DAY}


def cited():
    """Every key that a page or notebook cites."""
    texts = [p.read_text(encoding="utf-8") for p in [*ROOT.glob("*.md"), *ROOT.glob("reference/*.md")]]
    for path in [*ROOT.glob("chapters/*.ipynb"), *ROOT.glob("synthesis/*.ipynb")]:
        texts += [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown"]
    found = re.findall(r"\{cite[a-z:]*\}`([^`]+)`", "\n".join(texts))
    return {key.strip() for keys in found for key in keys.split(",")}


@pytest.mark.parametrize("key", ENTRIES)
def test_reference_has_an_address_and_the_state_of_its_checking(key):
    fields = ENTRIES[key].fields
    for name, form in FORMS.items():
        assert name not in fields or re.fullmatch(form, fields[name]), fields[name]
    assert {"doi", "eprint", "url"} & set(fields) or "No stable address known" in fields["note"]
    assert re.fullmatch(rf"opened|listed {DAY}|not opened", fields["checked"])
    assert ("urldate" in fields) == (fields["checked"] == "opened")


def test_references_are_those_that_are_cited():
    assert cited() == set(ENTRIES)


@pytest.mark.parametrize(
    ("fields", "end"),
    [
        ("url={https://x.org}, urldate={2026-11}, checked={opened}", "URL: https://x.org. Opened 2026-11."),
        ("doi={10.1000/1}, checked={listed 2026-11-26}", "doi:10.1000/1. Not opened, found listed 2026-11-26."),
        ("checked={not opened}", "2026. Not opened."),
    ],
)
def test_reference_on_the_page_says_whether_it_was_opened(fields, end):
    one = parse_string(f"@misc{{a, title={{X}}, year={{2026}}, {fields}}}", "bibtex")
    assert next(iter(Checked().format_bibliography(one))).text.render_as("text").endswith(end)


def test_sources_have_an_address_and_the_date_of_the_last_look():
    for row in data.sources():
        if row["kind"] not in ("survey", "course"):
            assert re.fullmatch(r"https?://\S+", row["locator"] or "") or row["note"], row["source_id"]
            assert row["accessed"], row["source_id"]


def test_every_source_is_used():
    paths = [*data.data_dir().glob("*.csv"), *ROOT.glob("chapters/*.ipynb"), *ROOT.glob("synthesis/*.ipynb")]
    text = "\n".join(p.read_text(encoding="utf-8") for p in paths if p.name != "sources.csv")
    assert [row["source_id"] for row in data.sources() if row["source_id"] not in text] == []
