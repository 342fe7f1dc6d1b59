"""The site shell: theme, native mathematics, page metadata, links to run and download a notebook.

Sphinx and its extensions bring styles and scripts that the theme ``sand`` does without; pages load one style sheet
and one deferred script of ours, and the search page also what Sphinx's own search needs.
"""

import html
import itertools
import json
import re
from pathlib import Path, PurePosixPath

import imagesize
from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

from aistack.book.cards import card_for
from aistack.book.launchers import exercise
from aistack.book.policy import policy
from aistack.book.render import ChartNode
from aistack.charts import dumps
from aistack.data import load
from aistack.launch import notebooks, repository

THEME = Path(__file__).parent / "theme"

# The only inline script: the page's policy (policy.py) lists its hash. Before the first paint it sets the theme and
# asks for the font of mathematics; from disk, browsers refuse that early request, and the style sheet's own comes next.
HEAD_SCRIPT = (
    "var r=document.documentElement,l;"
    'try{r.dataset.theme=localStorage.getItem("theme")}catch(e){}'
    "if(!/^(light|dark)$/.test(r.dataset.theme))"
    'r.dataset.theme=matchMedia("(prefers-color-scheme: dark)").matches?"dark":"light";'
    'if("math"in r.dataset&&location.protocol!="file:"){l=document.createElement("link");'
    'l.rel="preload";l.as="font";l.type="font/woff2";l.crossOrigin="";'
    'l.href=r.dataset.content_root+"_static/math.woff2";document.head.append(l)}'
)

# What Sphinx and MyST-NB would load on every page; the theme replaces it or, for search, loads it where it is used.
UNUSED_ASSETS = re.compile(
    r"(?:^|/)(?:basic|pygments|mystnb\.\w+)\.css$|(?:^|/)(?:documentation_options|doctools|sphinx_highlight)\.js$"
)
UNUSED_FILES = ("basic.css", "pygments.css", "mystnb.*.css", "file.png", "minus.png", "plus.png")

# LaTeX that the converter reads otherwise than TeX does, in the words that it knows. Escaped signs inside \text travel
# as private characters.
LATEX_DIALECT = (
    (r"\\(begin|end)\{equation\*?\}", ""),
    (r"\\(begin|end)\{aligned\}", r"\\\1{split}"),
    (r"\\(begin|end)\{(align|gather|multline)\}", r"\\\1{\2*}"),
    (r"\\operatorname\*?\{[^}]*\}", lambda m: m[0].replace("*", "", 1).replace(r"\,", "")),
    (r"\\text\{[^}]*\}", lambda m: re.sub(r"\\([#$%&_])", lambda sign: chr(0xE000 + ord(sign[1])), m[0])),
)
MATHML_POLISH = (
    (r' xmlns="[^"]*"', ""),
    ("[\ue000-\ue0ff]", lambda m: html.escape(chr(ord(m[0]) - 0xE000))),
    (r"</mn><mrow><mo>&#x0002C;</mo></mrow><mn>", ","),  # 10{,}000 is one number
    (r"<(m[io])>([A-Za-z][a-z]+)</\1>", r'<mo lspace="0.1em" rspace="0.17em">\2</mo>'),  # log x
    (r'rspace="0.17em">(\w+</mo><mo stretchy="false">&#x00028;)', r'rspace="0">\1'),  # log(x)
)

logger = logging.getLogger(__name__)


def mathml(latex, display=False):
    """Convert LaTeX to MathML that browsers draw without a script.

    Parameters
    ----------
    latex : str
        The formula, without dollar signs.
    display : bool
        Set it on its own line.

    Returns
    -------
    str
        A ``<math>`` element.

    Raises
    ------
    ValueError
        If the formula uses a command that the converter does not know.
    """
    for pattern, replacement in LATEX_DIALECT:
        latex = re.sub(pattern, replacement, latex.strip())
    if re.search(r"(?<!\\)(&|\\\\)", latex) and r"\begin" not in latex:
        latex = rf"\begin{{split}}{latex}\end{{split}}"
    markup = convert(latex, display="block" if display else "inline")
    unknown = re.search(r"<m(?:[ion]|text)>[^<]*?(\\.\w*|&(?!#?\w+;))", markup)
    if unknown:
        raise ValueError(f"no MathML for {unknown[1]!r}")
    for pattern, replacement in MATHML_POLISH:
        markup = re.sub(pattern, replacement, markup)
    return markup


def _render_math(translator, node, display):
    try:
        return mathml(node.astext(), display)
    except Exception as error:
        logger.warning("formula %r: %s", node.astext(), error, location=node)
        return f"<code>{html.escape(node.astext())}</code>"


def _visit_inline_math(translator, node):
    translator.body.append(_render_math(translator, node, display=False))
    raise nodes.SkipNode


def _visit_block_math(translator, node):
    translator.body.append(translator.starttag(node, "div", CLASS="math-block"))
    translator.body.append(f'<div class="scroll">{_render_math(translator, node, display=True)}</div>')
    if node["number"]:
        translator.body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def _fold_dropdowns(app, doctree, docname):
    """Turn admonitions of class ``dropdown`` into ``<details>``, which open without a script."""
    for box in list(doctree.findall(nodes.Admonition)):
        if "dropdown" in box["classes"] and isinstance(box.children[0], nodes.title):
            title = html.escape(box.pop(0).astext())
            kind = html.escape(" ".join(box["classes"]), quote=True)
            start = f'<details class="admonition {kind}"><summary class="admonition-title">{title}</summary>'
            parts = [nodes.raw("", start, format="html"), *box.children, nodes.raw("", "</details>", format="html")]
            place = box.parent.index(box)
            box.parent[place : place + 1] = parts


def _lay_out_later(app, doctree, docname):
    """Mark the sections of a page with charts that a phone may lay out after loading: all but the first two.

    A section with a drop-down list stays out: the browser looks for those as soon as it has read the page, to fill
    forms, and then lays out all of them at once.
    """
    if not any(doctree.findall(ChartNode)):
        return
    for chapter in (part for part in doctree.children if isinstance(part, nodes.section)):
        for section in [part for part in chapter.children if isinstance(part, nodes.section)][2:]:
            specs = (chart["payload"].get("spec") or {} for chart in section.findall(ChartNode))
            if not any(control["kind"] == "choice" for spec in specs for control in spec.get("controls", ())):
                section["classes"].append("later")


def _words_left(table):
    """Give the columns of a pandas table that hold words, headings included, the class ``words``; numbers stand right.

    The name of the row headings, to which pandas gives a line of its own, joins the other headings.
    """
    named = r"<tr>\s*<th></th>(.*?)</tr>\s*<tr>\s*(<th>[^<]+</th>)\s*(?:<th></th>\s*)+</tr>"
    table = re.sub(named, r"<tr>\2\1</tr>", table, count=1, flags=re.S)
    rows = [re.findall("<(t[hd])>(.*?)</t[hd]>", row, re.S) for row in re.findall("<tr.*?</tr>", table, re.S)]
    words = set()
    for at, cells in enumerate(zip(*(row for row in rows if "td" in dict(row)), strict=False)):
        filled = [text for _, text in cells if text]
        if cells[0][0] == "th" or 2 * sum(bool(re.search(r"[^\W\d_]{3}", t)) for t in filled) >= len(filled) > 0:
            words.add(at)

    def mended(row):
        at = itertools.count()
        return re.sub("<(t[hd])>", lambda cell: f'<{cell[1]} class="words">' if next(at) in words else cell[0], row[0])

    return re.sub("<tr.*?</tr>", mended, table, flags=re.S)


def _tidy_table(match):
    """Scope the headers of one table, name it if it has no caption, and give it a box to scroll in."""
    table = re.sub(r'(<(?:table|tr|th|td)\b[^>]*?) (?:style="text-align: \w+;"|border="1")', r"\1", match[0])
    table = re.sub(r"<colgroup>.*?</colgroup>\s*", "", table, flags=re.S)
    if 'class="dataframe"' in table:
        table = _words_left(table)
    head, mark, rest = table.partition("</thead>")
    if mark:
        head = re.sub(r"<th([^>]*)></th>", r"<td\1></td>", head)
        head = re.sub(r"<th\b(?![^>]*\bscope=)", '<th scope="col"', head)
        rest = re.sub(r"<th\b(?![^>]*\bscope=)", '<th scope="row"', rest)
        if "<caption" not in head:
            heads = (re.sub("<[^>]+>", "", name).strip() for name in re.findall(r"<th\b[^>]*>(.+?)</th>", head, re.S))
            names = ", ".join(filter(None, heads))
            head = head.replace(">", f'><caption class="hidden">Table of {names}</caption>', 1)
    return f'<div class="scroll">{head}{mark}{rest}</div>'


def _bare_code(match):
    """Code without the marks that no style sheet colours: they are most of a page's elements."""
    return re.sub(r'<span(?: class="(?:n|nn|o|p|w)")?>([^<]*)</span>', r"\1", match[0])


def tidy_body(body):
    """Mend the HTML of a page body: tables, folded cells, inline styles, marks in code that no style sheet colours.

    What holds an explorer or a glossary term gets a class of its own: with ``:has()`` in a style sheet, a browser
    styles the page anew whenever plotly measures a label, a tenth of the time that an explorer takes to draw.

    Parameters
    ----------
    body : str
        HTML as Sphinx and MyST-NB write it.

    Returns
    -------
    str
        The same content, accessible and free of inline styles.
    """
    body = re.sub(r"<style scoped>.*?</style>\s*", "", body, flags=re.S)
    body = re.sub(r"<table\b.*?</table>", _tidy_table, body, flags=re.S)
    body = re.sub(r"<pre>.*?</pre>", _bare_code, body, flags=re.S)
    body = body.replace('<summary aria-label="Toggle hidden content">', "<summary>")
    body = re.sub(r'(<div[^>]*?) role="(?:list|doc-biblioentry)"', r"\1", body)
    body = re.sub(r'(<img\b[^>]*) style="width: ([\d.]+%|\d+)(?:px)?;?"', r'\1 width="\2"', body)
    body = re.sub(r'(<div class="cell_output)( [^"]*">\s*<figure class="chart explorer")', r"\1 explored\2", body)
    body = re.sub(r'(<a class="reference internal)(" [^>]*><span class="xref std std-term")', r"\1 term\2", body)
    return re.sub(r'<p class="(collapsed|expanded) admonition-title">(.*?)</p>', r'<span class="\1">\2</span>', body)


def _image_size(path):
    """Width and height in pixels, of an SVG those of its view box; (0, 0) if the file does not tell."""
    if path.suffix == ".svg":
        box = re.search(r'viewBox="[\d.-]+[ ,]+[\d.-]+[ ,]+([\d.]+)[ ,]+([\d.]+)"', path.read_text(encoding="utf-8"))
        return (round(float(box[1])), round(float(box[2]))) if box else (0, 0)
    return imagesize.get(path)


def _size_images(app, body):
    """Give images their size, so that text below does not jump, and load them when they come near."""
    sources = {name: source for source, name in app.builder.images.items()}

    def sized(match):
        tag, name = match[0], match[1]
        width, height = _image_size(Path(app.srcdir, sources[name])) if name in sources else (0, 0)
        wanted = re.search(r' width="(\d+)"', tag)
        if wanted and width > 0:
            size = f' height="{round(int(wanted[1]) * height / width)}"'
        else:
            size = f' width="{width}" height="{height}"' if width > 0 and " width=" not in tag else ""
        return tag.replace("<img", f'<img loading="lazy"{size}', 1)

    return re.sub(r'<img\b[^>]*\bsrc="[^"]*?_images/([^"]+)"[^>]*>', sized, body)


GLOSSARY, LAUNCH = "reference/glossary", "launch"


def _meanings(app):
    """What each term of the glossary means: anchor -> text."""
    if GLOSSARY not in app.env.found_docs:
        return {}
    tree = app.env.get_doctree(GLOSSARY)
    return {
        anchor: " ".join(item.children[-1].astext().split())
        for item in tree.findall(nodes.definition_list_item)
        for term in item.findall(nodes.term)
        for anchor in term["ids"]
    }


def _explain_terms(app, body):
    """Append the meanings of the terms that a page links to, for book.js to show where they stand."""
    used = dict.fromkeys(re.findall(r'<a class="reference internal term" href="[^"]*#(term-[^"]+)"', body))
    if not used:
        return body
    if not hasattr(app, "term_meanings"):
        app.term_meanings = _meanings(app)
    shown = {anchor: app.term_meanings[anchor] for anchor in used if anchor in app.term_meanings}
    return f'{body}<script type="application/json" id="terms">{dumps(shown)}</script>'


def _settle_config(app, config):
    """Settings that follow from the theme: no index pages, a quiet permalink, the address on GitHub Pages."""
    config.html_use_index = False
    config.html_domain_indices = False
    config.html_permalinks_icon = '<span aria-hidden="true">#</span>'
    name = repository(Path(app.srcdir)).name
    if not config.html_baseurl and name:
        owner, project = name.split("/")
        config.html_baseurl = f"https://{owner}.github.io/{project}/"


def _description(doctree, limit=160):
    """The first paragraph of a page, cut at a word."""
    text = next((" ".join(p.astext().split()) for p in doctree.findall(nodes.paragraph)), "")
    return text if len(text) <= limit else text[:limit].rsplit(" ", 1)[0].rstrip(",;:") + " …"


def _launch_links(app, pagename, path):
    """Links to the places that run the notebook of a page, and to its exercise."""
    root = Path(app.srcdir)
    place = repository(root)
    links = [("Run on Binder", place.binder(path)), ("Open in Colab", place.colab(path))]
    if LAUNCH in app.env.found_docs and exercise(path) in notebooks(root):
        there = app.builder.get_relative_uri(pagename, LAUNCH)
        links += [("Exercise notebook", f"{there}#{PurePosixPath(path).stem}")]
    return [(label, url) for label, url in links if url]


def _layer(page):
    """The layer that a chapter's file name starts with, such as 2 for ``chapters/02-fabrication``; 0 elsewhere."""
    match = re.search(r"(?:^|/)(\d\d)-[\w-]+(?:\.html)?$", page)
    return int(match[1]) if match else 0


def _navigation(toctree, pagename):
    """The sidebar's list: chapters carry their layer number, the open page is marked."""

    def entry(match):
        state, classes, href = match.groups()
        current = ' aria-current="page"' if "current" in classes else ""
        layer = _layer(pagename if href == "#" else href)
        number = f'<span class="number">{layer}</span>' if layer else ""
        kind = f" layer layer-{layer}" if layer else ""
        return f'<li class="toctree-l1{state}{kind}">{number}<a href="{href}"{current}'

    toctree = toctree.replace(' role="heading"', "")
    return re.sub(r'<li class="toctree-l1([^"]*)"><a class="([^"]*)" href="([^"]*?)"', entry, toctree)


def _locator(app, pagename):
    """Where a chapter sits in the stack: its number, and the layers below and above with a link where there is a chapter."""
    at = _layer(pagename)
    if not at:
        return None
    layers = load("layers").set_index("layer")

    def place(number):
        if number not in layers.index:
            return None
        page = f"chapters/{layers.loc[number, 'slug']}"
        there = page in app.env.found_docs
        return {
            "title": layers.loc[number, "title"],
            "link": app.builder.get_relative_uri(pagename, page) if there else None,
        }

    return {"at": at, "layers": list(layers.index), "below": place(at - 1), "above": place(at + 1)}


def _page_context(app, pagename, templatename, context, doctree):
    """Fill in what the templates need and drop the assets that the theme does without."""
    base = "'self'" if pagename == "404" else "'none'"
    context |= {
        "head_script": HEAD_SCRIPT,
        "content_policy": policy(HEAD_SCRIPT, base=base),
        "author": app.config.author,
    }
    for key in ("css_files", "script_files"):
        context[key] = [f for f in context[key] if not UNUSED_ASSETS.search(str(getattr(f, "filename", f)))]
    if "toctree" in context:
        tree = context["toctree"](maxdepth=1, collapse=False, includehidden=True, titles_only=True)
        context["navigation"] = _navigation(tree or "", pagename)
    if doctree is None:
        return
    context |= {"layer": _layer(pagename), "locator": _locator(app, pagename)}
    context["body"] = _explain_terms(app, _size_images(app, tidy_body(context["body"])))
    path = app.env.doc2path(pagename, base=False)
    context["is_notebook"] = path.endswith(".ipynb")
    context["launch_links"] = _launch_links(app, pagename, path) if context["is_notebook"] else []
    context["source_link"] = repository(Path(app.srcdir)).source(path)
    context["metatags"] = re.sub(r'<meta name="viewport"[^>]*>\s*', "", context["metatags"])
    named = re.search(r'<meta content="([^"]*)"[^>]* name="description"', context["metatags"])
    context["description"] = html.unescape(named[1]) if named else _description(doctree)
    context["has_description"] = bool(named)
    at, title = _layer(pagename), html.unescape(re.sub(r"<[^>]+>", "", context["title"]))
    line = load("layers").set_index("layer").question[at] if at else context["description"]
    context["card"] = app.config.html_baseurl + card_for(app, pagename, title, line, at)


def _remove_unused(app, exception):
    """Delete static files that no page loads."""
    if exception is None and app.builder.format == "html":
        for pattern in UNUSED_FILES:
            for path in Path(app.outdir, "_static").glob(pattern):
                path.unlink()


def tidy_index(text):
    """Return Sphinx's search index without words that no page has any more: a build from scratch would not know them."""
    start, end = text.index("(") + 1, text.rindex(")")
    index = json.loads(text[start:end])
    for part in ("terms", "titleterms"):
        index[part] = {word: pages for word, pages in index[part].items() if pages != []}
    return f"{text[:start]}{json.dumps(index, ensure_ascii=False, separators=(',', ':'))}{text[end:]}"


def _settle_index(app, exception):
    path = Path(app.outdir, "searchindex.js")
    if exception is None and app.builder.format == "html" and path.is_file():
        path.write_text(tidy_index(path.read_text(encoding="utf-8")), encoding="utf-8")


def setup_site(app):
    """Register the theme, the MathML renderer and the page metadata.

    Parameters
    ----------
    app : sphinx.application.Sphinx
        The application that builds the book.
    """
    app.add_config_value("comments_config", {}, "html", dict)  # Jupyter Book sets it for an extension left out here
    app.add_html_theme("sand", str(THEME))
    app.add_html_math_renderer("mathml", (_visit_inline_math, None), (_visit_block_math, None))
    app.connect("config-inited", _settle_config)
    app.connect("doctree-resolved", _fold_dropdowns)
    app.connect("doctree-resolved", _lay_out_later)
    app.connect("html-page-context", _page_context, priority=900)
    app.connect("build-finished", _settle_index)
    app.connect("build-finished", _remove_unused, priority=900)
