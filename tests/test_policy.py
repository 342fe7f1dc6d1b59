"""The Content-Security-Policy of the built pages: what it says, that it holds, and that the pages live under it."""

import re

import pytest
from site_server import SITE, pages, pages_with, soup

from aistack.book.policy import digest, policy
from aistack.book.site import HEAD_SCRIPT

pytestmark = pytest.mark.browser

PAGE = next(iter(pages_with("explorer")), None)
SEEN = "chapters/02-fabrication.html" if "chapters/02-fabrication.html" in pages() else PAGE


def directives(text):
    """A policy as directive -> sources."""
    return {name: sources for name, *sources in (part.split() for part in text.split(";"))}


def test_policy_lets_nothing_in_from_elsewhere_and_no_script_by_its_text():
    told = directives(policy(HEAD_SCRIPT))
    assert told["default-src"] == told["base-uri"] == told["object-src"] == ["'none'"]
    assert told["script-src"] == ["'self'", "file:", digest(HEAD_SCRIPT)]
    assert told["form-action"] == ["'self'", "file:"] and told["connect-src"] == ["'self'"]
    every = [source for name, sources in told.items() if name != "style-src-attr" for source in sources]
    assert not [s for s in every if "unsafe" in s or "*" in s or s.startswith(("http", "ws", "blob"))]


def test_every_page_carries_the_policy_before_anything_loads_and_keeps_to_it(site):
    for page in pages():
        tree = soup(page)
        told = tree.head.find_all("meta", attrs={"http-equiv": "Content-Security-Policy"})
        base = "'self'" if page == "404.html" else "'none'"
        assert [m["content"] for m in told] == [policy(HEAD_SCRIPT, base=base)], page
        before = [e.name for e in told[0].find_all_previous(True)]
        assert set(before) <= {"meta", "head", "html"}, f"{page}: {before} stand before the policy"
        inline = [s.string for s in tree.find_all("script", src=False) if s.get("type") != "application/json"]
        assert inline == [HEAD_SCRIPT], f"{page}: another inline script"
        assert not tree.find_all("style"), f"{page}: an inline style sheet"
        hooks = [f"{e.name} {k}" for e in tree.find_all(True) for k in e.attrs if re.match("on[a-z]+$", k)]
        assert not hooks, f"{page}: {hooks}"


ATTACKS = {
    "an inline script": "<script>window.broken = 1</script>",
    "a handler": '<img src="data:," onerror="window.broken = 1" alt="">',
    "a link that runs": '<a id="attack" href="javascript:window.broken = 1">x</a>',
    "a script of another host": '<script src="https://elsewhere.example/x.js"></script>',
    "a frame": '<iframe srcdoc="<script>parent.broken = 1</script>" title="x"></iframe>',
}


@pytest.mark.parametrize("what", ATTACKS)
def test_injected_code_does_not_run(browser, address, what):
    page, told, asked = browser.new_page(), [], []
    page.on("console", lambda message: told.append(message.text))
    page.route("https://elsewhere.example/**", lambda route: asked.append(route.request.url))
    body = (SITE / SEEN).read_text(encoding="utf-8").replace("<body>", f"<body>{ATTACKS[what]}", 1)
    page.route(f"**/{SEEN}", lambda route: route.fulfill(body=body, content_type="text/html"))
    page.goto(address + SEEN)
    if "attack" in ATTACKS[what]:
        page.evaluate("document.getElementById('attack').click()")
    page.evaluate("new Promise((done) => setTimeout(done))")
    assert page.evaluate("document.documentElement.dataset.theme"), "the page's own script has to run"
    assert page.evaluate("typeof window.broken") == "undefined"
    assert any("Content Security Policy" in text for text in told), told
    assert not asked
    page.close()


LIVE = """async () => {
  const chart = document.querySelector(".explorer"), box = chart.querySelector(".chart-plot");
  box.scrollIntoView({ block: "center" });
  for (let i = 0; i < 300 && !box.matches(".is-live"); i++) await new Promise((done) => setTimeout(done, 50));
  const input = chart.querySelector(".control input, .control select");
  input.value = input.value === "0" ? 1 : 0;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  return [box.matches(".is-live"), chart.matches(".is-changed"), getComputedStyle(document.querySelector("header.site")).display];
}"""


def test_pages_from_disk_have_their_style_their_charts_and_their_search(browser, site):
    page, told = browser.new_page(), []
    page.on("console", lambda message: told.append(message.text))
    page.goto((site / SEEN).as_uri())
    live, moved, display = page.evaluate(LIVE)
    assert live and moved and display == "flex"
    page.locator("header.site input[name=q]").fill("wafer")
    page.locator("header.site form button").click()
    page.wait_for_selector("#search-results a")
    assert page.url.startswith("file:") and not told, told
    page.close()
