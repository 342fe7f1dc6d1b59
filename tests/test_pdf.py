"""The book on paper, from two pages: every place is found, and nothing on a sheet wants a pointer."""

import re

import pytest
from bs4 import BeautifulSoup
from site_server import ROOT, SITE, pages

from aistack.book.pdf import LEFT_OUT, pages_of, reading_order, write_pdf

pytestmark = pytest.mark.browser

EXPLORERS = [page for page in pages() if "explorer-controls" in (SITE / page).read_text(encoding="utf-8")]
PAGES = ["how-to-use", *(page.removesuffix(".html") for page in EXPLORERS[-1:])]
PAPER = 665  # what the margins of A4 leave, in CSS pixels, cut to whole ones


@pytest.fixture(scope="module")
def printed(browser, site, tmp_path_factory):
    """The file, its number of sheets, and what was printed."""
    path = tmp_path_factory.mktemp("pdf") / "part.pdf"
    count = write_pdf(browser, site, [("Part", PAGES)], path)
    return path, count, BeautifulSoup(path.with_suffix(".html").read_text(encoding="utf-8"), "html.parser")


def test_book_is_whole_and_in_its_order():
    order = [page for _, pages in reading_order(ROOT) for page in pages]
    assert order[0] == "index" and len(order) == len(set(order)) and not set(order) & set(LEFT_OUT)
    chapters = sorted(f"chapters/{path.stem}" for path in (ROOT / "chapters").glob("*.ipynb"))
    assert [page for page in order if page.startswith("chapters/")] == chapters


def test_sheets_are_counted_and_contents_name_the_sheet_of_each_page(printed):
    path, count, tree = printed
    pdf = path.read_bytes()
    sheets, places = pages_of(pdf)
    assert sheets == count == len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf)) > len(PAGES)
    entries = {e.a["href"][1:]: int(e.span.get_text()) for e in tree.select(".plan li")}
    assert set(entries) >= {page.replace("/", "-") for page in PAGES}
    assert {name: places[name] for name in entries} == entries
    assert sorted(entries.values()) == list(entries.values()) and len(set(entries.values())) == len(entries)


def test_paper_has_no_control_and_every_chart_a_picture(printed):
    tree = printed[2]
    assert not tree.select("script, form, button, input, select, textarea, output, details, summary, .headerlink")
    built = [
        c for page in PAGES for c in BeautifulSoup((SITE / f"{page}.html").read_text(), "html.parser").select(".chart")
    ]
    charts = tree.select(".chart")
    assert len(charts) == len(built) > 3
    assert not [c["id"] for c in charts if len(c.select(".chart-plot svg :is(path, rect, image)")) < 3]
    settings = [e.select_one(".setting").get_text() for e in tree.select(".explorer")]
    assert settings and all(re.match(r"Set to: \S.* \S", text) for text in settings)


def test_links_lead_to_places_in_the_book_or_are_written_out(printed):
    tree = printed[2]
    ids = [element["id"] for element in tree.select("[id]")]
    assert len(ids) == len(set(ids))
    addresses = [a["href"] for a in tree.select("a[href]") if not a["href"].startswith(("http", "mailto:"))]
    assert addresses and not set(addresses) - {f"#{ident}" for ident in ids}
    listed = {a["href"]: a.parent.get_text().split()[0] for a in tree.select(".addresses a")}
    numbered = {a["href"]: a.select_one(".number-of-link").get_text() for a in tree.select("a:has(.number-of-link)")}
    assert listed and numbered == listed


def test_nothing_is_cut_off_at_the_edge_of_the_sheet(printed, browser):
    page = browser.new_page(viewport={"width": PAPER, "height": 900})
    page.emulate_media(media="print")
    page.goto(printed[0].with_suffix(".html").as_uri())
    wide = """(width) => [...document.querySelectorAll("main *")].filter((e) => !e.parentElement.closest("svg, math"))
      .filter((e) => e.getBoundingClientRect().right > width + 1).map((e) => e.outerHTML.slice(0, 120))"""
    assert page.evaluate(wide, PAPER) == []
    page.close()


def test_a_page_that_is_not_built_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="chapters/none"):
        write_pdf(None, SITE, [("Part", ["chapters/none"])], tmp_path / "none.pdf")
