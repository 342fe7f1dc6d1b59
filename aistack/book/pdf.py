"""``make pdf``: the whole book on paper, in reading order, printed by Chromium from the built pages.

Paper has no controls: an explorer stands at its first setting, in words and as a picture. Code that only draws and tables
that repeat a chart stay in the notebooks, answers move to the end, and every link out of the book gets a number and, at
the end of its chapter, its address.
"""

import re
import sys
from html import escape
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import yaml
from bs4 import BeautifulSoup

__all__ = ["pages_of", "reading_order", "write_pdf"]

#: Pages that are of use on a screen alone: links to start, files to fetch, the whole ledger and the state of the build.
LEFT_OUT = ("launch", "teach", "reference/data", "reference/claims", "reference/status")
#: What a sheet cannot do, or what stands elsewhere.
OFF_PAPER = (
    "script, form, button, .headerlink, .ways, .explorer-spoken, .chart-more, details.hide, .hidden:not(.tag .hidden)"
)

STYLE = """
@page { size: A4; margin: 20mm 17mm 18mm; @bottom-center { content: counter(page); font: 9pt var(--sans); } }
@page front { @bottom-center { content: ""; } }
html { font-size: 10pt; }
body { font-size: 10pt; line-height: 1.5; }
h1 { font-size: 24pt; } h2 { font-size: 15pt; } h3 { font-size: 12pt; }
p, li { orphans: 3; widows: 3; }
.leaf { break-before: page; }
.leaf[class*="layer-"] > section > h1 { padding-top: 0.5em; border-top: 4px solid var(--layer); }
.title { page: front; padding-top: 70mm; text-align: center; }
.title h1 { font-size: 38pt; }
.title p { font: 12pt/1.6 var(--sans); }
.plan { page: front; break-before: page; }
.plan h2 { margin: 1.4em 0 0.3em; font-size: 11pt; color: var(--muted); }
.plan ol { padding: 0; list-style: none; font: 10.5pt/1.75 var(--sans); }
.plan li { display: flex; gap: 0.5em; margin: 0; }
.plan li::before { order: 2; flex: 1; content: ""; border-bottom: 1px dotted var(--muted); transform: translateY(-0.45em); }
.plan li span { order: 3; font-variant-numeric: tabular-nums; }
.plan a { color: inherit; text-decoration: none; }
a[href]::after { content: none !important; }
.number-of-link { margin-left: 0.1em; color: var(--muted); font: 0.7em var(--sans); vertical-align: super; line-height: 0; }
.addresses { padding: 0; columns: 2; column-gap: 6mm; list-style: none; font: 7pt/1.4 var(--sans); }
.addresses li { margin: 0; overflow-wrap: anywhere; break-inside: avoid; }
.addresses a { color: inherit; text-decoration: none; }
.answers > h3 { margin-top: 1.6em; }
.answer { margin-bottom: 1em; }
.answer > b { font-family: var(--sans); }
.to-answer { font: 0.85em var(--sans); }
.setting { font-size: 0.9em; }
.setting b { font-weight: 650; }
pre { font-size: 7.6pt; overflow-wrap: anywhere; }
.cell_output pre { padding-inline: 0; }
table { max-width: 100%; font-size: 8.2pt; }
table.wide { font-size: 6.6pt; }
table.wide :is(th, td) { padding-inline: 0.35em; }
th, td { overflow-wrap: anywhere; hyphens: auto; }
.dataframe .words { min-width: 0; }
figure, table { break-inside: auto; }
tr, .chart, .claim, .math-block { break-inside: avoid; }
thead { display: table-header-group; }
.chart { margin: 1.2em 0; font-size: 9pt; }
.chart-plot, .chart-plot.chart-tall { height: auto; }
.chart-plot > svg { position: static; height: auto; max-height: 150mm; }
.explorer-says { min-height: 0; }
.chart-sources { font-size: 7.5pt; }
.band { break-inside: avoid; }
"""


def reading_order(root: Path) -> list[tuple[str, list[str]]]:
    """Return the parts of the book in `root`, each with its pages, those for paper alone.

    Parameters
    ----------
    root : Path
        Folder with ``_toc.yml``.

    Returns
    -------
    list
        Pairs of a part's name and its pages' names, such as ``("The stack", ["chapters/01-raw-materials", …])``.
    """
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    parts = [(part["caption"], [entry["file"] for entry in part["chapters"]]) for part in toc["parts"]]
    parts[0][1].insert(0, toc["root"])
    kept = [(name, [page for page in pages if page not in LEFT_OUT]) for name, pages in parts]
    return [(name, pages) for name, pages in kept if pages]


def _anchor(page: str, ident: str = "") -> str:
    """Return the name of a page, or of a place on it, among all pages of the book."""
    return page.replace("/", "-") + (f"--{ident}" if ident else "")


def _target(page: str, address: str) -> tuple[str, str]:
    """Return the page that a relative address leads to, and the place on it."""
    path, _, ident = address.partition("#")
    parts = []
    for part in (*PurePosixPath(page).parent.parts, *PurePosixPath(unquote(path)).parts) if path else ():
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts).removesuffix(".html") if path else page, unquote(ident)


def _state_settings(soup, main):
    """Say in words where the controls of an explorer stand."""
    for form in main.select(".explorer-controls"):
        line = soup.new_tag("p", attrs={"class": "setting"})
        for control in form.select(".control"):
            value = control.output or control.select_one("option[selected]")
            name = soup.new_tag("b")
            name.string = value.get_text()
            line.extend([("; " if line.contents else "Set to: ") + control.label.get_text() + " ", name])
        form.replace_with(line)


def _unfold(main):
    """Open what is folded: sources run on in one line, of sums only their label goes."""
    for details in main.select("details:not(.dropdown)"):
        details.summary.decompose()
        details.name = "div"
        if "chart-sources" in details.get("class", []):
            items = [item.decode_contents() for item in details.select("li")]
            details.replace_with(
                BeautifulSoup(f'<p class="chart-sources">Sources: {"; ".join(items)}.</p>', "html.parser")
            )


def _take_answers(soup, main) -> list:
    """Take the answers off a page, leave a link to where they will stand, and return them with their numbers."""
    taken = []
    for at, details in enumerate(main.select("details.dropdown"), 1):
        label = details.summary.get_text(strip=True)
        name = f"{label} {at}" if label == "Answer" else label
        details.summary.decompose()
        answer = soup.new_tag("div", attrs={"class": "answer", "id": f"answer-{at}"})
        head = soup.new_tag("b")
        head.string = f"{name}. "
        first = details.find("p")
        (first if first and first.find_previous_sibling() is None else answer).insert(0, head)
        answer.extend(list(details.contents))
        link = soup.new_tag("a", href=f"#answer-{at}")
        link.string = f"{name}, at the end of the book"
        place = soup.new_tag("p", attrs={"class": "to-answer"})
        place.append(link)
        details.replace_with(place)
        taken.append(answer)
    return taken


def _settle_links(soup, node, page, inside, addresses):
    """Point links at the places in the book, number those that lead out of it, and make every id one of the whole book."""
    for link in node.select("a[href]"):
        address = link["href"]
        if address.startswith("http"):
            if link.get_text(strip=True) != address:
                at = addresses.setdefault(address, len(addresses) + 1)
                mark = soup.new_tag("span", attrs={"class": "number-of-link"})
                mark.string = str(at)
                link.append(mark)
        elif ":" not in address:
            to, ident = _target(page, address)
            if to in inside:
                link["href"] = f"#{_anchor(to, ident)}"
            else:
                link.unwrap()
    for element in [node, *node.find_all(True)]:
        for key, value in element.attrs.items():
            if key == "id":
                element[key] = _anchor(page, value)
            elif isinstance(value, str) and "url(#" in value:
                element[key] = value.replace("url(#", f"url(#{_anchor(page)}--")
            elif element.name == "use" and key.endswith("href"):
                element[key] = f"#{_anchor(page, value[1:])}"


def _leaf(site: Path, page: str, inside: set[str]) -> tuple[str, str, str]:
    """Return a page's title, the page for paper, and its answers, the last two as HTML."""
    soup = BeautifulSoup((site / f"{page}.html").read_text(encoding="utf-8"), "html.parser")
    main = soup.find("main")
    _state_settings(soup, main)
    for element in main.select(OFF_PAPER):
        element.decompose()
    for table in main.select("table"):
        if max((len(row.find_all(["td", "th"])) for row in table.select("tr")), default=0) > 7:
            table["class"] = [*table.get("class", []), "wide"]
    _unfold(main)
    answers = _take_answers(soup, main)
    addresses: dict[str, int] = {}
    for node in (main, *answers):
        _settle_links(soup, node, page, inside, addresses)
    layer = re.search(r"chapters/(\d\d)-", page)
    title = main.h1.get_text(" ", strip=True)
    if layer:
        main.h1.insert(0, f"{int(layer[1])} ")
        title = f"{int(layer[1])} {title}"
    kind = f" layer-{int(layer[1])}" if layer else ""
    listed = "".join(f'<li>{at} <a href="{escape(url)}">{escape(url)}</a></li>' for url, at in addresses.items())
    notes = f'<h2>Addresses</h2><ol class="addresses">{listed}</ol>' if addresses else ""
    leaf = f'<div class="leaf{kind}" id="{_anchor(page)}">{main.decode_contents()}{notes}</div>'
    return title, leaf, "".join(map(str, answers))


def _document(site: Path, parts, numbers: dict[str, int], leaves) -> str:
    """Return the book as one page of HTML; `numbers` are those of the sheets where pages begin."""
    style = "".join((site / "_static" / name).read_text(encoding="utf-8") for name in ("book.css", "charts.css"))
    style = style.replace('url("math.woff2")', f'url("{(site / "_static" / "math.woff2").resolve().as_uri()}")')
    title = BeautifulSoup((site / "index.html").read_text(encoding="utf-8"), "html.parser")
    name, about = title.title.get_text(), title.find("meta", attrs={"name": "description"})["content"]

    def entry(page, text):
        return f'<li><a href="#{_anchor(page)}">{escape(text)}</a><span>{numbers.get(_anchor(page), "")}</span></li>'

    plan = "".join(
        f"<h2>{escape(part)}</h2><ol>{''.join(entry(p, leaves[p][0]) for p in pages)}</ol>" for part, pages in parts
    )
    answered = "".join(f"<h3>{escape(title)}</h3>{found}" for title, _, found in leaves.values() if found)
    if answered:
        plan += f"<ol>{entry('answers', 'Answers to the exercises')}</ol>"
        answered = f'<div class="leaf answers" id="answers"><h1>Answers to the exercises</h1>{answered}</div>'
    return (
        f'<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>{escape(name)}</title>'
        f'<style>{style}{STYLE}</style></head><body><main><div class="title"><h1>{escape(name)}</h1><p>{escape(about)}</p></div>'
        f'<div class="plan"><h1>Contents</h1>{plan}</div>{"".join(leaf for _, leaf, _ in leaves.values())}{answered}</main></body></html>'
    )


def pages_of(pdf: bytes) -> tuple[int, dict[str, int]]:
    """Return how many pages a PDF by Chromium has, and on which page each named place is.

    Parameters
    ----------
    pdf : bytes
        The file. Chromium writes its objects in the clear; only what is drawn is packed.
    """
    objects = {int(at): body for at, body in re.findall(rb"(?m)^(\d+) 0 obj\b(.*?)\bendobj", pdf, re.S)}

    def leaves(at):
        kids = re.search(rb"/Kids\s*\[([^\]]*)\]", objects[at])
        if not kids:
            return [at]
        return [leaf for kid in re.findall(rb"(\d+) 0 R", kids[1]) for leaf in leaves(int(kid))]

    root = re.search(rb"/Type\s*/Catalog.*?/Pages (\d+) 0 R|/Pages (\d+) 0 R", pdf, re.S)
    order = {at: number for number, at in enumerate(leaves(int(root[1] or root[2])), 1)}
    places = re.findall(rb"/([^\s/\[\]<>()]+)\s*\[(\d+) 0 R\s*/XYZ", pdf)
    return len(order), {name.decode(): order[int(at)] for name, at in places if int(at) in order}


def write_pdf(browser, site: Path, parts, path: Path) -> int:
    """Print pages of the book as one PDF and return its number of sheets.

    Parameters
    ----------
    browser : playwright.sync_api.Browser
        A Chromium.
    site : Path
        Folder of the built site.
    parts : list
        What :func:`reading_order` returns, or a part of it.
    path : Path
        The file to write; the HTML that was printed is kept beside it.

    Raises
    ------
    FileNotFoundError
        If a page has not been built.
    """
    inside = {page for _, pages in parts for page in pages}
    missing = [page for page in sorted(inside) if not (site / f"{page}.html").is_file()]
    if missing:
        raise FileNotFoundError(f"{site}: no {missing[0]}.html here; run make book first")
    leaves = {page: _leaf(site, page, inside) for _, pages in parts for page in pages}
    path.parent.mkdir(parents=True, exist_ok=True)
    source, numbers, count = path.with_suffix(".html"), {}, 0
    for _ in range(2):  # the second time with the numbers of the first in the contents
        source.write_text(_document(site, parts, numbers, leaves), encoding="utf-8")
        page = browser.new_page()
        page.goto(source.resolve().as_uri(), timeout=300_000)
        made = page.pdf(prefer_css_page_size=True, print_background=True, outline=True, tagged=True)
        page.close()
        count, numbers = pages_of(made)
    path.write_bytes(made)
    return count


def main() -> int:
    """Print the book of the present folder with the Chromium that the first argument names; say where the PDF is."""
    from playwright.sync_api import sync_playwright

    root = Path.cwd()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=sys.argv[1])
        try:
            path = root / "_build" / "pdf" / "sand-to-tokens.pdf"
            count = write_pdf(browser, root / "_build" / "html", reading_order(root), path)
        except FileNotFoundError as error:
            print(error, file=sys.stderr)
            return 1
    print(f"{path}: {count} sheets, {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
