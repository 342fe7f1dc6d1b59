"""The package: a wheel that carries the data and nothing of the tests, and an import that costs little."""

import json
import os
import statistics
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

import aistack

ROOT = Path(__file__).resolve().parent.parent


def python(code, folder=ROOT, **changes):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("COV_", "PYTHON"))} | changes
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of the present checkout."""
    place = tmp_path_factory.mktemp("wheel")
    build = f"import hatchling.build; print(hatchling.build.build_wheel({str(place)!r}))"
    done = python(build)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(place / done.stdout.split()[-1]) as archive:
        yield archive


def test_wheel_carries_the_data_of_the_checkout(wheel):
    packed = {
        n.removeprefix("aistack/_data/"): wheel.read(n) for n in wheel.namelist() if n.startswith("aistack/_data/")
    }
    assert packed == {p.name: p.read_bytes() for p in (ROOT / "data").iterdir()}


def test_wheel_carries_the_package_and_nothing_else(wheel):
    names = [n for n in wheel.namelist() if not n.startswith("aistack/_data/")]
    inside = [n for n in names if not n.startswith(f"aistack-{aistack.__version__}.dist-info/")]
    assert all(n.startswith("aistack/") for n in inside)
    assert not [n for n in names if "test" in n.lower() or n.endswith((".pyc", ".ipynb", "~"))]
    wanted = {
        p.relative_to(ROOT).as_posix() for p in (ROOT / "aistack").rglob("*") if p.is_file() and p.suffix != ".pyc"
    }
    assert set(inside) == wanted
    assert {"aistack/book/static/explore.js", "aistack/book/theme/layout.html", "aistack/layers/__init__.py"} <= wanted


def test_wheel_carries_the_licences(wheel):
    found = {Path(n).name for n in wheel.namelist() if ".dist-info/licenses/" in n}
    assert found == {"LICENSE", "LICENSE-TEXT"}


def test_wheel_loads_its_own_data(wheel, tmp_path):
    wheel.extractall(tmp_path)
    code = (
        "import json, aistack, aistack.data as d\n"
        "rows, tables = len(aistack.load('nvlink_generations')), len(d.table_names())\n"
        "print(json.dumps([aistack.__file__, str(d.data_dir()), rows, tables]))"
    )
    done = python(code, tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    file, folder, rows, tables = json.loads(done.stdout)
    assert Path(file) == tmp_path / "aistack" / "__init__.py" and Path(folder) == tmp_path / "aistack" / "_data"
    assert rows == len(aistack.load("nvlink_generations")) and tables == len(aistack.data.table_names())


def test_import_loads_nothing_heavy():
    heavy = ["matplotlib", "plotly", "ipywidgets", "pandas", "scipy", "networkx", "IPython"]
    done = python(f"import sys, aistack; print([m for m in {heavy} if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


def test_import_costs_under_a_third_of_a_second_more_than_numpy():
    def seconds(code):
        began = time.perf_counter()
        assert python(code).returncode == 0
        return time.perf_counter() - began

    runs = [(seconds("import numpy"), seconds("import numpy, aistack")) for _ in range(5)]
    assert statistics.median(both - alone for alone, both in runs) < 0.3


def test_public_names_are_there():
    assert set(aistack.__all__) == {"DataError", "__version__", "fact", "load", "number"}
    assert all(hasattr(aistack, name) for name in aistack.__all__)
    assert aistack.__version__.count(".") == 2
