"""Tables of the built pages: each column and row is named for those who hear it, and so is the table."""

import re

import pytest
from bs4 import BeautifulSoup
from site_server import SITE, pages

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
