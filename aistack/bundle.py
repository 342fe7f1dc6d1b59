"""``python -m aistack.bundle``: one archive for rooms without network, with site, notebooks, data and every package.

The packages are those of ``binder/requirements.txt`` for the system and the Python that make the bundle; its name says which.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

from aistack.launch import WELCOME, notebooks

__all__ = ["bundle"]

INSTALL = '''\
"""Install the course beside this file, without a network: python install.py"""

import subprocess
import sys
import venv
from pathlib import Path

here = Path(__file__).resolve().parent
made_for = "{python}"
if "%d.%d" % sys.version_info[:2] != made_for:
    sys.exit(f"This bundle was made for Python {{made_for}}; start it with that one, for example: python{{made_for}} install.py")
place = here / "environment"
venv.create(place, with_pip=True)
python = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
pip = [python, "-m", "pip", "install", "--quiet", "--no-index", "--disable-pip-version-check", "--find-links", here / "packages"]
subprocess.run([*pip, "-r", here / "requirements.txt"], check=True)
subprocess.run([*pip, "--no-deps", "aistack=={version}"], check=True)
print("Installed. To read, open site/index.html; to run the notebooks: python lab.py")
'''

LAB = '''\
"""Open the course in JupyterLab: python lab.py"""

import subprocess
import sys
from pathlib import Path

here = Path(__file__).resolve().parent
python = here / "environment" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
if not python.exists():
    sys.exit("Nothing is installed yet; run first: python install.py")
place = ["--ServerApp.root_dir=" + str(here / "notebooks"), "--LabApp.default_url=/lab/tree/{welcome}"]
sys.exit(subprocess.run([python, "-m", "jupyterlab", *place, *sys.argv[1:]]).returncode)
'''


def bundle(root: Path) -> Path:
    """Write the archive of the built book in `root` to ``_build`` and return its path.

    Raises
    ------
    FileNotFoundError
        If the book has not been built.
    RuntimeError
        If a package cannot be fetched or built; the message is pip's.
    """
    site = root / "_build" / "html"
    if not (site / "index.html").is_file():
        raise FileNotFoundError(f"{site}: no site here; run make book first")
    python = "{}.{}".format(*sys.version_info[:2])
    name = f"sand-to-tokens-{version('aistack')}-{sysconfig.get_platform()}-python{python}"
    place = root / "_build" / name
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(site, place / "site")
    shutil.copytree(root / "data", place / "data")
    for path in [WELCOME, *notebooks(root)]:
        (place / "notebooks" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, place / "notebooks" / path)
    for path in ("README.md", "LICENSE", "LICENSE-TEXT", "CITATION.cff"):
        shutil.copyfile(root / path, place / path)
    shutil.copyfile(root / "binder" / "requirements.txt", place / "requirements.txt")
    (place / "install.py").write_text(INSTALL.format(python=python, version=version("aistack")), encoding="utf-8")
    (place / "lab.py").write_text(LAB.format(welcome=WELCOME), encoding="utf-8")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--disable-pip-version-check",
        "--wheel-dir",
        place / "packages",
    ]
    for what in (["-r", place / "requirements.txt"], ["--no-deps", "--no-build-isolation", root]):
        done = subprocess.run([*pip, *what], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
    archive = shutil.make_archive(str(place), "zip" if sys.platform == "win32" else "gztar", place.parent, name)
    shutil.rmtree(place)
    return Path(archive)


if __name__ == "__main__":
    try:
        made = bundle(Path.cwd())
    except (FileNotFoundError, RuntimeError) as error:
        sys.exit(str(error))
    print(f"{made}: {made.stat().st_size / 1e6:.0f} MB")
