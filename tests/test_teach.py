"""What instructors get: objectives from the chapters, syllabi, and slides that turn by key."""

import re
import shutil

import nbformat
import pytest
from site_server import ROOT, SITE, soup

from aistack.book.slides import LEFT_OUT, slides_of, write_slides
from aistack.book.teach import objectives_of

CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_every_chapter_states_objectives(path):
    items, _ = objectives_of(path)
    assert 3 <= len(items) <= 8 and all(len(item) > 15 for item in items)


def test_a_chapter_without_objectives_is_named(tmp_path):
    path = tmp_path / "01-bare.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("## At a glance\n\nNothing.")]), path)
    with pytest.raises(ValueError, match="01-bare"):
        objectives_of(path)


def test_slides_without_a_book_say_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="make book"):
        write_slides(tmp_path)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_slides_hold_every_chart_of_the_chapter(path):
    page = f"chapters/{path.stem}.html"
    heads = (h.parent for h in soup(page).select("main section > section > h2"))
    shown = [s for s in heads if not s.h2.get_text(strip=True).startswith(LEFT_OUT)]
    charts = [c for s in shown for c in s.select("figure.chart figcaption")]
    made = slides_of((SITE / page).read_text(encoding="utf-8"))
    with_picture = [slide for slide in made if "<svg" in slide]
    assert len(with_picture) == len(charts) > 5
    assert "<h1>" in made[0] and "Summary" in made[-1]


def test_syllabi_deal_out_every_chapter_once():
    for table in soup("teach.html").select("main table")[:2]:
        links = [a["href"] for a in table.select("a")]
        assert links == [f"chapters/{p.stem}.html" for p in CHAPTERS]


def test_arrow_keys_turn_slides(browser, tmp_path):
    site = tmp_path / "_build" / "html"  # a book of one chapter
    (site / "chapters").mkdir(parents=True)
    shutil.copytree(SITE / "_static", site / "_static")
    shutil.copy(SITE / "chapters" / "01-raw-materials.html", site / "chapters")
    written = write_slides(tmp_path)
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.goto(written[0].as_uri())
    at = "slides.findIndex((s) => Math.abs(s.getBoundingClientRect().top) < 2)"
    assert page.evaluate(at) == 0
    for wanted, key in ((1, "ArrowRight"), (2, "PageDown"), (1, "ArrowLeft")):
        page.keyboard.press(key)
        page.wait_for_function(f"{at} === {wanted}")
    assert not re.search(r'(src|href)="(?!https?:|#)', written[0].read_text(encoding="utf-8"))
    page.close()
