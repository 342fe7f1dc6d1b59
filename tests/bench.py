"""Measure the book: explorers, pages, import, grading, build; ``python tests/bench.py`` prints Markdown tables."""

import argparse
import platform
import statistics
import subprocess
import sys
import time

import bench_grading
from browser import launch
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


def table(head, rows):
    """Print a Markdown table."""
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)


def quantiles(times):
    """Median and 95th percentile as text, in the unit given."""
    ordered = sorted(times)
    return [f"{statistics.median(ordered):.1f}", f"{ordered[min(int(len(ordered) * 0.95), len(ordered) - 1)]:.1f}"]


def explorer_rows(browser, address):
    """Milliseconds from the input event (or the key) to the drawn plot, for every explorer."""
    for path in pages_with(".explorer"):
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
        page.goto(address + path, wait_until="networkidle")
        first = [f"{sum(sizes) / 1000:.0f}", len(sizes)]
        page.evaluate(ALIVE)
        page.wait_for_load_state("networkidle")
        charts = page.locator(".chart").count()
        yield [path, *first, f"{sum(sizes) / 1000:.0f}", len(sizes), charts]
        context.close()


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
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-build", action="store_true", help="leave out the time of a build with nothing changed")
    parser.add_argument("--no-grading", action="store_true", help="leave out the grading of 200 submissions")
    options = parser.parse_args()
    if not pages():
        print("there is no built book: run make book", file=sys.stderr)
        return 1
    with served() as address, sync_playwright() as playwright:
        browser = launch(playwright)
        print(f"Chromium {browser.version}, Python {platform.python_version()}, {platform.platform()}\n")
        print("## Explorers: milliseconds from the event to the drawn plot\n")
        head = ["page", "explorer", "input, median", "p95", "key, median", "p95", "inputs", "keys"]
        table(head, explorer_rows(browser, address))
        print("## Pages on a phone: kilobytes over the wire (gzip)\n")
        head = ["page", "opened, kB", "requests", "all charts alive, kB", "requests", "charts"]
        table(head, page_rows(browser, address))
        browser.close()
    print("## Import: seconds, best of seven\n")
    table(["numpy", "aistack", "difference", "ratio"], import_rows())
    if not options.no_grading:
        print("## Grading\n")
        table(bench_grading.HEAD, bench_grading.grading_rows())
    if not options.no_build:
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "aistack.book"], cwd=ROOT, stdout=subprocess.DEVNULL)
        print("## Build with nothing changed\n")
        table(["seconds", "exit status"], [[f"{time.perf_counter() - began:.1f}", done.returncode]])
    return 0


if __name__ == "__main__":
    sys.exit(main())
