"""One setting names the repository, every notebook can be launched, and a notebook alone fetches what it needs."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import nbformat
import pytest
from nbclient import NotebookClient
from site_server import SITE, soup

from aistack import launch
from aistack.launch import Repository, notebooks, repository, set_repository

ROOT = Path(__file__).resolve().parent.parent
PLACE = repository(ROOT)
NOTEBOOKS = notebooks(ROOT)
CHAPTERS = [path for path in NOTEBOOKS if path.startswith("chapters/")]


def files(folder=ROOT):
    """What git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert listed.returncode == 0, listed.stderr
    return [Path(name) for name in listed.stdout.split("\0") if name and (folder / name).is_file()]


def write_copy(place):
    """Write a copy of the course."""
    for path in files():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, place / path)
    return place


@pytest.fixture
def copy(tmp_path):
    """A copy of the course that a test may change."""
    return write_copy(tmp_path / "course")


def release(folder):
    """Make a git repository of a copy, with the tag that its notebooks fetch."""
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    commands = (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "Release"], ["tag", repository(folder).release])
    for command in commands:
        subprocess.run([*git, *command], cwd=folder, check=True)


def bootstrap(path):
    return [c for c in nbformat.read(path, as_version=4).cells if "bootstrap" in c.metadata.get("tags", [])]


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_notebook_fetches_the_release_of_the_configured_repository(path):
    cells = bootstrap(ROOT / path)
    assert len(cells) == 1, "one cell tagged bootstrap"
    extra = re.search(r"aistack(\[[\w,]+\])? @", cells[0].source)[1] or ""
    assert cells[0].source == PLACE.bootstrap(extra), "run make set-repository"


def test_set_repository_leaves_no_file_that_names_the_old_one(copy):
    old = urlsplit(PLACE.url).path.strip("/")
    owner = old.split("/")[0]
    before = {path for path in files() if old.encode() in (copy / path).read_bytes()}
    assert {p.as_posix() for p in before} == {"_config.yml", "CITATION.cff", *(p for p in before_notebooks(copy, old))}
    set_repository(copy, "https://github.com/other-owner/another-course")
    for path in files():
        text = (copy / path).read_bytes()
        assert old.encode() not in text and f"{owner}.github.io".encode() not in text, path
    assert repository(copy).url == "https://github.com/other-owner/another-course"
    for path in notebooks(copy):
        assert "git+https://github.com/other-owner/another-course@v" in bootstrap(copy / path)[0].source
    set_repository(copy, PLACE.url)
    assert all((copy / path).read_bytes() == (ROOT / path).read_bytes() for path in before)


def before_notebooks(folder, name):
    return (p.relative_to(folder).as_posix() for p in folder.rglob("*.ipynb") if name in p.read_text(encoding="utf-8"))


def test_set_repository_refuses_what_is_no_address_and_changes_nothing(copy):
    for wrong in ("github.com/owner/course", "https://host", "no/such/folder", 'https://host/a"b'):
        with pytest.raises(ValueError, match="neither an address"):
            set_repository(copy, wrong)
    assert repository(copy) == PLACE


def test_a_new_version_reaches_every_notebook(copy):
    project = copy / "pyproject.toml"
    project.write_text(re.sub(r'(?m)^version = ".*"', 'version = "7.8.9"', project.read_text()))
    assert set_repository(copy) == notebooks(copy)
    assert all("@v7.8.9" in bootstrap(copy / path)[0].source for path in notebooks(copy))


def test_an_exercise_is_launched_and_follows_the_repository(copy):
    path = "exercises/release/02-fabrication/02-fabrication.ipynb"
    (copy / path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(copy / "chapters/02-fabrication.ipynb", copy / path)
    assert path in notebooks(copy)
    set_repository(copy, "https://github.com/a/b")
    assert "git+https://github.com/a/b@" in bootstrap(copy / path)[0].source


def test_links_on_each_kind_of_host():
    path = "chapters/02-fabrication.ipynb"
    github = Repository("https://github.com/owner/course", "main", "v1.0.0")
    assert github.colab(path) == f"https://colab.research.google.com/github/owner/course/blob/v1.0.0/{path}"
    binder = urlsplit(github.binder(path))
    assert binder.path == "/v2/gh/owner/course/v1.0.0" and parse_qs(binder.query) == {"urlpath": [f"lab/tree/{path}"]}
    assert github.source(path) == f"https://github.com/owner/course/blob/main/{path}"
    forge = Repository("https://git.example.org/team/course", "main", "v1.0.0")
    assert not forge.colab(path) and not forge.source(path)
    assert unquote(urlsplit(forge.binder(path)).path) == "/v2/git/https://git.example.org/team/course/v1.0.0"
    folder = Repository("/srv/course", "main", "v1.0.0")
    assert (folder.binder(path), folder.colab(path), folder.source(path)) == ("", "", "")
    assert "aistack @ file:///srv/course" in folder.bootstrap()
    assert "aistack[chapters] @ git+https://git.example.org/team/course@v1.0.0" in forge.bootstrap("[chapters]")


def test_hub_link_is_what_nbgitpuller_reads():
    link = urlsplit(
        Repository("https://github.com/o/course", "main", "v1").hub("https://hub.example.edu/", "a/b c.ipynb")
    )
    assert (link.netloc, link.path) == ("hub.example.edu", "/hub/user-redirect/git-pull")
    assert parse_qs(link.query) == {
        "repo": ["https://github.com/o/course"], "branch": ["main"], "urlpath": ["lab/tree/course/a/b c.ipynb"]
    }  # fmt: skip


def test_hub_links_name_the_welcome_and_every_notebook(capsys):
    assert launch.main(["hub-links", "https://hub.example.edu"], ROOT) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [re.match(r"- \[(.+?)\]", line)[1] for line in lines] == ["welcome.ipynb", *NOTEBOOKS]
    assert launch.main(["hub-links"], ROOT) == 1 and "hub.example.edu" in capsys.readouterr().err


@pytest.mark.browser
@pytest.mark.parametrize("path", CHAPTERS)
def test_page_of_a_chapter_launches_and_offers_its_own_notebook(site, path):
    page = path.replace(".ipynb", ".html")
    links = {a.get_text(): a["href"] for a in soup(page).select("nav.sources a")}
    assert links["Run on Binder"] == PLACE.binder(path) and links["Open in Colab"] == PLACE.colab(path)
    offered = json.loads((SITE / page).parent.joinpath(links["Download notebook"]).read_text(encoding="utf-8"))
    assert offered == json.loads((ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.browser
def test_launch_page_offers_every_notebook(site):
    links = [a["href"] for a in soup("launch.html").select("main table a")]
    for path in NOTEBOOKS:
        assert {PLACE.binder(path), PLACE.colab(path), f"_sources/{path}"} <= set(links), path
        assert (SITE / "_sources" / path).read_bytes() == (ROOT / path).read_bytes()


def test_welcome_links_every_chapter():
    named = re.findall(r"\]\((chapters/[^)]+)\)", (ROOT / launch.WELCOME).read_text(encoding="utf-8"))
    assert set(CHAPTERS) <= set(named)


def test_no_file_names_a_package_registry():
    hosts = ("pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "npmjs" + ".com", "anaconda" + ".org")
    for path in files():
        text = (ROOT / path).read_bytes()
        assert not [host for host in hosts if host.encode() in text], path


def test_binder_pins_every_package_and_builds_no_book():
    lines = (ROOT / "binder/requirements.txt").read_text().splitlines()
    assert all(re.match(r"[\w.-]+==[\w.]+( ;.*)?$", line) for line in lines)
    names = {line.split("==")[0] for line in lines}
    assert {"jupyterlab", "ipywidgets", "plotly", "pandas"} <= names
    assert not names & {"jupyter-book", "sphinx", "nbgrader", "distributed", "pytest", "playwright", "hatchling"}
    locked = set((ROOT / "requirements.lock").read_text().splitlines())
    assert set(lines) <= locked, "run make lock"
    assert (ROOT / "binder/runtime.txt").read_text() == "python-3.11\n"


@pytest.mark.parametrize("kind", ["release", "folder"])
def test_a_notebook_alone_fetches_the_package_and_its_data(copy, tmp_path, monkeypatch, kind):
    if kind == "release":  # git takes the copy for the address that the notebook names
        release(copy)
        stand_in = {"COUNT": 1, "KEY_0": f"url.{copy.as_uri()}.insteadOf", "VALUE_0": PLACE.url}
        for name, value in stand_in.items():
            monkeypatch.setenv(f"GIT_CONFIG_{name}", str(value))
    else:
        set_repository(copy, str(copy))
    here, alone = tmp_path / "python", tmp_path / "alone"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", here], check=True)
    home = next(here.glob("lib/python*/site-packages"), here / "Lib/site-packages")
    for library in Path(sysconfig.get_path("purelib")).iterdir():  # all of this environment's, but not the course
        if library.suffix != ".pth" and not library.name.startswith(("aistack", "__")):
            (home / library.name).symlink_to(library)
    kernel = here / "share/jupyter/kernels/alone"
    kernel.mkdir(parents=True)
    python = next(p for p in (here / "bin/python", here / "Scripts/python.exe") if p.exists())
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "alone", "language": "python"}))
    alone.mkdir()
    shutil.copyfile(copy / CHAPTERS[0], alone / "chapter.ipynb")
    notebook = nbformat.read(alone / "chapter.ipynb", as_version=4)
    assert "bootstrap" in notebook.cells[1].metadata.tags
    notebook.cells = [
        notebook.cells[1],
        nbformat.v4.new_code_cell(
            "import aistack, aistack.data, numpy\nprint(aistack.__file__, aistack.data.data_dir(), len(aistack.load('layers')))"
        ),
    ]
    for name in ("PYTHONPATH", "AISTACK_BOOK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"JUPYTER_PATH": here / "share/jupyter", "PIP_NO_DEPS": 1, "PIP_NO_BUILD_ISOLATION": 0}.items():
        monkeypatch.setenv(name, str(value))
    client = NotebookClient(notebook, kernel_name="alone", timeout=120, resources={"metadata": {"path": str(alone)}})
    try:
        client.execute()
    finally:
        print(notebook.cells[0].outputs)  # what pip says
    file, folder, layers = notebook.cells[1].outputs[0].text.split()
    assert Path(file).is_relative_to(home) and Path(folder) == Path(file).parent / "_data" and layers == "14"
