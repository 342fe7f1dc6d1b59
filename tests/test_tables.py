"""Tables of the built pages: each column and row is named for those who hear it, and so is the table."""

import re

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from site_server import SITE, pages

from aistack.book.site import tidy_body

pytestmark = pytest.mark.browser


def faults(table):
    """What is missing in a table."""
    heads = table.find_all("th")
    found = ["no headers"] if not heads else []
    found += [
        f"header {h.get_text(' ', strip=True)!r} has no scope"
        for h in heads
        if h.get("scope") not in ("col", "row", "colgroup", "rowgroup")
    ]
    found += ["an empty header"] if any(not h.get_text(strip=True) for h in heads) else []
    named = table.caption.get_text(strip=True) if table.caption else table.get("aria-label")
    return found if named else [*found, "no name"]


def test_every_table_has_headers_with_scope_and_a_name(site):
    wrong, seen = [], 0
    for page in pages():
        for html in re.findall(r"<table\b.*?</table>", (SITE / page).read_text(encoding="utf-8"), re.S):
            table, seen = BeautifulSoup(html, "html.parser"), seen + 1
            wrong += [f"{page}, {table.get_text(' ', strip=True)[:60]!r}: {what}" for what in faults(table)]
    assert not wrong, "\n".join(wrong[:20])
    assert seen > 100


def test_headings_of_a_pandas_table_stand_in_one_line_over_their_columns():
    frame = pd.DataFrame(
        {"holder": ["China", "Japan"], "share": [0.9, 0.5], "years": ["5 to 9", "3"]},
        index=pd.Index(["gallium", "resist"], name="material"),
    )
    rows = BeautifulSoup(tidy_body(frame.to_html()), "html.parser").find_all("tr")
    cells = [[(c.name, c.get_text(), c.get("class") == ["words"]) for c in row.find_all(["th", "td"])] for row in rows]
    names = ["material", "holder", "share", "years"]
    assert cells[0] == [("th", name, name in ("material", "holder")) for name in names]
    assert cells[1] == [("th", "gallium", True), ("td", "China", True), ("td", "0.9", False), ("td", "5 to 9", False)]
    assert len(cells) == 3
