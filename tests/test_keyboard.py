"""The site by keyboard alone: every stop is seen and in view, nothing holds the reader, Escape closes what a key has opened."""

import pytest
from site_server import SITE, pages

pytestmark = pytest.mark.browser

STOPS = 1500  # more than any page has
#: A page of each kind: bands, filters, results, long lists, and the chapters, whose first stands for all.
KINDS = [
    "index.html",
    "search.html?q=wafer",
    next((p for p in pages() if "explorer-controls" in (SITE / p).read_text()), "404.html"),
]
LOOKS = ["phone", pytest.param("desktop", marks=pytest.mark.deep)]

# What is wrong with the stop that has the focus; nothing when the focus has left the page.
STOP = """() => {
  const at = document.activeElement;
  if (!at || at === document.body) return null;
  const { outlineStyle, outlineWidth } = getComputedStyle(at), box = at.getBoundingClientRect();
  const name = `${at.localName}#${at.id}.${at.className} “${(at.getAttribute("aria-label") ?? at.textContent ?? "").trim().slice(0, 40)}”`;
  const wrong = [];
  if (outlineStyle === "none" || parseFloat(outlineWidth) < 1) wrong.push("no outline");
  if (box.width < 1 || box.height < 1 || !at.checkVisibility({ visibilityProperty: true, opacityProperty: true })) wrong.push("not seen");
  if (box.right < 1 || box.left > innerWidth - 1 || box.bottom < 1 || box.top > innerHeight - 1) wrong.push("out of view");
  const head = document.querySelector("header.site"), under = head.getBoundingClientRect();
  if (!head.contains(at) && getComputedStyle(head).position === "sticky" && box.bottom <= under.bottom && !at.closest("nav") && !at.matches(".skip"))
    wrong.push("under the header");
  at.dataset.stop = (at.dataset.stop ?? 0) - -1;
  return { name, wrong, again: +at.dataset.stop };
}"""


def walk(page, key="Tab"):
    """The stops of a page from one end to the other, and what is wrong with them."""
    stops, wrong = [], []
    for _ in range(STOPS):
        page.keyboard.press(key)
        stop = page.evaluate(STOP)
        if stop is None or stop["again"] > 1:
            break
        stops.append(stop["name"])
        wrong += [f"{stop['name']}: {what}" for what in stop["wrong"]]
    else:
        wrong.append(f"no end after {STOPS} stops")
    left = "all => all.filter((e) => e.tabIndex >= 0 && !e.dataset.stop && e.checkVisibility({ visibilityProperty: true })).map((e) => e.outerHTML.slice(0, 120))"
    reach = "a[href], button, input, select, summary, textarea, [tabindex='0']"
    wrong += [f"never reached: {html}" for html in page.eval_on_selector_all(reach, left)]
    return stops, wrong


@pytest.mark.parametrize("size", LOOKS)
@pytest.mark.parametrize("page", KINDS)
def test_tab_reaches_everything_in_view_with_its_focus_seen_and_leaves_again(visit, page, size):
    seen = visit(page, size)
    seen.page.wait_for_load_state("networkidle")  # results of a search come with excerpts, which push the rest down
    stops, wrong = walk(seen.page)
    assert not wrong, "\n".join(wrong[:10])
    assert len(stops) > 5
    seen.assert_clean()


@pytest.mark.parametrize("size", LOOKS)
def test_skip_link_leads_past_the_header(visit, size):
    seen = visit(KINDS[-1], size)
    seen.page.keyboard.press("Tab")
    assert seen.page.evaluate(
        "document.activeElement.matches('.skip') && document.activeElement.getBoundingClientRect().height > 20"
    )
    seen.page.keyboard.press("Enter")
    seen.page.keyboard.press("Tab")
    assert seen.page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_escape_closes_the_drawers_and_gives_the_focus_back(visit):
    seen = visit(KINDS[-1], "phone")
    for drawer in ("chapters", "contents"):
        seen.page.focus(f"button[popovertarget={drawer}]:not([popovertargetaction])")
        seen.page.keyboard.press("Enter")
        assert seen.page.locator(f"#{drawer}").is_visible()
        seen.page.keyboard.press("Tab")
        assert seen.page.evaluate("(id) => document.getElementById(id).contains(document.activeElement)", drawer)
        seen.page.keyboard.press("Escape")
        assert not seen.page.locator(f"#{drawer}").is_visible()
        assert seen.page.evaluate("document.activeElement.getAttribute('popovertarget')") == drawer
    seen.assert_clean()
