"""Where the course can be run: addresses on Binder, Colab and a JupyterHub, all from ``repository`` in ``_config.yml``.

``python -m aistack.launch set-repository [ADDRESS]`` writes the address wherever a file has to name it;
``python -m aistack.launch hub-links HUB`` prints the links of a JupyterHub with nbgitpuller.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

__all__ = ["Repository", "notebooks", "repository", "set_repository"]

WELCOME = "welcome.ipynb"

BOOTSTRAP = """\
# Where only this notebook is there, as on Colab: fetch the course's package and data, and leave numpy and pandas alone.
try:
    import aistack
except ModuleNotFoundError:
    from importlib.metadata import distributions

    kept = [f"{d.name}=={d.version}" for d in distributions() if d.name in ("numpy", "pandas")]
    %pip install -q "aistackEXTRA @ ADDRESS" {" ".join(kept)}"""


@dataclass(frozen=True)
class Repository:
    """The place of the course: an address on the web or a folder, the branch that readers see, the tag of this version."""

    url: str
    branch: str
    release: str

    @property
    def remote(self) -> bool:
        """Whether the course lies on the web, not in a folder."""
        return urlsplit(self.url).scheme in ("http", "https")

    @property
    def address(self) -> str:
        """The address as git takes it; a folder becomes ``file://``."""
        return self.url if self.remote else Path(self.url).as_uri()

    @property
    def package(self) -> str:
        """What pip fetches: the release; from a folder what is there."""
        return f"git+{self.url}@{self.release}" if self.remote else self.address

    @property
    def name(self) -> str:
        """``owner/project`` on GitHub; empty elsewhere."""
        parts = urlsplit(self.url)
        return parts.path.strip("/").removesuffix(".git") if parts.hostname == "github.com" else ""

    def bootstrap(self, extra: str = "") -> str:
        """Return the first cell of a notebook: it fetches the released package where there is none."""
        return BOOTSTRAP.replace("EXTRA", extra).replace("ADDRESS", self.package)

    def source(self, path: str) -> str:
        """Return the address of a file's source; empty where the host is not GitHub."""
        return f"https://github.com/{self.name}/blob/{self.branch}/{quote(path)}" if self.name else ""

    def binder(self, path: str) -> str:
        """Return the address that opens `path` in JupyterLab on Binder; empty for a folder, which Binder cannot reach."""
        if not self.remote:
            return ""
        place = f"gh/{self.name}" if self.name else f"git/{quote(self.url, safe='')}"
        return f"https://mybinder.org/v2/{place}/{self.release}?urlpath={quote(f'lab/tree/{path}', safe='')}"

    def colab(self, path: str) -> str:
        """Return the address that opens a notebook on Colab; empty where the host is not GitHub."""
        return (
            f"https://colab.research.google.com/github/{self.name}/blob/{self.release}/{quote(path)}"
            if self.name
            else ""
        )

    def hub(self, hub: str, path: str) -> str:
        """Return the nbgitpuller link that copies the course to a reader of JupyterHub `hub` and opens `path`."""
        folder = urlsplit(self.address).path.rstrip("/").rpartition("/")[2].removesuffix(".git")
        return (
            f"{hub.rstrip('/')}/hub/user-redirect/git-pull?repo={quote(self.address, safe='')}"
            f"&branch={quote(self.branch, safe='')}&urlpath={quote(f'lab/tree/{folder}/{path}', safe='')}"
        )


def repository(root: Path) -> Repository:
    """Return the repository that ``_config.yml`` of the book in `root` names.

    Raises
    ------
    ValueError
        If the setting or the version is not there.
    """
    import yaml

    try:
        place = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]
        version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
        return Repository(place["url"].rstrip("/"), place.get("branch", "main"), f"v{version}")
    except (FileNotFoundError, KeyError, TypeError) as error:
        raise ValueError(
            f"{root}: no repository.url in _config.yml or no version in pyproject.toml ({error})"
        ) from None


def notebooks(root: Path) -> list[str]:
    """Return the notebooks that can be launched, relative to `root`: chapters, synthesis, then released exercises."""
    wanted = ("chapters/*.ipynb", "synthesis/*.ipynb", "exercises/release/*/*.ipynb")
    return [path.relative_to(root).as_posix() for pattern in wanted for path in sorted(root.glob(pattern))]


def _write_bootstrap(path: Path, place: Repository) -> bool:
    """Write the bootstrap cell of one notebook afresh, with the extra that it names; return whether it changed."""
    before = path.read_text(encoding="utf-8")
    notebook = json.loads(before)
    for cell in notebook["cells"]:
        if "bootstrap" in cell.get("metadata", {}).get("tags", []):
            named = re.search(r"aistack(\[[\w,]+\])? @", "".join(cell["source"]))
            cell["source"] = place.bootstrap(named[1] or "" if named else "").splitlines(keepends=True)
    after = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    if json.loads(before) == notebook:
        return False
    path.write_text(after, encoding="utf-8")
    return True


def _swap(path: Path, pattern: str, value: str) -> None:
    """Replace what `pattern` matches after its first group."""
    before = path.read_text(encoding="utf-8")
    after, count = re.subn(pattern, lambda m: m[1] + value, before, count=1)
    if not count:
        raise ValueError(f"{path}: nothing like {pattern!r} to change; restore the line from git")
    path.write_text(after, encoding="utf-8")


def set_repository(root: Path, url: str | None = None) -> list[str]:
    """Write the repository's address wherever a file of the book in `root` has to name it.

    Parameters
    ----------
    root : Path
        The book's folder.
    url : str, optional
        An address such as ``https://host/owner/project``, or a folder; default: the one that ``_config.yml`` names,
        which brings new notebooks and a new version up to date.

    Returns
    -------
    list of str
        The notebooks that changed.

    Raises
    ------
    ValueError
        If the address is neither of the web nor a folder that is there, or a file lacks its line.
    """
    if url:
        if not re.fullmatch(r"https?://[^\s/\"']+/[^\s\"']+", url) and not Path(url).is_dir():
            raise ValueError(
                f"{url!r} is neither an address such as https://host/owner/project nor a folder that is there"
            )
        url = url.rstrip("/").removesuffix(".git") if urlsplit(url).scheme else Path(url).resolve().as_posix()
        _swap(root / "_config.yml", r"(?m)(^repository:\n(?:[ \t]+.*\n)*?[ \t]+url: )\S.*", url)
    place = repository(root)
    _swap(root / "CITATION.cff", r"(?m)(^repository-code: )\S.*", json.dumps(place.url))
    sources = [path.relative_to(root).as_posix() for path in sorted(root.glob("exercises/source/*/*.ipynb"))]
    return [path for path in notebooks(root) + sources if _write_bootstrap(root / path, place)]


def main(arguments: list[str], root: Path) -> int:
    """Carry out one command; return the exit status."""
    command, *rest = [*arguments, ""]
    try:
        if command == "set-repository":
            changed = set_repository(root, rest[0])
            place = repository(root)
            print(f"{place.url}, release {place.release}: {len(changed)} notebooks changed", *changed, sep="\n  ")
        elif command == "hub-links" and rest[0]:
            place = repository(root)
            for path in [WELCOME, *notebooks(root)]:
                print(f"- [{path}]({place.hub(rest[0], path)})")
        else:
            raise ValueError("say what to do: set-repository [ADDRESS], or hub-links https://hub.example.edu")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path.cwd()))
