"""Charts and explorers as HTML: figure, words, sources, table, CSV, and the data that bring them alive."""

import csv
import io
import shutil
from html import escape
from pathlib import Path

from docutils import nodes

from aistack import charts
from aistack.book.execute import picture_folder
from aistack.book.picture import kept_picture

TALL = 430  #: from this height on, in pixels, a figure gets the tall box

__all__ = ["ChartNode", "Mime", "setup_charts"]

ROWS_SHOWN = 100
SOURCES_SHOWN = 3
PUBLISHERS_SHOWN = 6


class ChartNode(nodes.General, nodes.Element):
    """A chart or explorer in the document; ``node["payload"]`` is what :mod:`aistack.charts` emitted."""


class Mime:
    """MyST-NB's renderer plugin for the course's own output type."""

    mime_priority_overrides = (("*", charts.MIME, 1),)

    @staticmethod
    def handle_mime(renderer, data, inline):
        """Return a ChartNode for an output of the course's type, None for any other."""
        if inline or data.mime_type != charts.MIME:
            return None
        return [ChartNode(payload=data.content)]


def _table(table: dict, title: str) -> str:
    head = "".join(
        f'<th scope="col">{escape(c)}{f" <small>({escape(u)})</small>" if u and u != "1" else ""}</th>'
        for c, u in table["columns"]
    )
    rows = "".join(
        "<tr>" + "".join(f"<td>{_cell(v)}</td>" for v in row) + "</tr>" for row in table["rows"][:ROWS_SHOWN]
    )
    caption = f"Data: {escape(title)}"
    return (
        f'<table><caption class="hidden">{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    )


def _cell(value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e15 else f"{value:.4g}"
    return escape(str(value))


def _foot(payload: dict, csv_link: str) -> str:
    table, title = payload["table"], payload["title"]
    count = len(table["rows"])
    more = f"<p>The first {ROWS_SHOWN} of {count} rows; the CSV has them all.</p>" if count > ROWS_SHOWN else ""
    label = "Numbers at this setting" if payload["kind"] == "explorer" else f"Data table ({count} rows)"
    links = [
        f'<a href="{escape(s["locator"])}">{escape(charts.source_text(s))}</a>'
        if s.get("locator")
        else escape(charts.source_text(s))
        for s in payload["sources"]
    ]
    if len(links) <= SOURCES_SHOWN:
        sources = f'<p class="chart-sources">Sources: {"; ".join(links)}.</p>'
    else:
        names = list(dict.fromkeys(s["publisher"] for s in payload["sources"]))
        if len(names) > PUBLISHERS_SHOWN + 1:
            names[PUBLISHERS_SHOWN:] = [f"{len(names) - PUBLISHERS_SHOWN} others"]
        names = ", ".join(names)
        items = "".join(f"<li>{link}</li>" for link in links)
        sources = f'<details class="chart-sources"><summary>{len(links)} sources: {escape(names)}</summary><ul>{items}</ul></details>'
    return (
        f'{sources}<div class="chart-more"><details class="chart-data"><summary>{label}<span class="hidden"> of {escape(title)}</span></summary>{_table(table, title)}{more}</details>'
        f'<a class="chart-csv" href="{escape(csv_link)}" download>CSV<span class="hidden"> of {escape(title)}</span></a></div>'
    )


def _controls(payload: dict) -> str:
    spec = payload["spec"]
    parts = []
    for control, shown in zip(spec["controls"], payload["state"], strict=True):
        name, ident = control["name"], f"{spec['name']}-{control['name']}"
        label = f'<label for="{ident}">{escape(control["label"])}</label>'
        if control["kind"] == "choice":
            options = "".join(
                f'<option value="{i}"{" selected" if i == control["start"] else ""}>{escape(o)}</option>'
                for i, o in enumerate(control["options"])
            )
            parts.append(f'<div class="control">{label}<select id="{ident}" name="{name}">{options}</select></div>')
        else:
            parts.append(
                f'<div class="control">{label}<output for="{ident}">{escape(shown)}</output><input type="range" id="{ident}" name="{name}" '
                f'min="0" max="{control["count"]}" step="1" value="{control["start"]}" aria-valuetext="{escape(shown)}"></div>'
            )
    return (
        f'<form class="explorer-controls" aria-label="Controls of {escape(payload["title"])}" autocomplete="off">{"".join(parts)}'
        f'<p class="control-ends"><button type="button" class="explorer-reset">Reset</button> <a class="explorer-link" href="#explorer-{spec["name"]}">Link to this setting</a></p></form>'
    )


def chart_html(payload: dict, csv_link: str, pictures: Path) -> str:
    """Return one chart or explorer as HTML.

    Parameters
    ----------
    payload : dict
        What :meth:`aistack.charts.Chart.payload` or :meth:`aistack.explore.Explorer.payload` gave.
    csv_link : str
        Address of the CSV file, relative to the page.
    pictures : Path
        Folder that keeps the static pictures.
    """
    title, name = escape(payload["title"]), payload["name"]
    figure, kind, live = payload.get("figure"), " chart-drawn" if payload.get("svg") else "", ""
    drawn = payload.get("svg") or kept_picture(pictures, figure)
    if figure:
        layout = dict(figure["layout"])
        # the page sets the height, so that the plot stays in its box
        kind += " chart-tall" if layout.pop("height", 0) > TALL else ""
        live = (
            f'<script type="application/json" class="chart-figure">{charts.dumps(figure | {"layout": layout})}</script>'
        )
    plot = f'<div class="chart-plot{kind}">{drawn}</div>'
    if payload["kind"] == "explorer":
        spec = charts.dumps(payload["spec"])
        return (
            f'<figure class="chart explorer" id="explorer-{name}"><figcaption><span class="explorer-mark">Explorer</span> {title}</figcaption>'
            f'<p class="explorer-question">{escape(payload["question"])}</p>{_controls(payload)}'
            f'<p class="explorer-says">{escape(payload["says"])}</p><p class="explorer-spoken hidden" role="status"></p>{plot}'
            f'{_foot(payload, csv_link)}{live}<script type="application/json" class="chart-spec">{spec}</script></figure>'
        )
    return (
        f'<figure class="chart" id="chart-{name}"><figcaption>{title}</figcaption>{plot}'
        f'<p class="chart-summary">{escape(payload["summary"])}</p>{_foot(payload, csv_link)}{live}</figure>'
    )


def csv_text(payload: dict) -> str:
    """Return the data of a chart, or the traces of an explorer's default state, as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if payload["kind"] == "chart":
        writer.writerow([c for c, _ in payload["table"]["columns"]])
        writer.writerows(payload["table"]["rows"])
        return out.getvalue()
    writer.writerow(["trace", "x", "y", "z"])
    for at, trace in enumerate(payload["figure"]["data"]):
        label = trace.get("name") or f"trace {at + 1}"
        if "z" in trace:
            ys, xs = trace.get("y") or range(len(trace["z"])), trace.get("x") or range(len(trace["z"][0]))
            writer.writerows(
                [label, x, y, z]
                for y, row in zip(ys, trace["z"], strict=True)
                for x, z in zip(xs, row, strict=True)
                if z is not None
            )
        else:
            writer.writerows(
                [label, x, y, None] for x, y in zip(trace.get("x") or [], trace.get("y") or [], strict=True)
            )
    return out.getvalue()


def _visit(translator, node):
    payload, page = node["payload"], translator.builder.current_docname
    path = Path(translator.builder.outdir, "_csv", page.replace("/", "-"), f"{payload['name']}.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(csv_text(payload), encoding="utf-8")
    up = "../" * page.count("/")
    pictures = picture_folder(Path(translator.builder.srcdir))
    translator.body.append(chart_html(payload, f"{up}_csv/{path.parent.name}/{path.name}", pictures))
    raise nodes.SkipNode


def _forget_tables(app, env, docname):
    """Drop the CSV files of a page that is read anew: a chart may have gone."""
    shutil.rmtree(Path(app.outdir, "_csv", docname.replace("/", "-")), ignore_errors=True)


def _visit_text(translator, node):
    translator.add_text(f"{node['payload']['title']}. {node['payload'].get('summary') or node['payload']['says']}")
    raise nodes.SkipNode


def _add_assets(app, pagename, templatename, context, doctree):
    """Bring charts' style and script to the pages that have charts."""
    if doctree is not None and next(doctree.findall(ChartNode), None) is not None:
        app.add_css_file("charts.css")
        app.add_js_file("explore.js", loading_method="defer")


def setup_charts(app) -> None:
    """Register the chart node and its assets.

    Parameters
    ----------
    app : sphinx.application.Sphinx
        The application that builds the book.
    """
    app.connect("env-purge-doc", _forget_tables)
    app.add_node(ChartNode, html=(_visit, None), text=(_visit_text, None))
    app.config.html_static_path.append(str(Path(__file__).parent / "static"))
    app.connect("html-page-context", _add_assets)
