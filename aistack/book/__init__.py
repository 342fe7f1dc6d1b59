"""The book's Sphinx extension: everything the static site needs beyond Jupyter Book."""

import hashlib
import json
import os
from pathlib import Path

from aistack.book.cards import setup_cards
from aistack.book.execute import cache_folder, measured
from aistack.book.front import setup_front
from aistack.book.launchers import setup_launchers
from aistack.book.reference import setup_reference
from aistack.book.render import setup_charts
from aistack.book.site import setup_site
from aistack.book.teach import setup_teach


def _share_cache(app, config):
    """Take outputs from the cache that :mod:`aistack.book.execute` fills, whoever starts the build."""
    os.environ["AISTACK_BOOK"] = "1"
    config.nb_execution_cache_path = str(cache_folder(Path(app.srcdir)))
    config.aistack_book += json.dumps(measured(Path(app.srcdir)))  # in the outputs, and on a page


def _own_code() -> str:
    """Return a digest of this extension, its theme and scripts, so that pages are written again when they change."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(path.read_bytes())
    return digest.hexdigest()


def setup(app):
    """Register the book with Sphinx.

    Parameters
    ----------
    app : sphinx.application.Sphinx
        The application that builds the book.

    Returns
    -------
    dict
        Extension metadata: safe to read and write in parallel.
    """
    app.add_config_value("aistack_book", _own_code(), "env", str)
    app.connect("config-inited", _share_cache)
    setup_site(app)
    setup_charts(app)
    setup_cards(app)
    setup_front(app)
    setup_reference(app)
    setup_launchers(app)
    setup_teach(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
