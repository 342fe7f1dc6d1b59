"""``make slides``: one file of slides a notebook, cut from the built page; works from disk, prints one slide a sheet."""

import re
import sys
from html import escape
from pathlib import Path

from bs4 import BeautifulSoup

from aistack.book.policy import policy

__all__ = ["slides_of", "write_slides"]

#: Sections that are for reading and not for showing.
LEFT_OUT = ("Exercises", "Sources", "Who works here", "How we got here")

STYLE = """
html { scroll-padding-top: 0; scroll-behavior: auto; }
* { content-visibility: visible !important; }
body { margin: 0; font: 1.45rem/1.4 var(--sans); }
main { display: block; max-width: none; padding: 0; }
section.slide { min-height: 100vh; box-sizing: border-box; padding: 4vh 7vw; display: flex; flex-direction: column; justify-content: center; gap: 0.8rem; border-bottom: 1px solid var(--line); }
section.slide > * { max-width: 60rem; width: 100%; margin: 0 auto; }
section.slide svg, section.slide img { max-height: 56vh; height: 56vh; width: auto; max-width: 100%; display: block; margin: 0 auto; }
section.slide table { font-size: 1.1rem; }
section.slide li { margin: 0.5rem 0; }
section.slide .at { position: static; font-size: 0.9rem; color: var(--muted); text-align: end; }
h1 { font-size: 3rem; } h2 { font-size: 2rem; margin-block: 0; } section.slide p { margin-block: 0.3rem; }
@media print { @page { size: 297mm 167mm; margin: 0; } section.slide { break-after: page; min-height: 167mm; border: 0; } }
"""

SCRIPT = """
const slides = [...document.querySelectorAll("section.slide")];
const here = () => slides.findIndex((s) => s.getBoundingClientRect().bottom > innerHeight / 2);
addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, PageDown: 1, " ": 1, ArrowLeft: -1, PageUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  slides[Math.max(0, Math.min(slides.length - 1, here() + step))].scrollIntoView();
});
"""


def _text(node) -> str:
    return re.sub(r"\s+", " ", node.get_text(" ", strip=True)).strip(" #¶")


def _first_sentence(paragraph) -> str:
    """Return the paragraph's HTML up to the end of its first sentence, or all of it if that is not clear."""
    inner = paragraph.decode_contents()
    end = re.search(r"(?<=[a-z0-9)%>])[.?!](?=\s+[A-Z<])", inner)
    cut = inner[: end.end()] if end else inner
    return (
        inner
        if cut.count("<") != cut.count(">") or len(re.findall(r"<\w", cut)) != len(re.findall(r"</\w", cut))
        else cut
    )


def _figure(figure) -> str | None:
    """Return the slide of a chart, an explorer or a claim."""
    caption, picture = figure.find("figcaption"), figure.find("svg", class_="chart-static") or figure.find("svg")
    if not caption or not picture:
        return None
    question = figure.find(class_="explorer-question")
    below = question or figure.find(class_="chart-summary")
    head = caption.get_text(" ", strip=True).removeprefix("Explorer ").strip()
    said = f"<p>{_first_sentence(below)}</p>" if below else ""
    return f"<h2>{escape(head)}</h2>{said if question else ''}{picture}{'' if question else said}"


def slides_of(page: str) -> list[str]:
    """Return the slides of a built page, each as HTML.

    Parameters
    ----------
    page : str
        The page's HTML.

    Notes
    -----
    The title with its question, what one will be able to do, then for each section its name with the opening sentences of
    up to three paragraphs, its formulas, charts, explorers and checked claims, and the summary at the end.
    """
    soup = BeautifulSoup(page, "html.parser")
    main = soup.find("main")
    title = main.find("h1")
    for mark in main.select("a.headerlink, script, details"):
        mark.decompose()
    for link in main.select("a[href]"):
        if not link["href"].startswith("http"):  # leads to a page that is not here
            link.unwrap()
    question = title.find_next("strong")
    made = [f"<h1>{escape(_text(title))}</h1><p>{escape(_text(question))}</p>"]
    for section in main.select("section > section"):
        head = section.find("h2", recursive=False)
        if head is None or _text(head).startswith(LEFT_OUT):
            continue
        name = escape(_text(head))
        lists = section.find(["ul", "ol"], recursive=False)
        if _text(head) in ("At a glance", "Summary") and lists:
            made.append(f"<h2>{name}</h2>{lists}")
            continue
        opening = [_first_sentence(p) for p in section.find_all("p", recursive=False)[:3]]
        made.append(f"<h2>{name}</h2>" + "".join(f"<p>{s}</p>" for s in opening if s))
        for part in section.find_all(["figure", "math", "div"]):
            if part.name == "figure" and "chart" in part.get("class", []):
                made.append(_figure(part))
            elif part.name == "math" and part.get("display") == "block":
                made.append(f"<h2>{name}</h2>{part}")
            elif part.name == "div" and "claim" in part.get("class", []):
                made.append(f"<h2>Check the claim</h2>{''.join(str(p) for p in part.find_all('p')[1:])}")
    return [slide for slide in made if slide]


def write_slides(root: Path) -> list[Path]:
    """Write the slides of every built notebook of the book under `root` and return the files.

    Raises
    ------
    FileNotFoundError
        If the book is not built.
    """
    site = root / "_build" / "html"
    style = site / "_static" / "book.css"
    if not style.is_file():
        raise FileNotFoundError(f"{site} holds no book; run 'make book' first")
    folder = root / "_build" / "slides"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for page in sorted([*site.glob("chapters/*.html"), *site.glob("synthesis/*.html")]):
        parts = slides_of(page.read_text(encoding="utf-8"))
        body = "".join(
            f'<section class="slide" id="s{at}">{part}<p class="at">{at} of {len(parts)}</p></section>'
            for at, part in enumerate(parts, 1)
        )
        title = re.search(r"<h1>(.*?)</h1>", parts[0])[1]
        css = style.read_text(encoding="utf-8") + (site / "_static" / "charts.css").read_text(encoding="utf-8") + STYLE
        text = (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy(SCRIPT, css)}"><meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}: slides</title><style>{css}</style></head><body><main>{body}</main><script>{SCRIPT}</script></body></html>"
        )
        path = folder / page.name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


if __name__ == "__main__":
    try:
        made = write_slides(Path.cwd())
    except FileNotFoundError as error:
        sys.exit(str(error))
    print(f"{len(made)} files of slides in {made[0].parent}")
