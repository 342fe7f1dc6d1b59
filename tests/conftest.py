"""Fixtures of the browser tests: the built site, a server, a browser, and pages that record what happens in them."""

from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field

import nbformat
import pytest
from browser import launch
from hypothesis import settings
from site_server import SITE, pages, served

from aistack.book import execute

# Of properties: a busy machine is no failure, and no run hangs on what another found.
settings.register_profile("course", deadline=None, database=None)
settings.load_profile("course")

SIZES = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1280, "height": 900}}


@dataclass
class Visit:
    """An open page and what it did: console messages that warn, errors, requests, and those for other hosts."""

    page: object
    console: list = field(default_factory=list)
    errors: list = field(default_factory=list)
    requests: list = field(default_factory=list)
    off_site: list = field(default_factory=list)

    def assert_clean(self):
        """Fail if the page warned, threw, or asked another host for anything."""
        assert not self.off_site, f"requests to other hosts: {self.off_site}"
        assert not self.errors, f"errors in the page: {self.errors}"
        assert not self.console, f"console: {self.console}"


@pytest.fixture(scope="session")
def site():
    """The folder of the built book."""
    if not pages():
        pytest.fail(f"{SITE} has no pages: run make book", pytrace=False)
    return SITE


@pytest.fixture(scope="session")
def address(site):
    """Address of the site on the loopback, with a slash at the end."""
    with served(site) as url:
        yield url


@pytest.fixture(scope="session")
def browser():
    """One Chromium for all tests of this worker."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = launch(playwright)
        yield chromium
        chromium.close()


class Windows:
    """Windows of a browser, lent out and taken back: to open one costs more than to load a page."""

    def __init__(self, browser, address):
        self.browser, self.address, self.free = browser, address, {}

    def _open(self, touch, script):
        context = self.browser.new_context(
            reduced_motion="reduce", java_script_enabled=script, has_touch=touch, accept_downloads=True
        )
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.seen = Visit(page)

        def elsewhere(url):
            return not url.startswith((self.address, "data:", "blob:", "about:"))

        def refuse(route):
            page.seen.off_site.append(route.request.url)
            route.abort()

        def hear(message):
            if message.type in ("error", "warning", "assert"):
                page.seen.console.append(f"{message.type}: {message.text} ({message.location.get('url')})")

        context.route(elsewhere, refuse)
        context.on("console", hear)
        context.on("weberror", lambda error: page.seen.errors.append(str(error.error)))
        context.on("request", lambda request: page.seen.requests.append(request.url))
        page.wire = context.new_cdp_session(page)
        return page

    def lend(self, size, theme, script):
        """Return a window as new: nothing stored, nothing heard, blank."""
        free = self.free.setdefault((size == "phone", script), [])
        page = free.pop() if free else self._open(size == "phone", script)
        page.goto("about:blank")
        page.wire.send("Storage.clearDataForOrigin", {"origin": self.address[:-1], "storageTypes": "all"})
        page.seen = Visit(page)
        page.set_viewport_size(SIZES[size])
        page.emulate_media(color_scheme=theme, reduced_motion="reduce", media="screen")
        return page

    def take_back(self, page, size, script):
        """Keep a window for the next visit."""
        self.free[size == "phone", script].append(page)


@pytest.fixture(scope="session")
def windows(browser, address):
    """The windows that visits share."""
    return Windows(browser, address)


@contextmanager
def visits(windows):
    """Give a function that opens a page of the site; the windows go back at the end."""
    lent = []

    def open_page(path="", size="desktop", theme="light", script=True):
        page = windows.lend(size, theme, script)
        lent.append((page, size, script))
        answer = page.goto(windows.address + path)
        assert answer.ok, f"{path}: HTTP {answer.status}"
        if script:
            page.wait_for_selector(".later", state="detached")  # book.js has every section laid out
        return page.seen

    try:
        yield open_page
    finally:
        for one in lent:
            windows.take_back(*one)


@pytest.fixture
def visit(windows):
    """A function that opens a page of the site: ``visit("chapters/x.html", "phone", "dark")`` gives a Visit."""
    with visits(windows) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def lasting_visit(windows):
    """As `visit`, for pages that several tests of a module look at."""
    with visits(windows) as open_page:
        yield open_page


@pytest.fixture
def ran(monkeypatch):
    """Names of the notebooks that "ran", while a stand-in in this process takes the place of kernels and pool."""
    names = []

    def run(root, path, timeout):
        names.append(path.name)
        place = execute.explorers_file(root, path)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b".")
        return nbformat.read(root / path, as_version=4), 0.5, {"mb": 100.0}

    class Here(Executor):
        def __init__(self, max_workers, initializer):
            assert max_workers >= 1

        def submit(self, function, *arguments):
            job = Future()
            job.set_result(function(*arguments))
            return job

    monkeypatch.setattr(execute, "_run", run)
    monkeypatch.setattr(execute, "ProcessPoolExecutor", Here)
    return names
