"""The instructor's page: syllabi and objectives, made from the layers and from what the chapters promise."""

import re
from html import escape
from pathlib import Path

import nbformat
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from aistack.data import load

__all__ = ["objectives_of", "setup_teach"]


def objectives_of(path: Path) -> tuple[list[str], str]:
    """Return what a chapter promises, one verb phrase an item, and the minutes that it asks for.

    Parameters
    ----------
    path : Path
        The notebook.

    Raises
    ------
    ValueError
        If the chapter has no list under "At a glance": the message names it.
    """
    cells = (c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown")
    glance = next((text for text in cells if text.startswith("## At a glance")), "")
    items = [item.rstrip(";.") for item in re.findall(r"^- (.+)$", glance, re.M)]
    if not items:
        raise ValueError(f"{path}: no list of objectives under 'At a glance'")
    minutes = re.search(r"[Aa]llow(?: about)? (\d+) minutes", glance)
    return items, minutes[1] if minutes else ""


def _plain(text: str) -> str:
    """Return Markdown of one line as HTML without roles and marks."""
    text = re.sub(r"\{\w+\}`([^`<]*?)\s*(?:<[^`]*>)?`", r"\1", text)
    return escape(re.sub(r"[*`$]", "", text))


def _lines(items) -> str:
    """Return HTML with a paragraph an item, which leaves room between links for a finger."""
    return "".join(f"<p>{item}</p>" for item in items)


class _FromChapters(SphinxDirective):
    def chapters(self):
        """Return (layer, whether its chapter is in the book) from the bottom up."""
        root = Path(self.env.srcdir)
        for layer in load("layers").sort_values("layer").itertuples():
            path = root / "chapters" / f"{layer.slug}.ipynb"
            if path.exists():
                self.env.note_dependency(str(path))
                yield layer, path


class Syllabus(_FromChapters):
    """``{syllabus} 14``: the layers dealt out over as many weeks."""

    required_arguments = 1

    def run(self):
        """Return the table of weeks."""
        weeks, found = int(self.arguments[0]), list(self.chapters())
        each = -(-len(found) // weeks)
        rows = []
        for week in range(weeks):
            part = found[week * each : (week + 1) * each]
            names = _lines(f'<a href="chapters/{x.slug}.html">{x.layer} {escape(x.title)}</a>' for x, _ in part)
            asks = _lines(escape(x.question) for x, _ in part)
            before = found[(week - 1) * each : week * each] if week else []
            due = _lines(f"{x.layer} {escape(x.title)}" for x, _ in before)
            rows.append(f"<tr><td>{week + 1}</td><td>{names}</td><td>{asks}</td><td>{due or 'none'}</td></tr>")
        head = "".join(f'<th scope="col">{h}</th>' for h in ("Week", "Chapter", "Question", "Assignment due"))
        table = f"<table><caption>{weeks} weeks</caption><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        return [nodes.raw("", f'<div class="scroll">{table}</div>', format="html")]


class Objectives(_FromChapters):
    """``{objectives}``: what each chapter promises at its top."""

    def run(self):
        """Return a list for each chapter."""
        parts = []
        for layer, path in self.chapters():
            items, minutes = objectives_of(path)
            listed = "".join(f"<li>{_plain(item)}</li>" for item in items)
            time = f", {minutes} minutes" if minutes else ""
            read = f'<p><a href="chapters/{layer.slug}.html">Read the chapter</a>{time}</p>'
            parts.append(
                f"<details><summary>{layer.layer} {escape(layer.title)}</summary><ul>{listed}</ul>{read}</details>"
            )
        return [nodes.raw("", "".join(parts), format="html")]


def setup_teach(app) -> None:
    """Register the directives of the instructor's page.

    Parameters
    ----------
    app : sphinx.application.Sphinx
        The application that builds the book.
    """
    app.add_directive("syllabus", Syllabus)
    app.add_directive("objectives", Objectives)
