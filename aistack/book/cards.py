"""What other sites and search engines see: a card picture for each page, the sitemap, and the page for lost addresses."""

import hashlib
import shutil
from html import escape
from pathlib import Path
from textwrap import fill
from urllib.parse import urlsplit

from aistack import charts

__all__ = ["setup_cards"]

WIDTH, HEIGHT = 1200, 630  # pixels, as social sites ask for


def draw_card(title: str, line: str, layer: int, path: Path) -> None:
    """Write a picture of `title` over `line`, with the fourteen layers below and `layer` (0: none) standing out.

    Parameters
    ----------
    title, line : str
        Large and small text.
    layer : int
        The page's layer, 1 to 14, or 0.
    path : Path
        PNG file to write.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100, facecolor="#fdfcf9")
    colour = charts.LAYERS[layer] if layer else "#8a3b12"
    figure.text(0.06, 0.88, "Sand to Tokens", size=22, color="#5f5a50", weight="bold", va="top")
    figure.text(0.06, 0.76, fill(title, 26), size=52, color="#23211d", weight="bold", va="top", linespacing=1.15)
    figure.text(0.06, 0.36, fill(line, 62), size=23, color="#23211d", va="top", linespacing=1.4)
    for n in range(1, 15):
        tall = 0.13 if n == layer or not layer else 0.06
        box = Rectangle(
            (0.06 + (n - 1) * 0.063, 0.04), 0.058, tall, color=charts.LAYERS[n], transform=figure.transFigure
        )
        figure.patches.append(box)
    figure.patches.append(Rectangle((0, 0), 0.018, 1, color=colour, transform=figure.transFigure))
    figure.savefig(path, metadata={"Software": None})


def card_for(app, pagename: str, title: str, line: str, layer: int) -> str:
    """Return the site path of a page's card, drawn once for the same words."""
    digest = hashlib.sha256(
        f"{title}\n{line}\n{layer}\n{Path(__file__).read_text(encoding='utf-8')}".encode()
    ).hexdigest()[:16]
    kept = Path(app.srcdir, "_build", ".cards", f"{digest}.png")
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        draw_card(title, line, layer, kept)
    place = Path(app.outdir, "_cards", f"{pagename.replace('/', '-')}.png")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(kept, place)
    return f"_cards/{place.name}"


def _write_sitemap(app, exception) -> None:
    base = app.config.html_baseurl
    if exception is not None or app.builder.format != "html" or not base:
        return
    pages = sorted(app.env.found_docs)
    places = [base + ("" if page == app.config.root_doc else app.builder.get_target_uri(page)) for page in pages]
    urls = "".join(f"<url><loc>{escape(place)}</loc></url>\n" for place in places)
    xml = f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{urls}</urlset>\n'
    Path(app.outdir, "sitemap.xml").write_text(xml, encoding="utf-8")
    Path(app.outdir, "robots.txt").write_text(
        f"User-agent: *\nAllow: /\nSitemap: {base}sitemap.xml\n", encoding="utf-8"
    )


def _lost_page(app, pagename, templatename, context, doctree) -> None:
    """A lost address may lie in any folder, so the page for it names its files from the site's own root."""
    if pagename == "404":
        context["base_path"] = urlsplit(app.config.html_baseurl).path or "/"


def setup_cards(app) -> None:
    """Register the sitemap and the page for lost addresses.

    Parameters
    ----------
    app : sphinx.application.Sphinx
        The application that builds the book.
    """
    app.connect("config-inited", lambda app, config: config.html_additional_pages.setdefault("404", "404.html"))
    app.connect("html-page-context", _lost_page)
    app.connect("build-finished", _write_sitemap)
