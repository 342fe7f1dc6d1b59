"""The built site in a real browser: every page, every chart, every explorer, whatever chapters there are."""

import csv
import io
import itertools
import random
import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from site_server import SITE, pages, pages_with, soup

pytestmark = pytest.mark.browser

ALL = pages() or [None]
CHARTS = pages_with("chart") or [None]
EXPLORERS = pages_with("explorer") or [None]
LOOKS = [("phone", "dark"), ("desktop", "light")]  # axe takes its time; each size and each theme once
BOTH = ("index.html", "chapters/02-fabrication.html")  # pages that get both in `make test`
deep = pytest.mark.deep
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SAYS_NOTHING = re.compile(r"\b(?:NaN|Infinity|undefined|null|no value)\b")

# Helpers that run in the page.
TOOLS = """() => {
window.frames2 = () =>
  new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))));
window.live = async (chart) => {
  const box = chart.querySelector(".chart-plot");
  box.scrollIntoView({ block: "center" });
  for (let i = 0; i < 300 && !box.matches(".is-live"); i++) await new Promise((done) => setTimeout(done, 50));
  return box.matches(".is-live");
};
window.drawable = () => [...document.querySelectorAll(".chart")].filter((c) => c.querySelector("script.chart-figure"));
let moved = 0;  // how far the page has shifted by itself, as browsers count it
window.watchShifts = () => new PerformanceObserver((list) => {
  for (const shift of list.getEntries()) if (!shift.hadRecentInput) moved += shift.value;
}).observe({ type: "layout-shift" });
window.shifted = () => frames2().then(() => moved);
window.allLive = async () => {
  const dead = [];
  for (const chart of drawable()) if (!(await live(chart))) dead.push(chart.id);
  scrollTo(0, 0);
  await frames2();
  return dead;
};
const full = (v) => v !== null && v !== undefined && v === v;
const any = (v) => Array.isArray(v) ? v.some(any) : ArrayBuffer.isView(v) ? [...v].some(full) : full(v);
window.traces = (chart) => {  // how many traces have data to draw, and how many are drawn
  const plot = chart.querySelector(".chart-live"), svg = plot.querySelector("svg.main-svg");
  const shown = plot.data.filter((t) => t.visible !== false && t.visible !== "legendonly");
  const marked = (group) => [...group.querySelectorAll("path, image, text")].some((m) =>
    m.localName === "image" ? m.getAttribute("href")?.length > 40 && m.getBoundingClientRect().width > 0
    : m.localName === "text" ? m.textContent.trim() : m.getTotalLength() > 0);
  const groups = [...svg.querySelectorAll(".scatterlayer .trace, .barlayer .trace, .heatmaplayer .hm")];
  const code = svg.outerHTML.replace(/href="data:[^"]*"/g, "");
  return { asked: shown.filter((t) => any(t.z ?? t.y ?? t.x)).length, drawn: groups.filter(marked).length,
           bad: /NaN|undefined/.test(code) };
};
window.csvOf = async (chart) => (await fetch(chart.querySelector(".chart-csv").href)).text();  // what its link would save
window.look = (chart) => {  // what a reader sees of an explorer
  const svg = chart.querySelector(".chart-live svg.main-svg");
  const marks = [...svg.querySelectorAll("path, image, text")];
  const parts = marks.map((m) =>
    ["d", "href", "x", "width", "transform"].map((name) => m.getAttribute(name)) + m.textContent);
  let hash = 0;
  for (const c of parts.join("|")) hash = (hash * 31 + c.charCodeAt(0)) | 0;
  const cells = [...chart.querySelectorAll(".chart-data tbody td:last-child")].map((c) => c.textContent);
  const texts = [...svg.querySelectorAll("text")].map((t) => t.textContent);
  const inputs = [...chart.querySelectorAll(".control input, .control select")];
  return {
    drawing: hash, cells, texts, says: chart.querySelector(".explorer-says").textContent, at: inputs.map((i) => +i.value),
    heard: inputs.map((i) => i.getAttribute("aria-valuetext")),
    shown: inputs.map((i) => i.parentNode.querySelector("output")?.textContent ?? null),
  };
};
window.closely = (chart) => ({  // the same, with where every mark is, which takes its time
  ...look(chart),
  boxes: [...chart.querySelectorAll(".chart-live svg.main-svg")[0].querySelectorAll("path, image, text")].map((m) => {
    const { x, y, width, height } = m.getBBox();
    return [x, y, width, height];
  }),
});
window.put = async (chart, positions) => {
  const inputs = [...chart.querySelectorAll(".control input, .control select")];
  inputs.forEach((input, i) => (input.value = positions[i]));
  const done = new Promise((resolve) => chart.addEventListener("explored", resolve, { once: true }));
  inputs[0].dispatchEvent(new Event("input", { bubbles: true }));
  await done;
};
}"""  # fmt: skip


def opened(visit, page, *look, **options):
    """Visit `page` with the helpers loaded."""
    seen = visit(page, *look, **options)
    seen.page.evaluate(TOOLS)
    return seen


def explorer(page, name):
    """The element of one explorer, alive."""
    chart = page.query_selector(f"#{name}")
    assert page.evaluate("live", chart), f"#{name} did not come alive"
    return chart


def explorers(page):
    """Ids and specs of the explorers of an open page."""
    spec = "(e) => [e.id, JSON.parse(e.querySelector('.chart-spec').textContent)]"
    return page.eval_on_selector_all(".explorer", f"all => all.map({spec})")


# ---- the page as it is written ------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ALL)
def test_page_names_itself_and_its_headings_step_by_one(site, page):
    tree = soup(page)
    assert tree.html.get("lang")
    assert tree.title and tree.title.get_text(strip=True)
    about = tree.find("meta", attrs={"name": "description"})
    assert about and len(about["content"].split()) >= 3, "no meta description"
    levels = [int(h.name[1]) for h in tree.main.find_all(re.compile(r"^h[1-6]$"))]
    assert len(tree.find_all("h1")) == 1
    assert levels and levels[0] == 1
    jumps = [f"h{a} to h{b}" for a, b in itertools.pairwise(levels) if b > a + 1]
    assert not jumps
    ids = [e["id"] for e in tree.find_all(id=True)]
    assert len(ids) == len(set(ids)), f"used twice: {sorted({i for i in ids if ids.count(i) > 1})}"
    assert all(image.has_attr("alt") for image in tree.find_all("img"))


def targets(page):
    """Addresses that a page links to or loads."""
    for element in soup(page).find_all(True):
        for name in ("href", "src", "action", "poster", "data"):
            if element.get(name) and element.name not in ("use", "base"):
                yield element, element[name]
        for part in (element.get("srcset") or "").split(","):
            if part.strip():
                yield element, part.split()[0]


def test_every_link_and_anchor_of_the_site_resolves(site):
    ids, broken, foreign = {}, [], []
    for page in ALL:
        ids[page] = {e[key] for key in ("id", "name") for e in soup(page).find_all(attrs={key: True})}
    own = {(soup(page).find("link", rel="canonical") or {}).get("href") for page in ALL}
    for page in ALL:
        for element, address in targets(page):
            to = urlsplit(urljoin(f"site:/{page}", address) if not urlsplit(address).scheme else address)
            if to.scheme in ("http", "https", "//"):
                loads = element.name != "a" and not {"canonical", "license", "author"} & set(element.get("rel") or [])
                if (loads or address.startswith("//")) and address not in own:
                    foreign.append(f"{page}: <{element.name}> {address}")
                continue
            if to.scheme in ("mailto", "data"):
                continue
            target = (PurePosixPath(page).parent / unquote(urlsplit(address).path)) if urlsplit(address).path else page
            path = normal(str(target))
            path = f"{path}/index.html".lstrip("/") if (SITE / path).is_dir() else path
            if not (SITE / path).is_file():
                broken.append(f"{page}: {address}")
            elif to.fragment and path in ids and unquote(to.fragment) not in ids[path]:
                broken.append(f"{page}: {address} (no such anchor)")
    for sheet in SITE.rglob("*.css"):
        for address in re.findall(r"url\(\s*['\"]?([^'\")]+)", sheet.read_text(encoding="utf-8")):
            if re.match(r"(?:https?:)?//", address):
                foreign.append(f"{sheet.name}: {address}")
            elif not address.startswith(("data:", "#")) and not (sheet.parent / urlsplit(address).path).is_file():
                broken.append(f"{sheet.name}: {address}")
    assert not broken, "\n".join(broken)
    assert not foreign, "\n".join(foreign)


def normal(path):
    """A relative path without dots; one that leaves the site keeps them."""
    parts = []
    for part in PurePosixPath(path).parts:
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


# ---- the page as it is shown --------------------------------------------------------------------------------------

OVERFLOW = """() => {
  const wide = document.documentElement.scrollWidth;
  if (wide <= innerWidth) return [];
  const out = [...document.body.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1);
  return [`${wide} px wide`, ...out.slice(0, 5).map((e) => `${e.localName}.${e.className.baseVal ?? e.className}`)];
}"""


AXE = """async ([within, runOnly, rules]) => {
  const { violations } = await axe.run(within ?? document, { runOnly, rules, resultTypes: ["violations"] });
  return violations.flatMap((v) =>
    v.nodes.slice(0, 3).map((n) => `${v.id}: ${n.html.slice(0, 200)} ${n.failureSummary}`));
}"""


def violations(page, within=None, **rules):
    """What axe-core has against a page, or a part of it, by WCAG 2.2 AA; of what it found good only the silence comes back."""
    page.evaluate(Axe().axe_script)
    return page.evaluate(AXE, [within, RULES, rules])


def looks():
    """Every page in both looks, with all rules; `make test-deep` does so.

    `make test` takes one look of most pages, by turns, and leaves out contrast, two thirds of axe's time, in chapters: they share
    their colours with the chapter among BOTH.
    """
    for at, page in enumerate(ALL):
        for look, (size, theme) in enumerate(LOOKS):
            soon, alike = at % 2 == look, page in EXPLORERS
            if page in BOTH or (soon and not alike):
                yield page, size, theme, True
                continue
            yield pytest.param(page, size, theme, True, marks=deep)
            if soon:
                yield page, size, theme, False


@pytest.mark.parametrize(("page", "size", "theme", "contrast"), list(looks()))
def test_page_is_quiet_fits_and_is_accessible_with_all_charts_alive(visit, page, size, theme, contrast):
    seen = opened(visit, page, size, theme)
    check_print(seen.page)
    seen.page.emulate_media(media="screen")
    assert seen.page.evaluate("allLive()") == []
    found = violations(seen.page, **{"color-contrast": {"enabled": contrast}})
    assert not found, "\n".join(found)
    assert seen.page.evaluate("document.documentElement.dataset.theme") == theme
    for width in (390, 320) if size == "phone" else (1280,):
        seen.page.set_viewport_size({"width": width, "height": 844})
        seen.page.evaluate("frames2()")
        assert seen.page.evaluate(OVERFLOW) == [], f"at {width} px"
    if size == "desktop":
        check_charts(seen)
        check_print(seen.page)
    loads = sum("plotly" in request for request in seen.requests)
    assert loads == bool(soup(page).select("script.chart-figure")), f"Plotly is asked for {loads} times"
    seen.assert_clean()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_drawers_of_the_phone_open_and_are_accessible(visit, theme):
    seen = visit(CHARTS[0] or ALL[0], "phone", theme)
    buttons = seen.page.locator("button[popovertarget]:visible:not([popovertargetaction=hide])")
    assert buttons.count() >= 1
    for at in range(buttons.count()):
        drawer = buttons.nth(at).get_attribute("popovertarget")
        buttons.nth(at).click()
        assert seen.page.locator(f"#{drawer}").is_visible()
        found = violations(seen.page, f"#{drawer}")
        assert not found, "\n".join(found)
        seen.page.keyboard.press("Escape")
        assert not seen.page.locator(f"#{drawer}").is_visible()
    seen.assert_clean()


def test_theme_button_restyles_page_and_charts(visit):
    seen = opened(visit, CHARTS[0], "desktop", "light")
    chart = seen.page.query_selector(".chart:has(script.chart-figure)")
    seen.page.evaluate("live", chart)
    ink = "(chart) => getComputedStyle(chart.querySelector('.chart-live .xtick text, .chart-live .ytick text')).fill"
    ground = "['html', 'body'].map((e) => getComputedStyle(document.querySelector(e)).backgroundColor).join()"
    before = seen.page.evaluate(ink, chart), seen.page.evaluate(ground)
    while seen.page.evaluate("document.documentElement.dataset.theme") != "dark":
        seen.page.click("button.theme")
    seen.page.evaluate("frames2()")
    after = seen.page.evaluate(ink, chart), seen.page.evaluate(ground)
    assert before[0] != after[0] and before[1] != after[1]
    seen.page.reload()
    assert seen.page.evaluate("document.documentElement.dataset.theme") == "dark"
    seen.assert_clean()


def test_search_finds_words_of_a_page(visit, site):
    page = next(p for p in ALL if p not in ("404.html", "index.html", "search.html"))
    word = max(re.findall(r"[A-Za-z]{4,}", soup(page).h1.get_text()), key=len)
    seen = visit(f"search.html?q={word}")
    seen.page.wait_for_selector("#search-results a")
    links = seen.page.eval_on_selector_all("#search-results a", "all => all.map((a) => a.pathname.slice(1))")
    assert page in links
    seen.assert_clean()


# ---- without a script, and on paper -------------------------------------------------------------------------------

# Buttons that open a popover work without a script, and so does the form that leads to the search page.
CONTROLS = "button:not([popovertarget], header.site form *), input:not(header.site *), select, textarea"


@pytest.mark.parametrize("size", ["phone", pytest.param("desktop", marks=deep)])
@pytest.mark.parametrize("page", ALL)
def test_page_without_script_has_its_text_and_pictures_and_no_dead_control(visit, page, size):
    seen = visit(page, size, script=False)
    assert seen.page.locator("main").inner_text().strip()
    dead = visible(seen.page, CONTROLS)
    assert not dead, f"seen but of no use without a script: {dead}"
    check_pictures(seen.page)
    seen.page.set_viewport_size({"width": 640, "height": 450})  # what a zoom of 200 % leaves of a desktop
    assert seen.page.evaluate(OVERFLOW) == []
    seen.assert_clean()


VISIBLE = """(e) => {
  const { width, height } = e.getBoundingClientRect();
  return width > 0 && height > 0 && e.checkVisibility({ visibilityProperty: true });
}"""


def visible(page, selector):
    """The elements that can be seen, as HTML."""
    return page.eval_on_selector_all(selector, f"all => all.filter({VISIBLE}).map((e) => e.outerHTML.slice(0, 200))")


def check_print(page):
    """On paper: no controls, and a picture of every chart, live or static."""
    page.emulate_media(media="print")
    page.evaluate("frames2()")
    assert not visible(page, ".explorer-controls, header.site, .copy, nav.contents, nav.chapters")
    check_pictures(page)
    pale = page.eval_on_selector_all(
        ".chart-live :is(.xtick, .ytick, .legend, .g-xtitle, .g-ytitle) text",
        """all => all.filter((t) => {
             const [red, green, blue] = getComputedStyle(t).fill.match(/[\\d.]+/g).map(Number);
             return red + green + blue > 500;
           }).map((t) => t.closest(".chart").id + ": " + t.textContent)""",
    )
    assert not pale, f"too pale for paper: {pale[:5]}"


def check_charts(seen):
    """Every chart of an open page is drawn and has a summary, sources, a table and a CSV of the same rows."""
    for chart in seen.page.query_selector_all(".chart"):
        name = chart.get_attribute("id")
        if chart.query_selector("script.chart-figure"):
            assert seen.page.evaluate("live", chart), f"{name} did not come alive"
            traces = seen.page.evaluate("traces", chart)
            assert traces["asked"] and traces["drawn"] == traces["asked"] and not traces["bad"], f"{name}: {traces}"
        else:
            assert chart.query_selector(".chart-plot svg path"), f"{name}: no drawing"
        words = chart.query_selector(".chart-summary, .explorer-says").text_content()
        assert len(words.split()) >= 8 and not SAYS_NOTHING.search(words), f"{name}: {words}"
        assert len(chart.query_selector(".chart-sources").text_content()) > len("Sources: ."), f"{name}: no sources"
        rows = chart.eval_on_selector_all(".chart-data tbody tr", "all => all.length")
        head = chart.eval_on_selector_all(".chart-data th", "all => all.map((e) => e.firstChild.data.trim())")
        text = seen.page.evaluate("csvOf", chart)
        table = list(csv.reader(io.StringIO(text)))
        assert len(table) > 1 and {len(row) for row in table} == {len(table[0])}, f"{name}: ragged or empty CSV"
        if "explorer" in chart.get_attribute("class"):
            assert rows and table[0] == ["trace", "x", "y", "z"], name
            continue
        assert table[0] == head
        assert rows == min(len(table) - 1, 100), f"{name}: {rows} rows shown, {len(table) - 1} in the CSV"
        assert f"({len(table) - 1} rows)" in chart.query_selector(".chart-data summary").text_content()
    button = seen.page.query_selector(".chart-csv")
    if button:
        with seen.page.expect_download() as download:
            button.click()
        assert download.value.path().read_bytes().decode() == seen.page.evaluate(
            "csvOf", seen.page.query_selector(".chart:has(.chart-csv)")
        )


def check_pictures(page):
    """Every chart shows a drawing of some size with something in it: the live one where it is, else the static one."""
    poor = page.eval_on_selector_all(
        ".chart-plot",
        f"""all => all.filter((plot) => {{
              const drawing = plot.querySelector(plot.matches(".is-live") ? ":scope > .chart-live" : ":scope > svg");
              const box = drawing && ({VISIBLE})(drawing) && drawing.getBoundingClientRect();
              const marks = drawing?.querySelectorAll("path, image, rect").length;
              return !(box && box.width > 150 && box.height > 100 && marks >= 3);
            }}).map((plot) => plot.closest(".chart").id)""",
    )
    assert not poor, f"no picture, or an empty one: {poor}"


# ---- explorers ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=EXPLORERS)
def explored(request, lasting_visit):
    """A page with explorers: its name and a visit to it."""
    return request.param, opened(lasting_visit, request.param)


def put(page, chart, positions):
    """Set the controls of an explorer and wait until it has answered."""
    page.evaluate("([chart, to]) => put(chart, to)", [chart, positions])


def fresh(page, those=slice(None)):
    """Name, spec and element of explorers of a page, alive and at their first setting."""
    for name, spec in explorers(page)[those]:
        chart = explorer(page, name)
        put(page, chart, [c["start"] for c in spec["controls"]])
        yield name, spec, chart


def top(control):
    """The last position of a control."""
    return control["count"] if control["kind"] == "slider" else len(control["options"]) - 1


def empty(seen):
    """What is missing of an explorer, in words; nothing where all traces are drawn and all numbers are there."""
    text = " | ".join([seen["says"], *seen["cells"], *seen["texts"], *filter(None, seen["shown"])])
    if SAYS_NOTHING.search(text) or seen["bad"] or not seen["drawn"] or seen["drawn"] < seen["asked"]:
        return f"{seen['drawn']} of {seen['asked']} traces drawn; {text[:300]}"
    return None


def differs(before, after):
    """Whether the chart or the numbers changed, and the sentence with them."""
    parts = [part for part in ("drawing", "cells", "says") if before[part] != after[part]]
    return "says" in parts and len(parts) > 1


def assert_alike(got, wanted, where):
    """Fail unless two looks at an explorer are the same to the eye: words, numbers, and drawing to a pixel, which plotly's margins may round either way."""
    for part in ("at", "says", "cells", "heard", "shown", "texts"):
        assert got[part] == wanted[part], f"{where}: {part}"
    assert len(got["boxes"]) == len(wanted["boxes"]), f"{where}: another number of marks"
    far = [(a, b) for a, b in zip(got["boxes"], wanted["boxes"], strict=True) if a != pytest.approx(b, abs=1.5)]
    assert not far, f"{where}: {len(far)} marks moved, such as {far[0]}"


def test_every_control_answers_the_keyboard(explored):
    page, seen = explored
    rng, arrows = random.Random(page), {}
    for name, spec, chart in fresh(seen.page):
        inputs = chart.query_selector_all(".control input, .control select")
        assert len(inputs) == len(spec["controls"]) > 0
        drawings = set()

        def press(key, at, name=name, chart=chart, inputs=inputs, drawings=drawings):
            inputs[at].focus()
            seen.page.keyboard.press(key)
            now = seen.page.evaluate(
                "async (chart) => { await frames2(); return { ...traces(chart), ...look(chart) }; }", chart
            )
            assert not empty(now), f"{name} at {now['at']}: {empty(now)}"
            drawings.add(now["drawing"])
            assert now["heard"][at] == now["shown"][at], f"{name}: says {now['heard'][at]}, shows {now['shown'][at]}"
            return now

        for at, control in enumerate(spec["controls"]):
            who = f"{name}, {control['label']}"
            # A control may do nothing beside some settings of the others (a cluster size without clusters): try a few.
            for attempt in range(6):
                if attempt:
                    to = [rng.randint(0, top(c)) for c in spec["controls"]]
                    put(seen.page, chart, to)
                if control["kind"] == "slider":
                    count, keys = control["count"], {"Home": 0, "End": control["count"]}
                    if not arrows:  # the browser's own keys: one slider of a page stands for all
                        keys = arrows = {"Home": 0, "ArrowRight": 1, "End": count, "ArrowLeft": count - 1}
                    states = [press(key, at) for key in keys]
                    assert [s["at"][at] for s in states] == list(keys.values()), who
                    assert len({s["heard"][at] for s in states}) >= min(count + 1, len(keys)), who
                    assert states[0]["heard"][at].endswith(control["unit"]), who
                    works = differs(states[0], states[list(keys).index("End")])
                else:
                    states = [press("Home", at)] + [press("ArrowDown", at) for _ in control["options"][1:]]
                    assert [s["at"][at] for s in states] == list(range(len(states))), who
                    works = any(differs(states[0], s) for s in states[1:])
                if works:
                    break
            assert works, f"{who}: chart, numbers or sentence stay as they are"
            put(seen.page, chart, [c["start"] for c in spec["controls"]])
        assert len(drawings) > 1, f"{name}: the chart stays as it is"
    seen.assert_clean()


@pytest.mark.parametrize("those", [slice(2), pytest.param(slice(2, None), marks=deep)], ids=["first two", "rest"])
def test_setting_is_announced_kept_when_the_theme_changes_linked_and_reset(explored, visit, those):
    (page, seen), other = explored, None
    rng = random.Random(page)
    for name, spec, chart in fresh(seen.page, those):
        start = seen.page.evaluate("closely", chart)
        assert start["at"] == [c["start"] for c in spec["controls"]]
        to = [rng.choice([p for p in range(top(c) + 1) if p != c["start"]]) for c in spec["controls"]]
        put(seen.page, chart, to)
        says, status = chart.query_selector(".explorer-says"), chart.query_selector("[role=status]")
        said = "([status, says]) => status.textContent === says.textContent"
        seen.page.wait_for_function(said, arg=[status, says], timeout=5000, polling=50)  # at rest
        there = seen.page.evaluate("closely", chart)
        assert there["at"] == to
        link = chart.query_selector(".explorer-link").evaluate("a => a.hash")
        if not other:  # the first link opens the page, the next ones arrive in it
            other = opened(visit, f"{page}{link}")
            seen.page.emulate_media(color_scheme="dark")
            seen.page.evaluate("frames2()")
            assert_alike(seen.page.evaluate("closely", chart), there, f"{name} in the dark")
        else:
            other.page.evaluate("(link) => (location.hash = link)", link)
        other.page.evaluate("frames2()")
        in_view = "e => { const r = e.getBoundingClientRect(); return r.top < innerHeight && r.bottom > 0; }"
        assert other.page.query_selector(f"#{name}").evaluate(in_view), f"{link} does not lead to the explorer"
        twin = explorer(other.page, name)
        other.page.evaluate("frames2()")
        assert_alike(other.page.evaluate("closely", twin), there, link)
        chart.query_selector(".explorer-reset").click()
        seen.page.evaluate("frames2()")
        assert_alike(seen.page.evaluate("closely", chart), start, f"{name} after Reset")
    if not other:
        pytest.skip("no more explorers on this page")
    other.assert_clean()
    seen.assert_clean()


@pytest.mark.parametrize("page", [CHARTS[0], *(pytest.param(p, marks=deep) for p in CHARTS[1:])])
def test_nothing_moves_when_charts_come_alive(visit, page):
    seen = opened(visit, page, "phone")
    seen.page.evaluate("watchShifts()")
    assert seen.page.evaluate("allLive()") == []
    assert seen.page.evaluate("shifted()") <= 0.02


@pytest.mark.parametrize("page", CHARTS)
def test_sections_that_a_phone_lays_out_later_hold_no_list_to_fill_in(page):
    assert soup(page).select("section.later")
    assert not soup(page).select(".later select"), "a browser lays these out early, to see whether it can fill them in"


def test_a_link_lands_while_sections_still_wait_for_their_layout(browser, address):
    """No moment is idle here, so nothing is laid out but by the jump itself."""
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.add_init_script("window.requestIdleCallback = () => 0")
    page.goto(address + CHARTS[0])
    assert page.locator(".later").count() > 5
    page.locator(".to-contents button").click()
    page.locator("#contents a[href='#summary']").click()
    assert page.locator(".later").count() == 0
    top = page.evaluate(
        "new Promise(requestAnimationFrame).then(() => document.getElementById('summary').getBoundingClientRect().top)"
    )
    page.close()
    assert 0 <= top < 120


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_a_link_to_a_heading_lands_at_it(visit, motion):
    """Whatever is laid out or drawn on the way past many charts, the scroll ends at the heading."""
    seen = opened(visit, max(CHARTS, key=lambda p: len(soup(p).select(".chart"))))
    seen.page.emulate_media(reduced_motion=motion)
    land = """async (link) => {
      scrollTo({ top: 0, behavior: "instant" });
      link.click();
      for (let was = NaN; was !== scrollY; ) {
        was = scrollY;
        for (let i = 0; i < 10; i++) await frames2();
      }
      return document.getElementById(link.hash.slice(1)).getBoundingClientRect().top;
    }"""
    links = seen.page.query_selector_all("#contents a[href^='#']")
    tops = [seen.page.evaluate(land, link) for link in links[-5:]]
    assert len(tops) == 5 and all(0 <= top < 120 for top in tops), tops


def test_answer_stays_in_sight_while_a_control_is_moved_on_a_phone(visit):
    many = {p: max(len(e.select(".control")) for e in soup(p).select(".explorer")) for p in EXPLORERS if p}
    seen = opened(visit, max(many, key=many.get), "phone")
    name, spec = max(explorers(seen.page), key=lambda e: len(e[1]["controls"]))
    chart = explorer(seen.page, name)
    seen.page.evaluate("([chart, to]) => put(chart, to)", [chart, [top(c) for c in spec["controls"]]])
    sight = """(chart) => {
      const control = chart.querySelector(".control :is(input, select)");
      control.scrollIntoView({ block: "center" });
      const [hand, answer] = [control, chart.querySelector(".explorer-says")].map((e) => e.getBoundingClientRect());
      return hand.bottom < answer.top && answer.bottom <= innerHeight;
    }"""
    assert seen.page.evaluate(sight, chart), f"{name}: the answer is off the screen"
    seen.assert_clean()


@deep
def test_no_setting_gives_an_empty_chart_or_a_missing_number(explored):
    page, seen = explored
    rng = random.Random(page)
    bad = []
    for name, spec, chart in fresh(seen.page):
        controls = spec["controls"]
        ends = [range(top(c) + 1) if c["kind"] == "choice" else (0, top(c)) for c in controls]
        corners = list(itertools.product(*ends))
        states = rng.sample(corners, min(32, len(corners)))
        states += [[rng.randint(0, top(c)) for c in controls] for _ in range(30)]
        see = "async ([chart, to]) => { await put(chart, to); return { ...look(chart), ...traces(chart) }; }"
        for state in states:
            got = seen.page.evaluate(see, [chart, list(state)])
            if empty(got):
                bad.append(f"{name} at {list(state)}: {empty(got)}")
    assert not bad, "\n".join(bad[:10])
    seen.assert_clean()
