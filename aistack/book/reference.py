"""The pages of the reference shelf: timeline, careers, players, data catalogue, claims ledger, status.

Everything on them is made from ``data/`` and from what was measured while the notebooks ran. The lists are whole without a
script; ``shelf.js`` adds the filters.
"""

import json
import platform
import shutil
from datetime import UTC, date, datetime
from html import escape
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import plotly.graph_objects as go
from docutils import nodes
from pybtex.plugin import register_plugin
from pybtex.style.formatting.alpha import Style
from pybtex.style.template import optional, sentence, words
from sphinx.util.docutils import SphinxDirective

from aistack import charts, data, shelf
from aistack.book.build import stamp
from aistack.book.execute import measured, notebooks
from aistack.book.render import ChartNode
from aistack.claims import claims

__all__ = ["setup_reference"]

PREVIEW = 5  # rows of a table that the catalogue shows
VERDICTS = {
    "holds": (2, ""), "approximate": (5, "/"), "misleading": (3, "x"), "conflicts": (6, "\\"), "unconfirmed": (7, "."),
}  # fmt: skip


def _titles() -> dict[int, str]:
    return dict(data.load("layers")[["layer", "title"]].itertuples(index=False))


def _source(source_id: str, locator: str = "") -> str:
    source = data.sources([source_id])[0]
    name = escape(source["publisher"]) + (f", {escape(locator)}" if locator and source_id == "survey" else "")
    return f'<a href="{escape(source["locator"])}">{name}</a>' if source["locator"] else name


def _tag(layer: int) -> str:
    """The number of a layer in its colour; the name is for those who do not see it."""
    return f'<span class="tag layer-{layer}" title="{escape(_titles()[layer])}"><span class="hidden">Layer </span>{layer}</span>'


def _filters(target: str, controls: str) -> str:
    """A form that the style sheet hides where no script can answer it."""
    return (
        f'<form class="filters" data-for="{target}" aria-label="Filter the list" autocomplete="off">{controls}'
        f'<p><button type="reset">Show all</button> <output role="status"></output></p></form>'
    )


def _pick(name: str, label: str, options: dict[str, str], test: str = "has") -> str:
    listed = "".join(f'<option value="{escape(v)}">{escape(t)}</option>' for v, t in options.items())
    return f'<label>{label} <select name="{name}" data-test="{test}"><option value="">all</option>{listed}</select></label>'


def _pick_layer(present) -> str:
    titles = _titles()
    return _pick("layers", "Layer", {str(n): f"{n} {titles[n]}" for n in sorted(set(present))})


def _type(name: str, label: str, kind: str, test: str, **more) -> str:
    rest = "".join(f' {k}="{v}"' for k, v in more.items())
    return f'<label>{label} <input type="{kind}" name="{name}" data-test="{test}"{rest}></label>'


def _raw(html: str) -> list[nodes.Node]:
    return [nodes.raw("", html, format="html")]


class Timeline(SphinxDirective):
    """``{timeline}``: every dated event of all layers."""

    def run(self):
        """Return the filters and the list."""
        events = shelf.events()
        years = {"min": events[0].year, "max": events[-1].year}
        form = _filters(
            "list-timeline",
            _pick_layer(e.layer for e in events)
            + _type("year", "From", "number", "from", **years)
            + _type("year", "to", "number", "to", **years)
            + _pick("disputed", "Dates", {"yes": "disputed only"}),
        )
        items, last = [], None
        for e in events:
            span = str(e.year) + (f" to {e.until}" if e.until else "")
            who = f" <span class=muted>{escape(e.who)}.</span>" if e.who else ""
            doubt = f'<p class="doubt"><strong>Disputed date.</strong> {escape(e.disputed)}</p>' if e.disputed else ""
            year = f'<h2 class="year">{e.year}</h2>' if e.year != last else ""
            last = e.year
            items.append(
                f'<li data-layers="{e.layer}" data-year="{e.year}" data-disputed="{"yes" if e.disputed else "no"}">{year}'
                f"<p>{_tag(e.layer)} <strong>{escape(e.what)}</strong> ({span}).{who} {escape(e.impact)} "
                f'<span class="from">{_source(e.source_id, e.locator)}</span></p>{doubt}</li>'
            )
        return _raw(f'{form}<ol class="shelf timeline" id="list-timeline">{"".join(items)}</ol>')


class Careers(SphinxDirective):
    """``{careers}``: the jobs of all layers."""

    def run(self):
        """Return the filters and the list."""
        roles = shelf.roles()
        form = _filters(
            "list-careers", _pick_layer(r.layer for r in roles) + _type("text", "Words", "search", "words") + _pick("pay", "Pay", {"yes": "given"})
        )  # fmt: skip
        items = []
        for r in roles:
            pay = f' <span class="pay">${r.pay_usd[0]:,.0f} to ${r.pay_usd[1]:,.0f} a year.</span>' if r.pay_usd else ""
            items.append(
                f'<li data-layers="{r.layer}" data-pay="{"yes" if r.pay_usd else "no"}"><p>{_tag(r.layer)} <strong>{escape(r.role)}.</strong> '
                f'{escape(r.work)}{pay} <span class="from">{_source(r.source_id)}</span></p></li>'
            )
        return _raw(f'{form}<ul class="shelf" id="list-careers">{"".join(items)}</ul>')


class Players(SphinxDirective):
    """``{players}``: organisations and the layers they work in."""

    def run(self):
        """Return the filters and the list."""
        found = shelf.players()
        titles = _titles()
        spans = {str(n): f"{n} or more" for n in range(2, max(len(p.layers) for p in found) + 1)}
        form = _filters(
            "list-players",
            _pick_layer(n for p in found for n in p.layers)
            + _pick("spans", "Layers", spans, "from")
            + _type("text", "Words", "search", "words"),
        )
        items = []
        for p in found:
            strata = "".join(f'<span class="layer-{n}{" here" if n in p.layers else ""}"></span>' for n in titles)
            does = "".join(f"<li>{_tag(layer)} {escape(what)}</li>" for layer, what in p.does)
            many = f"{len(p.layers)} layers" if len(p.layers) > 1 else "1 layer"
            items.append(
                f'<li data-layers="{" ".join(map(str, p.layers))}" data-spans="{len(p.layers)}"><p><strong>{escape(p.name)}</strong> '
                f'<span class="strata" aria-hidden="true">{strata}</span> <span class="muted">{many}</span></p><ul>{does}</ul></li>'
            )
        return _raw(f'{form}<ul class="shelf" id="list-players">{"".join(items)}</ul>')


def _cell(value) -> str:
    if pd.isna(value):
        return ""
    return escape(f"{value:g}" if isinstance(value, float) else str(value))


def _table(head: list[str], rows, name: str) -> str:
    top = "".join(f'<th scope="col">{escape(h)}</th>' for h in head)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(v)}</td>' for v in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><caption>{escape(name)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _entry(resource: dict, old: set[str], licence: str, up: str) -> str:
    """One table of the catalogue."""
    name, frame = resource["name"], data.load(resource["name"])
    fields = [(f["name"], f.get("unit", ""), f["type"], f["description"]) for f in resource["schema"]["fields"]]
    sources = [s for s in frame.attrs["sources"]]
    dates = sorted(str(d) for d in frame["as_of"].dropna()) if "as_of" in frame else []
    span = f", as of {dates[0]}{f' to {dates[-1]}' if dates[-1] != dates[0] else ''}" if dates else ""
    aged = [s for s in sources if s in old]
    review = f' <strong class="doubt">{len(aged)} of its sources are due for review.</strong>' if aged else ""
    notes = {
        s["source_id"]: f' <span class="muted">{escape(s["note"])}</span>' for s in data.sources(sources) if s["note"]
    }
    listed = "".join(f"<li>{_source(s)}{notes.get(s, '')}</li>" for s in sources)
    cited = (
        f"<details><summary>{'1 source' if len(sources) == 1 else f'{len(sources)} sources'}</summary><ul>{listed}</ul></details>"
        if sources
        else ""
    )
    layer = resource.get("layer") or 0
    return (
        f'<li id="table-{name}" data-layers="{layer}" data-due="{"yes" if aged else "no"}"><h2>{_tag(layer) if layer else ""} {escape(resource["title"])}</h2>'
        f'<p>{escape(resource["description"])} <span class="muted">{len(frame)} rows{escape(span)}; {escape(licence)}.</span>{review}</p>'
        f'<p><a href="{up}_data/{resource["path"]}" download>{resource["path"]}</a> · <code>load("{name}")</code></p>'
        f"<details><summary>What the columns mean</summary>{_table(['column', 'unit', 'type', 'meaning'], fields, f'Columns of {name}')}</details>"
        f"<details><summary>First rows</summary>{_table([f[0] for f in fields], frame.head(PREVIEW).itertuples(index=False), f'First rows of {name}')}</details>{cited}</li>"
    )


class Catalogue(SphinxDirective):
    """``{catalogue}``: every table with its columns, first rows, sources and file."""

    def run(self):
        """Return the filters and the list."""
        package, up = data.package(), "../" * self.env.docname.count("/")
        old = {s["source_id"] for s in shelf.due(_committed(Path(self.env.srcdir)))}
        licence = package["licenses"][0]["title"]
        layers = [r.get("layer") or 0 for r in package["resources"]]
        form = _filters(
            "list-catalogue",
            _pick_layer(n for n in layers if n) + _type("text", "Words", "search", "words") + _pick("due", "Review", {"yes": "due"}),
        )  # fmt: skip
        items = "".join(_entry(r, old, licence, up) for r in package["resources"])
        return _raw(f'{form}<ul class="shelf catalogue" id="list-catalogue">{items}</ul>')


class Claims(SphinxDirective):
    """``{ledger}``: every claim with its sum, verdict and evidence, a section a layer."""

    def run(self):
        """Return the filters, the count and the sections."""
        every = claims()
        titles = _titles()
        repository = self.config.html_theme_options.get("repository_url", "").rstrip("/")
        domain = self.env.get_domain("std")
        form = _filters(
            "ledger",
            _pick_layer(c.layer for c in every)
            + _pick("verdict", "Verdict", {v: v for v in VERDICTS if any(c.verdict == v for c in every)})
            + _type("text", "Words", "search", "words"),
        )
        out = _raw(form)
        group = nodes.container(ids=["ledger"])
        for layer in sorted({c.layer for c in every}):
            part = nodes.section(ids=[f"layer-{layer}"], names=[f"layer {layer}"])
            part += nodes.title("", f"Layer {layer}: {titles[layer]}")
            mine = [c for c in every if c.layer == layer]
            part += nodes.paragraph("", f"{len(mine)} claims.")
            for one in mine:
                report = f"{repository}/issues/new?title={quote(f'Claim {one.claim_id}')}&body={quote(one.paraphrase)}"
                end = (
                    f'<p class="claim-head"><a href="{escape(report)}">Report this number</a></p>'
                    if "://" in repository
                    else ""
                )
                part += nodes.raw("", one.ledger_html(end), format="html")
                domain.note_object("claim", one.paraphrase, one.claim_id, location=self.get_location())
            group += part
        last = nodes.section(ids=["verdicts"], names=["verdicts"])
        last += [nodes.title("", "Verdicts by layer"), _verdict_chart(every)]
        return [*out, *group.children, last]


def _verdict_chart(every) -> nodes.Node:
    """The verdicts of each layer, as a chart of the page."""
    count = pd.DataFrame([(c.layer, c.verdict) for c in every], columns=["layer", "verdict"])
    table = count.value_counts().rename("claims").reset_index().sort_values(["layer", "verdict"])
    bars = [
        go.Bar(
            name=verdict, x=[str(n) for n in part.layer], y=part.claims.to_list(),
            marker={"color": charts.PALETTE[colour], "pattern": {"shape": shape}},
        )
        for verdict, (colour, shape) in VERDICTS.items() if len(part := table[table.verdict == verdict])
    ]  # fmt: skip
    total = count.verdict.value_counts()
    words = ", ".join(f"{total[v]} {v}" for v in VERDICTS if v in total)
    layers = [str(n) for n in sorted(count.layer.unique())]
    drawn = charts.chart(
        go.Figure(bars, charts.layout(charts.axis("Layer", type="category", categoryorder="array", categoryarray=layers), "Claims", barmode="stack")),
        name="verdicts", title="Verdicts by layer", data=table, sources=["this-course"],
        summary=f"Of {len(count)} claims checked in {len(layers)} layers, the verdicts are: {words}.",
    )  # fmt: skip
    return ChartNode(payload=drawn.payload())


class Status(SphinxDirective):
    """``{status}``: what this build is made of, what its notebooks took where they were measured, and what ``make bench`` measured."""

    def run(self):
        """Return the three tables."""
        root = Path(self.env.srcdir)
        record, today = measured(root), _committed(root)
        package = data.package()["resources"]
        rows = sum(len(data.load(r["name"])) for r in package)
        facts = [
            ("Version of the course", version("aistack")), ("State of", today.isoformat()), ("Python", platform.python_version()),
            *((name, version(name)) for name in ("jupyter-book", "numpy", "pandas", "plotly")),
            ("Tables", f"{len(package)}, {rows:,} rows"), ("Sources", f"{len(data.sources())}"), ("Claims checked", f"{len(claims())}"),
            ("Sources due for review", f"{len(shelf.due(today))}"),
        ]  # fmt: skip
        runs = [(path.as_posix(), record["notebooks"].get(path.as_posix())) for path in notebooks(root)]
        times = [
            (path, *((f"{run['processor_s']:.1f}", run["peak_mb"]) if run else ("not measured", "")))
            for path, run in sorted(runs)
        ]
        where = f"Notebooks, as measured on {record['machine']}, {record['date']}"
        return _raw(
            _table(["what", "which"], facts, "This build") + _table(["notebook", "processor time (s)", "peak memory (MB)"], times, where)
            + self.bench(root / "reference" / "bench.json")
        )  # fmt: skip

    def bench(self, path):
        """Return the table of what ``make bench`` kept."""
        if not path.exists():
            return ""
        self.env.note_dependency(str(path))
        kept = json.loads(path.read_text(encoding="utf-8"))
        rows = [(what, value, bar, when) for what, (value, bar, when) in kept["figures"].items()]
        told = "<p>What <code>make bench</code> kept when it last measured. A bar is what we ask of ourselves; where none stands we only watch.</p>"
        return told + _table(["what", "measured", "bar", "on"], rows, f"The book, as measured ({kept['machine']})")


def _committed(root: Path) -> date:
    """The date of the commit that is built, so that the same commit gives the same page."""
    return datetime.fromtimestamp(stamp(root), UTC).date()


def _add_assets(app, pagename, templatename, context, doctree):
    if doctree is not None and any('class="filters"' in raw.astext() for raw in doctree.findall(nodes.raw)):
        app.add_js_file("shelf.js", loading_method="defer")


def _copy_data(app, exception):
    """Put the tables beside the pages that offer them."""
    if exception is None and app.builder.format == "html":
        place = Path(app.outdir, "_data")
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(data.data_dir(), place)


class Checked(Style):
    """The usual style of references, each of which ends with what was seen of the work."""

    def format_web_refs(self, e):
        """Return the addresses, and whether the work was opened or only found listed, and when."""
        addresses = sentence[
            optional[self.format_url(e)], optional[self.format_eprint(e)], optional[self.format_doi(e)]
        ]
        state, _, day = e.fields["checked"].partition(" ")
        seen = {
            "opened": f"Opened {e.fields.get('urldate')}",
            "listed": f"Not opened, found listed {day}",
            "not": "Not opened",
        }
        return words[addresses, sentence[seen[state]]]


def setup_reference(app) -> None:
    """Register the directives of the reference shelf.

    Parameters
    ----------
    app : sphinx.application.Sphinx
        The application that builds the book.
    """
    app.add_object_type("claim", "claim", objname="claim")
    register_plugin("pybtex.style.formatting", "checked", Checked)
    for name, directive in (("timeline", Timeline), ("careers", Careers), ("players", Players), ("catalogue", Catalogue),
                            ("ledger", Claims), ("status", Status)):  # fmt: skip
        app.add_directive(name, directive)
    app.connect("html-page-context", _add_assets)
    app.connect("build-finished", _copy_data)
