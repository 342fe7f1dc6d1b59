"""The reference shelf and the front page: what is put together from the tables, and how the built pages show it."""

import json
import re
import xml.etree.ElementTree as ET
from datetime import date

import imagesize
import pytest
from site_server import SITE, pages, soup

from aistack import data, shelf
from aistack.book.front import number_of
from aistack.claims import claims

# ---- from the tables ----------------------------------------------------------------------------------------------


def test_events_are_all_there_in_order_and_name_real_sources():
    events = shelf.events()
    tables = [n for n in data.table_names() if n.endswith(("_events", "_history"))]
    told = {(data._resource(n, None)["layer"], int(r.year), r.event) for n in tables for r in data.load(n).itertuples()}
    assert {(e.layer, e.year, e.what) for e in events} == told and len(events) == len(told)
    assert [e.year for e in events] == sorted(e.year for e in events)
    assert all(e.until is None or e.until >= e.year for e in events)
    data.sources([e.source_id for e in events])


def test_events_are_disputed_where_the_ledger_or_their_note_says_so():
    doubted = {(c.layer, f"line {c.line}") for c in claims() if c.unit == "year" and c.verdict == "conflicts"}
    marked = {(e.layer, e.locator) for e in shelf.events() if e.disputed}
    told = {(e.layer, e.locator) for e in shelf.events()}
    assert doubted & told and doubted & told <= marked
    assert 0 < sum(bool(e.disputed) for e in shelf.events()) < len(shelf.events()) / 3


def test_roles_come_from_every_layer_that_lists_them_with_pay_where_it_is_given():
    roles = shelf.roles()
    assert len(roles) == sum(len(data.load(n)) for n in data.table_names() if n.endswith("_roles"))
    paid = [r for r in roles if r.pay_usd]
    assert paid and all(0 < r.pay_usd[0] <= r.pay_usd[1] for r in paid)


def test_players_are_one_a_name_and_those_in_most_layers_come_first():
    players = shelf.players()
    assert len({p.name for p in players}) == len(players)
    assert [len(p.layers) for p in players] == sorted((len(p.layers) for p in players), reverse=True)
    assert not [p.name for p in players if "(" in p.name or not p.does]
    assert {"NVIDIA", "Google"} <= {p.name for p in players if len(p.layers) > 1}
    assert {layer for p in players for layer in p.layers} == set(range(1, 15))


def test_sources_fall_due_a_year_after_they_were_looked_at():
    looked = [s["accessed"] for s in data.sources() if s["accessed"]]
    year, month = map(int, max(looked)[:7].split("-"))
    assert shelf.due(date(year + 1, month, 28)) == [
        s for s in shelf.due(date(year + 1, month, 28)) if s["accessed"] < max(looked)
    ]
    later = shelf.due(date(year + 1 + month // 12, month % 12 + 1, 1))
    assert len(later) == len(looked)
    assert [s["accessed"][:7] for s in later] == sorted(s["accessed"][:7] for s in later)


def test_number_of_a_layer_is_written_with_both_ends_of_a_range():
    rows = {r.layer: r for r in data.load("layers").itertuples()}
    texts = {n: number_of(r) for n, r in rows.items()}
    assert len(texts) == 14 and all(re.search(r"\d", t) and "{" not in t for t in texts.values())
    low, high = data.fact("stock-effective-2024").range
    assert texts[9] == f"{low:,.0f} to {high:,.0f} trillion"
    assert texts[12] == "23.9 a second"


# ---- on the pages -------------------------------------------------------------------------------------------------

browser = pytest.mark.browser


@browser
def test_front_page_has_a_band_for_each_layer_from_the_top(site):
    bands = soup("index.html").select(".stack > .band")
    assert [b["id"] for b in bands] == [f"layer-{n}" for n in range(14, 0, -1)]
    for band in bands:
        assert band.select_one(".band-number strong").get_text(strip=True)
        assert re.search(r"\d{4}", band.select_one(".band-source").get_text())
    linked = {b["id"] for b in bands if b.h3.a}
    chapters = [p for p in pages() if p.startswith("chapters/")]
    assert linked == {f"layer-{int(p.split('/')[1][:2])}" for p in chapters}


@browser
def test_ledger_page_has_every_claim_once_with_a_way_to_report_it(site):
    found = soup("reference/claims.html").select(".claim")
    assert [c["id"] for c in found] == [c.claim_id for c in sorted(claims(), key=lambda c: c.layer)]
    assert all(c.find("a", string="Report this number") for c in found)


@browser
def test_catalogue_has_every_table_with_columns_rows_sources_and_file(site):
    entries = {e["id"]: e for e in soup("reference/data.html").select("#list-catalogue > li")}
    assert set(entries) == {f"table-{n}" for n in data.table_names()}
    for name in data.table_names():
        entry = entries[f"table-{name}"]
        columns, rows = entry.select("table")
        assert [r.td.get_text() for r in columns.tbody.select("tr")] == [f["name"] for f in data.codebook(name)]
        assert len(rows.tbody.select("tr")) == min(5, len(data.load(name)))
        file = entry.select_one("a[download]")["href"]
        assert (SITE / "reference" / file).resolve().read_bytes() == (data.data_dir() / f"{name}.csv").read_bytes()


@browser
def test_status_page_has_the_run_of_every_notebook(site):
    text = soup("reference/status.html").main.get_text()
    notebooks = [p for p in pages() if p.startswith("chapters/")]
    assert notebooks and all(p.replace(".html", ".ipynb") in text for p in notebooks)


SHOWN = """(list) => [...document.querySelectorAll(list)].filter((e) => e.checkVisibility()).map((e) => ({ ...e.dataset }))"""


@browser
@pytest.mark.parametrize(
    ("page", "entries", "name", "value", "holds"),
    [
        ("timeline", "#list-timeline > li", "layers", "4", lambda e: e["layers"] == "4"),
        ("timeline", "#list-timeline > li", "year", "2020", lambda e: int(e["year"]) >= 2020),
        ("timeline", "#list-timeline > li", "disputed", "yes", lambda e: e["disputed"] == "yes"),
        ("players", "#list-players > li", "spans", "3", lambda e: int(e["spans"]) >= 3),
        ("players", "#list-players > li", "layers", "5", lambda e: "5" in e["layers"].split()),
        ("careers", "#list-careers > li", "pay", "yes", lambda e: e["pay"] == "yes"),
        ("data", "#list-catalogue > li", "layers", "2", lambda e: e["layers"] == "2"),
        ("claims", ".claim", "verdict", "conflicts", lambda e: e["verdict"] == "conflicts"),
    ],
)
def test_filter_shows_what_fits_and_says_how_many(visit, page, entries, name, value, holds):
    seen = visit(f"reference/{page}.html")
    control = seen.page.locator(f".filters [name={name}]").first
    every = seen.page.evaluate(SHOWN, entries)
    if control.evaluate("e => e.localName") == "select":
        control.select_option(value)
    else:
        control.fill(value)
    shown = seen.page.evaluate(SHOWN, entries)
    assert shown and shown == [e for e in every if holds(e)] and len(shown) < len(every)
    assert seen.page.locator(".filters output").inner_text() == f"{len(shown)} of {len(every)} shown"
    seen.page.click(".filters [type=reset]")
    seen.page.wait_for_function(
        "(n) => document.querySelector('.filters output').textContent === n", arg=f"{len(every)} entries"
    )
    assert seen.page.evaluate(SHOWN, entries) == every
    seen.assert_clean()


@browser
def test_filter_by_words_wants_all_of_them(visit):
    seen = visit("reference/players.html")
    seen.page.fill(".filters [name=text]", "nvlink nvidia")
    assert "NVIDIA" in seen.page.locator("#list-players > li:visible").all_inner_texts()[0]
    seen.page.fill(".filters [name=text]", "nvlink zzzz")
    assert seen.page.locator("#list-players > li:visible").count() == 0


@browser
def test_lists_are_whole_and_filters_away_without_a_script(visit):
    for page, entries in (("timeline", "#list-timeline > li"), ("players", "#list-players > li"), ("claims", ".claim")):
        seen = visit(f"reference/{page}.html", script=False)
        assert seen.page.locator(f"{entries}:visible").count() == len(soup(f"reference/{page}.html").select(entries))
        assert not seen.page.locator(".filters").is_visible()


@browser
def test_term_tells_its_meaning_under_pointer_and_focus_until_escape(visit):
    page = next(p for p in pages() if p.startswith("chapters/"))
    seen = visit(page)
    link, tip = seen.page.locator("main a.term").first, seen.page.locator("#meaning")
    anchor = link.evaluate("a => decodeURIComponent(a.hash.slice(1))")
    meaning = " ".join(soup("reference/glossary.html").find(id=anchor).find_next("dd").get_text().split())
    link.hover()
    assert tip.inner_text() == meaning and link.get_attribute("aria-describedby") == "meaning"
    seen.page.keyboard.press("Escape")
    assert not tip.is_visible() and link.get_attribute("aria-describedby") is None
    link.focus()
    assert tip.is_visible()
    seen.page.locator("h1").click()
    link.evaluate("a => a.blur()")
    seen.assert_clean()


@browser
def test_every_term_link_of_the_chapters_has_its_meaning_in_the_page(site):
    for page in (p for p in pages() if p.startswith("chapters/")):
        tree = soup(page)
        used = {a["href"].split("#")[1] for a in tree.select("main a.term")}
        assert used and used == set(json.loads(tree.find(id="terms").string)), page


@browser
@pytest.mark.parametrize(
    ("words", "page"),
    [("photolithography", "reference/glossary.html"), ("wavelength fourteen times", "reference/claims.html")],
)
def test_search_finds_terms_and_claims(visit, words, page):
    seen = visit(f"search.html?q={words.replace(' ', '+')}")
    seen.page.wait_for_selector("#search-results a")
    seen.page.wait_for_function("document.querySelector('#search-results h2')?.textContent !== 'Searching'")
    links = seen.page.eval_on_selector_all("#search-results a", "all => all.map((a) => a.pathname.slice(1))")
    assert page in links


@browser
def test_lost_address_in_any_folder_gets_a_page_that_leads_on(browser, address):
    page = browser.new_page()
    answer = page.goto(f"{address}no/such/place.html")
    assert answer.status == 404 and "not here" in page.locator("h1").inner_text()
    assert page.evaluate("getComputedStyle(document.querySelector('header.site')).position") == "sticky"
    page.click("main a >> nth=0")
    assert page.locator(".stack .band").count() == 14
    page.close()


@browser
def test_every_page_has_a_card_and_stands_in_the_sitemap(site):
    places = {e.text for e in ET.parse(SITE / "sitemap.xml").iter("{http://www.sitemaps.org/schemas/sitemap/0.9}loc")}
    base = soup("index.html").find("link", rel="canonical")["href"].removesuffix("index.html")
    for page in pages():
        if page in ("404.html", "search.html"):
            continue
        tree = soup(page)
        card = tree.find("meta", property="og:image")["content"]
        assert card.startswith(base) and imagesize.get(SITE / card.removeprefix(base)) == (1200, 630)
        assert (base if page == "index.html" else base + page) in places
    assert base + "sitemap.xml" in (SITE / "robots.txt").read_text()
