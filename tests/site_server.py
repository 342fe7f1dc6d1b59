"""The built site as the tests see it: its pages, and a server on the loopback that does gzip and nothing else."""

import gc
import gzip
import http.server
import re
import threading
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

from bs4 import BeautifulSoup

ROOT = Path(__file__).parent.parent
SITE = ROOT / "_build" / "html"
ZIPPED = {".html", ".css", ".js", ".json", ".svg", ".csv", ".ipynb", ".md", ".txt"}


def pages():
    """Return the site's pages relative to it, sorted; empty before the book is built."""
    return sorted(p.relative_to(SITE).as_posix() for p in SITE.rglob("*.html") if "_static" not in p.parts)


@cache
def soup(page):
    """Return a page as parsed HTML, for reading only: the next caller gets the same."""
    tree = BeautifulSoup((SITE / page).read_text(encoding="utf-8"), "html.parser")
    gc.freeze()  # the trees stay, so the collector need not walk through their millions of parts again and again
    return tree


def pages_with(name):
    """Return the pages that have an element of class `name`; read as text, for to parse every page takes seconds."""
    held = re.compile(rf'<\w[^>]* class="(?:[^"]* )?{name}[ "]')
    return [p for p in pages() if held.search((SITE / p).read_text(encoding="utf-8"))]


@cache
def _base():
    """The path of the site where it is published, which its page for lost addresses counts on; without the last slash."""
    base = soup("404.html").base if (SITE / "404.html").is_file() else None
    return base["href"].rstrip("/") if base else "/"


@cache
def _zipped(path, _changed):
    """The bytes of a file as gzip, made once."""
    return gzip.compress(path.read_bytes(), 6, mtime=0)


class _Files(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".js": "text/javascript"}  # noqa: RUF012

    def do_GET(self):
        path = Path(self.translate_path(self.path.removeprefix(_base())))
        path = path / "index.html" if path.is_dir() else path
        lost = not path.is_file()
        path = Path(self.directory, "404.html") if lost else path
        if not path.is_file():
            return self.send_error(404)
        self.send_response(404 if lost else 200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        zipped = path.suffix in ZIPPED and "gzip" in self.headers.get("Accept-Encoding", "")
        body = _zipped(path, path.stat().st_mtime_ns) if zipped else path.read_bytes()
        if zipped:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class _Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A browser that hangs up early is no error."""


@contextmanager
def served(folder=SITE):
    """Serve `folder` for a while; gives its address with a slash at the end."""
    server = _Quiet(("127.0.0.1", 0), partial(_Files, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
