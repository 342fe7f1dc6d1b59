"""Execution: what makes a notebook run again, in which order, and what happens to one that fails."""

import json
import re
import shutil

import nbformat
import pytest

from aistack.book import execute as running
from aistack.book.execute import cache_folder, execute, executed, notebooks

TOC = """\
format: jb-book
root: index
parts:
  - caption: Layers
    chapters:
      - file: chapters/02-second
      - file: chapters/01-first
        sections:
          - file: chapters/01a-inside
      - file: chapters/text
      - url: https://example.org/
        title: elsewhere
  - caption: Reference
    chapters:
      - file: reference/ledger
"""


@pytest.fixture
def root(tmp_path):
    """The folder of a small book without notebooks."""
    for path, text in {
        "data/wafers.csv": "a,b\n1,2\n",
        "data/datapackage.json": "{}",
        "aistack/data.py": "x = 1\n",
        "aistack/layers/chips.py": "y = 1\n",
        "aistack/book/site.py": "z = 1\n",
        "aistack/book/static/charts.css": "p {}\n",
        "aistack/cli.py": "c = 1\n",
        "aistack/__pycache__/data.cpython-311.pyc": "bytes",
        "requirements.lock": "numpy==2\n",
        "_toc.yml": TOC,
        "index.md": "# Book\n",
        "chapters/text.md": "# Text\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def write(root, name, *sources):
    path = root / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources]), path)


# ---- order --------------------------------------------------------------------------------------------------------


def test_notebooks_come_in_the_order_of_the_contents(root):
    for name in (
        "reference/ledger",
        "chapters/01-first",
        "chapters/01a-inside",
        "chapters/02-second",
        "chapters/unlisted",
    ):
        write(root, name)
    found = [p.as_posix() for p in notebooks(root)]
    assert found == [
        "chapters/02-second.ipynb", "chapters/01-first.ipynb", "chapters/01a-inside.ipynb", "reference/ledger.ipynb",
    ]  # fmt: skip


def test_notebooks_start_with_a_root_that_is_one(root):
    write(root, "index")
    assert [p.as_posix() for p in notebooks(root)] == ["index.ipynb"]


def test_notebooks_of_a_book_without_any_are_none(root):
    assert notebooks(root) == []


# ---- what a run depends on ----------------------------------------------------------------------------------------


def test_cache_folder_stays_for_the_same_content(root, tmp_path_factory):
    copy = tmp_path_factory.mktemp("copy") / "book"
    shutil.copytree(root, copy)
    assert cache_folder(root) == cache_folder(root)
    assert (
        cache_folder(root).parent == root / "_build" / ".executed"
        and cache_folder(copy).name == cache_folder(root).name
    )


@pytest.mark.parametrize(
    "path",
    ["data/wafers.csv", "data/datapackage.json", "aistack/data.py", "aistack/layers/chips.py", "requirements.lock"],
)
def test_cache_folder_changes_with_data_package_and_lock(root, path):
    before = cache_folder(root)
    (root / path).write_text((root / path).read_text() + " ")
    assert cache_folder(root) != before


def test_cache_folder_changes_with_a_new_a_renamed_and_a_lost_file(root):
    seen = [cache_folder(root)]
    (root / "data" / "more.csv").write_text("")
    seen.append(cache_folder(root))
    (root / "data" / "more.csv").rename(root / "data" / "less.csv")
    seen.append(cache_folder(root))
    (root / "data" / "wafers.csv").unlink()
    seen.append(cache_folder(root))
    assert len(set(seen)) == 4


@pytest.mark.parametrize(
    "path",
    [
        "aistack/book/site.py",
        "aistack/book/static/charts.css",
        "aistack/book/new.py",
        "aistack/cli.py",
        "aistack/__pycache__/data.cpython-311.pyc",
        "index.md",
        "chapters/text.md",
        "_toc.yml",
        "tests/test_new.py",
    ],
)
def test_cache_folder_stays_when_the_sites_own_code_changes(root, path):
    before = cache_folder(root)
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_text("changed")
    assert cache_folder(root) == before


# ---- runs ---------------------------------------------------------------------------------------------------------


def texts(notebook):
    return [o.get("text") or o["data"]["text/plain"] for c in notebook.cells for o in c.outputs]


def test_failing_notebook_is_named_and_the_others_are_kept(root, capsys):
    write(
        root,
        "chapters/01-first",
        "import os\nfrom pathlib import Path",
        "print(os.environ['AISTACK_BOOK'], Path.cwd().name)",
    )
    write(root, "chapters/02-second", "1 + 1", "raise ValueError('a wafer broke')")
    write(
        root, "chapters/01a-inside", "class Chart:\n    def _ipython_display_(self):\n        print(1 / 0)", "Chart()"
    )
    write(root, "reference/ledger", "6 * 7")
    with pytest.raises(RuntimeError) as failed:
        execute(root, timeout=60)
    message = re.sub(r"\x1b\[[\d;]*m", "", str(failed.value))
    assert message.startswith("notebooks failed:\n") and "chapters/02-second.ipynb: " in message
    assert "ValueError: a wafer broke" in message
    assert "chapters/01a-inside.ipynb: " in message and "ZeroDivisionError" in message  # raised in a display hook
    assert "01-first" not in message and "ledger" not in message
    assert "chapters/02-second.ipynb: FAILED" in capsys.readouterr().out
    second, first, _, ledger = notebooks(root)
    assert texts(executed(root, first)) == ["1 chapters\n"] and texts(executed(root, ledger)) == ["42"]
    with pytest.raises(KeyError, match=r"chapters/02-second\.ipynb has not been executed with the present data"):
        executed(root, second)
    runs = json.loads((cache_folder(root) / "runs.json").read_text())
    assert set(runs) == {"chapters/01-first.ipynb", "reference/ledger.ipynb"}
    assert all(run["seconds"] > 0 and run["peak_mb"] > 0 for run in runs.values())

    (root / "chapters/01a-inside.ipynb").unlink()
    write(root, "chapters/02-second", "1 + 1")  # mended: it alone runs
    assert execute(root, timeout=60) == 1
    assert texts(executed(root, second)) == ["2"]
    assert execute(root, timeout=60) == 0


def test_execute_runs_what_changed_and_nothing_else(root, ran):
    write(root, "chapters/01-first", "1")
    write(root, "chapters/02-second", "2")
    assert execute(root) == 2 and sorted(ran) == ["01-first.ipynb", "02-second.ipynb"]
    write(root, "chapters/02-second", "3")
    assert execute(root) == 1 and ran[2:] == ["02-second.ipynb"]
    running.explorers_file(root, root / "chapters" / "01-first.ipynb").unlink()  # another lost what the tests read
    assert execute(root) == 1 and ran[3:] == ["01-first.ipynb"]
    (root / "aistack" / "book" / "site.py").write_text("z = 2\n")
    assert execute(root) == 0
    old = cache_folder(root)
    (root / "data" / "wafers.csv").write_text("a,b\n3,4\n")
    assert old.is_dir() and execute(root) == 2
    assert [p.name for p in old.parent.iterdir()] == [cache_folder(root).name] != [old.name]
