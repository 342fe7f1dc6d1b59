"""The front page: fourteen bands, the top of the stack first, each with its one number from the data."""

from html import escape

from docutils import nodes
from docutils.parsers.rst import Directive

from aistack.claims import evaluate
from aistack.data import load, sources

__all__ = ["number_of", "setup_front"]


class StackNode(nodes.General, nodes.Element):
    """The place of the bands; written when it is known which chapters there are."""


class Stack(Directive):
    """``{stack}``: the layers of ``data/layers.csv`` from top to bottom."""

    def run(self):
        """Return the place of the bands."""
        return [StackNode()]


def number_of(layer) -> str:
    """Return the number of one row of ``layers``, as text with its unit; both ends where it is a range.

    Raises
    ------
    DataError
        If the expression of the row fails.
    """
    low, high = evaluate(layer.number)
    text = layer.number_text.format(high)
    if low == high:
        return text
    bare = layer.number_text[layer.number_text.index("{") : layer.number_text.index("}") + 1]
    return layer.number_text.replace(bare, f"{bare.format(low)} to {bare.format(high)}")


def _band(layer, link: str | None) -> str:
    source = sources([layer.number_source_id])[0]
    name = escape(source["publisher"])
    name = f'<a href="{escape(source["locator"])}">{name}</a>' if source["locator"] else name
    title = escape(layer.title)
    title = f'<a href="{escape(link)}">{title}</a>' if link else title
    flows = "".join(
        f"<div><dt>{way}</dt><dd>{escape(what)}</dd></div>"
        for way, what in (("Takes from below", layer.takes), ("Gives above", layer.gives))
    )
    return (
        f'<li class="band layer-{layer.layer}" id="layer-{layer.layer}"><span class="band-at" aria-hidden="true">{layer.layer}</span>'
        f'<div class="band-text"><h3>{title}</h3><p class="band-question">{escape(layer.question)}</p><dl>{flows}</dl></div>'
        f'<div class="band-number"><p><strong>{escape(number_of(layer))}</strong> {escape(layer.number_label)}</p>'
        f'<p class="band-source">{name}, {escape(layer.number_as_of)}</p></div></li>'
    )


def _visit(translator, node):
    builder, page = translator.builder, translator.builder.current_docname
    bands = []
    for layer in load("layers").sort_values("layer", ascending=False).itertuples():
        chapter = f"chapters/{layer.slug}"
        bands.append(
            _band(layer, builder.get_relative_uri(page, chapter) if chapter in builder.env.found_docs else None)
        )
    translator.body.append(f'<ol class="stack" reversed>{"".join(bands)}</ol>')
    raise nodes.SkipNode


def _visit_text(translator, node):
    translator.add_text("\n".join(f"{layer.title}. {layer.question}" for layer in load("layers").itertuples()))
    raise nodes.SkipNode


def setup_front(app) -> None:
    """Register the front page's directive.

    Parameters
    ----------
    app : sphinx.application.Sphinx
        The application that builds the book.
    """
    app.add_node(StackNode, html=(_visit, None), text=(_visit_text, None))
    app.add_directive("stack", Stack)
