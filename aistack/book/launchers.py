"""The page that lists every notebook with the places that run it; and the exercises' notebooks, for readers to download."""

import re
import shutil
from html import escape
from pathlib import Path, PurePosixPath

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from aistack.data import load
from aistack.launch import WELCOME, notebooks, repository

__all__ = ["exercise", "setup_launchers"]


def exercise(path: str) -> str:
    """Return where the released exercise of the chapter at `path` lies."""
    slug = PurePosixPath(path).stem
    return f"exercises/release/{slug}/{slug}.ipynb"


class Launchers(SphinxDirective):
    """``{launchers}``: a row for each chapter and its exercise, with links to Binder, Colab and the file."""

    def run(self):
        """Return the table."""
        root = Path(self.env.srcdir)
        place, there, titles = repository(root), notebooks(root), load("layers").set_index("slug").title
        up = "../" * self.env.docname.count("/")

        def links(path, what):
            if path not in there:
                return ""
            ways = [("Binder", place.binder(path)), ("Colab", place.colab(path)), ("Download", f"{up}_sources/{path}")]
            return " · ".join(
                f'<a href="{escape(url)}"{" download" if name == "Download" else ""}>{name}'
                f'<span class="hidden"> {escape(what)}</span></a>'
                for name, url in ways
                if url
            )

        whole = f'<a href="{escape(place.binder(WELCOME))}">Binder<span class="hidden"> the whole course</span></a>'
        rows = f"<tr><th>The whole course</th><td>{whole}</td><td></td></tr>\n" if place.binder(WELCOME) else ""
        taught = [p for p in there if not p.startswith("exercises/")]
        for path in taught:
            slug = PurePosixPath(path).stem
            name = titles.get(slug, slug.replace("-", " ").capitalize())
            page = path.removesuffix(".ipynb")
            title = escape(name)
            if page in self.env.found_docs:
                title = f'<a href="{up}{page}.html">{title}</a>'
            cells = (links(path, f"chapter {name}"), links(exercise(path), f"exercise {name}"))
            rows += f'<tr id="{slug}"><th>{title}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>\n"
        for path in sorted(set(there) - {*taught, *map(exercise, taught)}):  # exercises that belong to no chapter
            name = re.sub(r"^\d+-", "", PurePosixPath(path).stem).replace("-", " ").capitalize()
            rows += f"<tr><th>{escape(name)}</th><td></td><td>{links(path, f'exercise {name}')}</td></tr>\n"
        head = "<thead><tr><th>Layer</th><th>Chapter</th><th>Exercise</th></tr></thead>"
        table = f'<table><caption class="hidden">Every notebook and where it runs</caption>{head}<tbody>{rows}</tbody></table>'
        return [nodes.raw("", table, format="html")]


def _copy_exercises(app, exception):
    """Put the released exercises beside the chapters' notebooks."""
    if exception is None and app.builder.format == "html":
        for path in notebooks(Path(app.srcdir)):
            if path.startswith("exercises/"):
                place = Path(app.outdir, "_sources", path)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(app.srcdir, path), place)


def setup_launchers(app) -> None:
    """Register the directive and the copying.

    Parameters
    ----------
    app : sphinx.application.Sphinx
        The application that builds the book.
    """
    app.add_directive("launchers", Launchers)
    app.connect("build-finished", _copy_exercises)
