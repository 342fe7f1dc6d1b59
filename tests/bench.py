"""Measure the book: explorers, pages, Lighthouse, import, grading, builds, tests.

``python tests/bench.py`` prints Markdown tables; ``--write`` also keeps the worst of each in ``reference/bench.json``,
which the book shows on its page of the build.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path, PurePosixPath

import bench_grading
from browser import find_browser, launch
from playwright.sync_api import sync_playwright
from site_server import ROOT, pages, pages_with, served

MOVES = 60

MOVE = """async ([id, moves]) => {
  const root = document.getElementById(id), inputs = [...root.querySelectorAll(".control input, .control select")];
  const times = [];
  for (let i = 0; i <= moves; i++) {
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 5)));
    const input = inputs[i % inputs.length], stops = input.options ? input.options.length : +input.max + 1;
    const next = (+input.value + 1 + Math.floor(((i * 37) % 100) / 100 * (stops - 1))) % stops;
    input.value = next;
    const done = new Promise((drawn) =>
      root.addEventListener("explored", () => drawn(performance.now()), { once: true }));
    const began = performance.now();
    input.dispatchEvent(new Event("input", { bubbles: true }));
    times.push((await done) - began);
  }
  return times.slice(1);  // the first one warms up
}"""

LISTEN = """(id) => {
  const root = document.getElementById(id);
  window.keyTimes = [];
  let began = null;
  root.addEventListener("keydown", (event) => (began = event.timeStamp), true);
  root.addEventListener("explored", () => {
    if (began !== null) keyTimes.push(performance.now() - began);
    began = null;
  });
  return [...root.querySelectorAll(".control input, .control select")].map((e) => "#" + e.id);
}"""

REST = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 5))))"

ALIVE = """async () => {
  for (const box of document.querySelectorAll(".chart-plot")) {
    if (!box.closest(".chart").querySelector("script.chart-figure")) continue;
    box.scrollIntoView({ block: "center" });
    for (let i = 0; i < 400 && !box.matches(".is-live"); i++) await new Promise((done) => setTimeout(done, 25));
  }
}"""


SHIFTS = """() => {
  window.shifted = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
  }).observe({ type: "layout-shift", buffered: true });
}"""


def table(title, head, rows):
    """Print a Markdown table under a title and return its rows."""
    print(f"## {title}\n\n| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    kept = []
    for row in rows:
        kept.append(row)
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)
    print(flush=True)
    return kept


def worst(rows, at, name=0):
    """The largest of a column, with the row that has it."""
    row = max((r for r in rows if r[at] != ""), key=lambda r: float(r[at]))
    return f"{row[at]} ({PurePosixPath(row[name]).stem})"


def quantiles(times):
    """Median and 95th percentile as text, in the unit given."""
    ordered = sorted(times)
    return [f"{statistics.median(ordered):.1f}", f"{ordered[min(int(len(ordered) * 0.95), len(ordered) - 1)]:.1f}"]


def explorer_rows(browser, address):
    """Milliseconds from the input event (or the key) to the drawn plot, for every explorer."""
    for path in pages_with("explorer"):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address + path)
        page.evaluate(ALIVE)
        for ident in page.eval_on_selector_all(".explorer", "all => all.map((e) => e.id)"):
            page.eval_on_selector(f"#{ident} .chart-plot", "e => e.scrollIntoView({ block: 'center' })")
            page.evaluate(MOVE, [ident, 10])
            moved = page.evaluate(MOVE, [ident, MOVES])
            controls = page.evaluate(LISTEN, ident)
            for at in range(MOVES):
                page.focus(controls[at % len(controls)])
                page.keyboard.press("Arrow" + ("Right", "Left")[at // len(controls) % 2])
                page.evaluate(REST)
            keyed = page.evaluate("keyTimes")
            yield [path, ident, *quantiles(moved), *(quantiles(keyed) if keyed else ["", ""]), len(moved), len(keyed)]
        page.close()


def page_rows(browser, address):
    """Bytes over the wire (gzip) and requests of every page on a phone: as it opens, and with all charts alive."""
    for path in pages():
        context = browser.new_context(viewport={"width": 390, "height": 844})
        page = context.new_page()
        wire, sizes = context.new_cdp_session(page), []
        wire.send("Network.enable")
        wire.on("Network.loadingFinished", lambda event, sizes=sizes: sizes.append(event["encodedDataLength"]))
        page.add_init_script(f"({SHIFTS})()")
        page.goto(address + path, wait_until="networkidle")
        first = [f"{sum(sizes) / 1000:.0f}", len(sizes)]
        page.evaluate(ALIVE)
        page.wait_for_load_state("networkidle")
        charts = page.locator(".chart").count()
        yield [path, *first, f"{sum(sizes) / 1000:.0f}", len(sizes), charts, f"{page.evaluate('shifted'):.3f}"]
        context.close()


def lighthouse_rows(address, repeats):
    """Lighthouse's four scores of every page as a phone sees it, each the median of `repeats` runs."""
    flags = "--headless=new --no-sandbox --disable-gpu --disable-background-networking"
    for path in pages():
        runs = []
        for _ in range(repeats):
            command = [
                "npx",
                "--yes",
                "lighthouse@13",
                address + path,
                "--quiet",
                f"--chrome-flags={flags}",
                "--output=json",
            ]
            done = subprocess.run(
                command, capture_output=True, env=os.environ | {"CHROME_PATH": str(find_browser())}, check=True
            )
            report = json.loads(done.stdout)
            shift = report["audits"]["cumulative-layout-shift"]["numericValue"]
            names = ("performance", "accessibility", "best-practices", "seo")
            runs.append([*(report["categories"][name]["score"] for name in names), shift])
        yield [
            path,
            *(
                f"{statistics.median(column):.{digits}f}"
                for column, digits in zip(zip(*runs, strict=True), (2, 2, 2, 2, 3), strict=True)
            ),
        ]


def timed(command, folder):
    """Wall and processor seconds, as text, of a command that must succeed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=os.environ | {"PYTHONPATH": str(folder)})
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [f"{wall:.0f}", f"{used:.0f}"]


def build_rows():
    """Seconds of builds of a copy: cold, with nothing changed, with a chapter's text changed, with its code changed."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "book")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(copy)], check=True)
        command = [sys.executable, "-m", "aistack.book"]
        chapter = copy / "chapters" / "03-accelerators.ipynb"
        yield ["cold", *timed(command, copy)]
        yield ["warm, nothing changed", *timed(command, copy)]
        for what, kind in (("the text of chapter 3 changed", "markdown"), ("the code of chapter 3 changed", "code")):
            notebook = json.loads(chapter.read_text(encoding="utf-8"))
            cell = [c for c in notebook["cells"] if c["cell_type"] == kind][-1]
            cell["source"] = "".join(cell["source"]) + (
                "\n\nOne more sentence." if kind == "markdown" else "\n# changed"
            )
            chapter.write_text(json.dumps(notebook), encoding="utf-8")
            yield [what, *timed(command, copy)]
        ran = next(iter((copy / "_build" / ".executed").glob("*/runs.json")))
        runs = json.loads(ran.read_text(encoding="utf-8"))
        own = runs["chapters/03-accelerators.ipynb"]["seconds"]
        yield ["of that, chapter 3's own run", f"{own:.0f}", ""]
        peak, path = max((run["peak_mb"], path) for path, run in runs.items())
        yield ["peak memory of a notebook (MB)", f"{peak} ({PurePosixPath(path).stem})", ""]


def test_rows():
    """Seconds of ``make test`` with the environment and the book there."""
    yield ["make test", *timed(["make", "test"], ROOT)]


def import_rows():
    """Seconds that a fresh interpreter needs to import, best of seven."""
    best = {}
    for _ in range(7):
        for name in ("numpy", "aistack"):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", f"import {name}"], check=True, cwd=ROOT)
            best[name] = min(best.get(name, 9e9), time.perf_counter() - began)
    numpy, aistack = best["numpy"], best["aistack"]
    yield [f"{numpy:.2f}", f"{aistack:.2f}", f"{aistack - numpy:+.2f}", f"{aistack / numpy:.2f}"]


def main():
    """Print every table that is asked for, and keep the figures that a bar is set for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = ("explorers", "pages", "lighthouse", "import", "grading", "builds", "tests")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="what to measure; all if not said")
    parser.add_argument("--repeats", type=int, default=3, help="runs of Lighthouse a page")
    parser.add_argument("--write", action="store_true", help="keep the figures in reference/bench.json")
    options = parser.parse_args()
    asked = options.only
    if not pages():
        print("there is no built book: run make book", file=sys.stderr)
        return 1
    found = {}
    with served() as address, sync_playwright() as playwright:
        browser = launch(playwright)
        machine = f"Chromium {browser.version}, Python {platform.python_version()}, {os.cpu_count()} cores"
        print(f"{machine}, {platform.platform()}\n")
        if "explorers" in asked:
            head = ["page", "explorer", "input, median", "p95", "key, median", "p95", "inputs", "keys"]
            rows = table(
                "Explorers: milliseconds from the event to the drawn plot", head, explorer_rows(browser, address)
            )
            found["Explorers, the slowest: from input to drawn plot, median (ms)"] = worst(rows, 2, 1), "16"
            found["The same, 95th percentile (ms)"] = worst(rows, 3, 1), "33"
        if "pages" in asked:
            head = ["page", "opened, kB", "requests", "all charts alive, kB", "requests", "charts", "layout shift"]
            rows = table("Pages on a phone: kilobytes over the wire (gzip)", head, page_rows(browser, address))
            notebooks = [r for r in rows if r[0].startswith(("chapters/", "synthesis/"))]
            found["Heaviest notebook page as it opens (kB, compressed)"] = worst(notebooks, 1), "400"
            found["The same with all charts alive (kB)"] = worst(notebooks, 3), "1,600"
            found["Largest layout shift of any page, all charts brought alive"] = worst(rows, 6), "0.02"
        browser.close()
        if "lighthouse" in asked and not shutil.which("npx"):
            print("Lighthouse is not measured: it needs Node.js (npx)\n", file=sys.stderr)
        elif "lighthouse" in asked:
            head = ["page", "performance", "accessibility", "best practices", "search", "layout shift"]
            rows = table(
                f"Lighthouse on a phone, median of {options.repeats}", head, lighthouse_rows(address, options.repeats)
            )
            low = min(rows, key=lambda r: r[1])
            found[f"Lighthouse performance, the lowest of {len(rows)} pages"] = (
                f"{low[1]} ({PurePosixPath(low[0]).stem})",
                "0.95",
            )
            for at, name in enumerate(head[2:5], 2):
                found[f"Lighthouse {name}, the lowest"] = min(r[at] for r in rows), "1.00"
    if "import" in asked:
        rows = table("Import: seconds, best of seven", ["numpy", "aistack", "difference", "ratio"], import_rows())
        found["Import of aistack over numpy alone (s)"] = rows[0][2], ""
    if "grading" in asked:
        rows = table("Grading", bench_grading.HEAD, bench_grading.grading_rows())
        found["Grading, submissions a minute in the sandbox, times plain nbgrader"] = rows[-1][3], ""
    if "builds" in asked:
        rows = table("Builds: seconds", ["build", "wall", "processor"], build_rows())
        bars = {"warm, nothing changed": "10"}
        for what, wall, used in rows:
            name = f"Build, {what} (s)" if used else what[:1].upper() + what[1:]
            found[name] = f"{wall}, {used} of processor" if used else str(wall), bars.get(what, "")
    if "tests" in asked:
        for what, wall, used in table("Tests: seconds", ["tests", "wall", "processor"], test_rows()):
            found[f"Tests, {what} (s)"] = f"{wall}, {used} of processor", ""
    if options.write:
        place = ROOT / "reference" / "bench.json"
        kept = json.loads(place.read_text(encoding="utf-8"))["figures"] if place.exists() else {}
        kept |= {name: [value, bar, date.today().isoformat()] for name, (value, bar) in found.items()}
        place.write_text(json.dumps({"machine": machine, "figures": kept}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
