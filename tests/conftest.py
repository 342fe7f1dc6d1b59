"""Fixtures of the browser tests: the built site, a server, a browser, and pages that record what happens in them."""

from dataclasses import dataclass, field

import pytest
from browser import launch
from site_server import SITE, pages, served

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


def visitor(browser, address, contexts):
    """Return a function that opens pages of the site, each in a context of its own, which it adds to `contexts`."""

    def open_page(path="", size="desktop", theme="light", script=True):
        context = browser.new_context(
            viewport=SIZES[size], color_scheme=theme, reduced_motion="reduce", java_script_enabled=script,
            has_touch=size == "phone", accept_downloads=True,
        )  # fmt: skip
        contexts.append(context)
        context.set_default_timeout(60_000)
        seen = Visit(context.new_page())

        def elsewhere(url):
            return not url.startswith((address, "data:", "blob:", "about:"))

        def refuse(route):
            seen.off_site.append(route.request.url)
            route.abort()

        def hear(message):
            if message.type in ("error", "warning", "assert"):
                seen.console.append(f"{message.type}: {message.text} ({message.location.get('url')})")

        context.route(elsewhere, refuse)
        context.on("console", hear)
        context.on("weberror", lambda error: seen.errors.append(str(error.error)))
        context.on("request", lambda request: seen.requests.append(request.url))
        answer = seen.page.goto(address + path)
        assert answer.ok, f"{path}: HTTP {answer.status}"
        return seen

    return open_page


@pytest.fixture
def visit(browser, address):
    """A function that opens a page of the site: ``visit("chapters/x.html", "phone", "dark")`` gives a Visit."""
    contexts = []
    yield visitor(browser, address, contexts)
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def lasting_visit(browser, address):
    """As `visit`, for pages that several tests of a module look at."""
    contexts = []
    yield visitor(browser, address, contexts)
    for context in contexts:
        context.close()
