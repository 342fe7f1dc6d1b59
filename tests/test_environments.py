"""Whole environments from scratch, and every chapter in each: Colab's, the lowest versions, Binder's, the classroom bundle's.

These take many minutes: ``make test-environments``. ``make test`` leaves them out.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import launch
from test_launch import PLACE, release, write_copy

from aistack.launch import notebooks

pytestmark = pytest.mark.environments

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = [path for path in notebooks(ROOT) if path.startswith("chapters/")]
UV = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
COLAB = {"numpy": "2.1.3", "pandas": "2.2.3", "plotly": "5.24.1", "ipywidgets": "7.7.1"}  # August 2026, Python 3.13
COLAB_ALSO = [
    "scipy",
    "matplotlib",
    "networkx",
    "jax",
    "numba",
    "scikit-learn",
    "tokenizers",
    "ipykernel<7",
    "nbclient",
]


def clean(**more):
    """The environment variables of a reader who has nothing of the course."""
    ours = ("PYTHON", "AISTACK_", "JUPYTER_", "VIRTUAL_ENV", "PYTEST_")
    return {k: v for k, v in os.environ.items() if not k.startswith(ours)} | {k: str(v) for k, v in more.items()}


def call(*command, cwd=ROOT, **more):
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=clean(**more), capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def environment(place, version, *install):
    """Make an environment with pip in it and install there; give its Python."""
    python = place / "bin" / "python"
    call(UV, "venv", "--quiet", "--seed", "--python", version, place)
    call(UV, "pip", "install", "--quiet", "--python", python, *install)
    return python


def find_python(version):
    """A Python of this version; the present one if uv finds none."""
    found = subprocess.run([UV, "python", "find", "--no-python-downloads", version], capture_output=True, text=True)
    known = [found.stdout.strip()] if found.returncode == 0 else sorted(
        str(p) for p in Path.home().glob(f".pyenv/versions/{version}.*/bin/python")
    )  # fmt: skip
    return known[0] if known and known[0] else sys.executable


def packages(python):
    """How many packages an environment has, and its megabytes on the disk."""
    listed = json.loads(call(UV, "pip", "list", "--python", python, "--format", "json"))
    folder = Path(call(python, "-c", "import sys; print(sys.prefix)").strip())
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    return len(listed), round(size / 1e6)


def run(python, path, before=(), **more):
    """Run a notebook in an environment, move its explorers, check that all came out."""
    told = json.loads(
        call(*before, python, ROOT / "tests/run_alone.py", path, cwd=path.parent, **more).splitlines()[-1]
    )
    print(told)
    # An older library may announce what a newer one does, of which nobody has to take notice.
    assert not told["failed"] and all("FutureWarning" in text for text in told["warnings"])
    assert told["charts"] >= 5 and told["explorers"] >= 2, "charts or explorers are missing"
    assert told["stuck"] == 0 and told["drawn"] == told["explorers"], "an explorer did not answer"
    return told


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A released copy of the course, and what makes git take it for the address that notebooks name."""
    place = write_copy(tmp_path_factory.mktemp("course") / "sand-to-tokens")
    release(place)
    return place, {
        "GIT_CONFIG_COUNT": 1,
        "GIT_CONFIG_KEY_0": f"url.{place.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": PLACE.url,
    }


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    pins = [f"{name}=={version}" for name, version in COLAB.items()]
    return environment(tmp_path_factory.mktemp("colab") / "env", find_python("3.13"), *pins, *COLAB_ALSO)


@pytest.mark.parametrize("path", CHAPTERS)
def test_chapter_alone_runs_on_colab_and_leaves_its_versions(colab, course, tmp_path, path):
    subprocess.run([UV, "pip", "uninstall", "--quiet", "--python", colab, "aistack"], check=True, env=clean())
    shutil.copyfile(course[0] / path, tmp_path / Path(path).name)
    told = run(colab, tmp_path / Path(path).name, **course[1])
    assert told["versions"] == COLAB
    assert "_data" in call(colab, "-c", "import aistack.data as d; print(d.data_dir())", cwd=tmp_path)


@pytest.fixture(scope="module")
def lowest(tmp_path_factory):
    place = tmp_path_factory.mktemp("lowest") / "env"
    return environment(place, "3.11", "--resolution", "lowest-direct", f"aistack[chapters,lab] @ {ROOT.as_uri()}")


@pytest.mark.parametrize("path", CHAPTERS)
def test_chapter_runs_on_the_lowest_versions(lowest, tmp_path, path):
    shutil.copyfile(ROOT / path, tmp_path / Path(path).name)
    run(lowest, tmp_path / Path(path).name)


@pytest.fixture(scope="module")
def binder(tmp_path_factory, course):
    """What Binder makes of the folder ``binder``, in the order in which it does."""
    version = (course[0] / "binder/runtime.txt").read_text().strip().removeprefix("python-")
    place = tmp_path_factory.mktemp("binder") / "env"
    python = environment(place, version, "-r", course[0] / "binder/requirements.txt")
    call("bash", "binder/postBuild", cwd=course[0], PATH=f"{python.parent}:{os.environ['PATH']}")
    return python


def test_binder_is_leaner_than_the_book(binder):
    lean, whole = packages(binder), packages(sys.executable)
    print(f"Binder: {lean[0]} packages, {lean[1]} MB; the whole environment: {whole[0]} packages, {whole[1]} MB")
    assert lean[0] < 0.75 * whole[0] and lean[1] < 0.8 * whole[1]


@pytest.mark.parametrize("path", CHAPTERS)
def test_chapter_runs_on_binder(binder, course, path):
    run(binder, course[0] / path)


@contextmanager
def jupyterlab(python, folder, home):
    """Start JupyterLab of an environment as Binder does; give its address."""
    flags = ["--no-browser", "--allow-root", "--ServerApp.token=", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"]
    log = home / "lab.log"
    with log.open("w") as stream:
        server = subprocess.Popen(
            [python, "-m", "jupyterlab", *flags], cwd=folder, stdout=stream, stderr=stream,
            env=clean(JUPYTER_RUNTIME_DIR=home / "run", JUPYTER_CONFIG_DIR=home / "config", JUPYTER_DATA_DIR=home / "data"),
        )  # fmt: skip
    try:
        for _ in range(120):
            found = re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())
            if found:
                urllib.request.urlopen(found[0] + "api").close()
                break
            time.sleep(0.5)
        else:
            pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")
        yield found[0]
    finally:
        server.terminate()
        server.wait(20)


DRAWN = """() => [...document.querySelectorAll(".widget-output .js-plotly-plot, .jupyter-widgets-output-area .js-plotly-plot")]
  .map((plot) => JSON.stringify(plot.data.map((trace) => [trace.x, trace.y, trace.z, trace.text])) + JSON.stringify(plot.layout.shapes ?? "") + JSON.stringify(plot.layout.annotations ?? ""))"""


def check_in_jupyterlab(python, folder, home, path):
    """Open a chapter in a real browser, run all its cells, move the first slider, see the chart change."""
    from playwright.sync_api import sync_playwright

    with jupyterlab(python, folder, home) as address, sync_playwright() as playwright:
        chromium = launch(playwright)
        page = chromium.new_page(viewport={"width": 1300, "height": 1000})
        page.set_default_timeout(90_000)
        page.goto(f"{address}lab/tree/welcome.ipynb?reset")
        page.get_by_role("link", name="Raw materials").wait_for()
        elsewhere = []
        page.on("request", lambda r: r.url.startswith((address, "data:", "blob:", "ws:")) or elsewhere.append(r.url))
        page.goto(f"{address}lab/tree/{path}?reset")
        page.locator(".jp-Notebook").wait_for()
        page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").first.wait_for(state="attached")
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.locator(".lm-Menu-item[data-command='runmenu:run-all']").click()
        slider = page.locator(".jp-Notebook .noUi-handle").first
        slider.wait_for(state="attached", timeout=180_000)
        slider.scroll_into_view_if_needed()
        page.wait_for_function(f"({DRAWN})().length > 0", timeout=120_000)
        before = page.evaluate(DRAWN)[0]
        slider.focus()
        for _ in range(3):
            slider.press("ArrowRight")
        page.wait_for_function(f"(before) => ({DRAWN})()[0] !== before && ({DRAWN})()[0]", arg=before, timeout=60_000)
        text = page.locator(".jp-Notebook").inner_text()
        assert "{term}" not in text and "{ref}" not in text, "JupyterLab shows the book's marks as they are"
        page.screenshot(path=home / "lab.png")
        print("asked elsewhere:", elsewhere)
        chromium.close()
        return elsewhere


@pytest.mark.browser
def test_binder_opens_a_chapter_in_jupyterlab_and_its_slider_moves_the_chart(binder, course, tmp_path):
    check_in_jupyterlab(binder, course[0], tmp_path, CHAPTERS[1])


@pytest.fixture(scope="module")
def offline():
    """A command prefix without any network but the loopback."""
    command = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("no network namespaces here: unshare -rn fails")
    reach = "import socket; socket.create_connection(('192.0.2.1', 80), 3)"
    assert b"unreachable" in subprocess.run([*command, sys.executable, "-c", reach], capture_output=True).stderr
    return command


@pytest.fixture(scope="module")
def classroom(tmp_path_factory, offline):
    """The bundle, unpacked and installed with the network off."""
    place = tmp_path_factory.mktemp("classroom")
    archive = Path(call(sys.executable, "-m", "aistack.bundle", PYTHONPATH=ROOT).rpartition(": ")[0])
    print(f"{archive.name}: {archive.stat().st_size / 1e6:.0f} MB")
    shutil.unpack_archive(archive, place)
    folder = next(place.iterdir())
    call(*offline, sys.executable, "install.py", cwd=folder)
    return folder


def test_bundle_holds_site_notebooks_data_and_no_link_outside(classroom):
    assert (classroom / "site/index.html").is_file() and (classroom / "data/datapackage.json").is_file()
    held = {p.relative_to(classroom / "notebooks").as_posix() for p in classroom.glob("notebooks/**/*.ipynb")}
    assert held == {"welcome.ipynb", *notebooks(ROOT)}
    size = sum(p.stat().st_size for p in (classroom / "packages").iterdir())
    print(
        f"{len(list((classroom / 'packages').iterdir()))} packages, {size / 1e6:.0f} MB; installed {packages(classroom / 'environment/bin/python')}"
    )


@pytest.mark.parametrize("path", CHAPTERS)
def test_chapter_runs_from_the_bundle_without_network(classroom, offline, path):
    run(classroom / "environment/bin/python", classroom / "notebooks" / path, before=offline)


def test_jupyterlab_of_the_bundle_opens_without_network(classroom, offline, tmp_path):
    ask = (
        "import os, signal, subprocess, sys, time, urllib.request\n"
        "lab = subprocess.Popen([sys.executable, 'lab.py', '--no-browser', '--allow-root', '--ServerApp.token=', '--ServerApp.port=8899'], start_new_session=True)\n"
        "for _ in range(120):\n"
        "    time.sleep(0.5)\n"
        "    try: page = urllib.request.urlopen('http://127.0.0.1:8899/lab/tree/welcome.ipynb').read(); break\n"
        "    except OSError: page = b''\n"
        "os.killpg(lab.pid, signal.SIGTERM)\n"
        "assert b'JupyterLab' in page"
    )
    call(*offline, sys.executable, "-c", ask, cwd=classroom, JUPYTER_RUNTIME_DIR=tmp_path, JUPYTER_CONFIG_DIR=tmp_path)
