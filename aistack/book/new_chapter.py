"""``make new-chapter``: a notebook with the parts every chapter has."""

import re
import sys
from pathlib import Path

from aistack.launch import repository

TEMPLATE = """\
(ch-{name})=
# {title}

**The one question this chapter answers?**

Begin with an object the reader can picture and a number with its date.

+++

## At a glance

You will be able to …

+++

## Build it small: the mechanism

## The players

## What holds it back

## The frontier

## Who works here

## How we got here

## Up and down the stack

## Summary

## Exercises

## Sources

```{{bibliography}}
:filter: docname in docnames
```
"""

IMPORTS = """\
import numpy as np
import plotly.graph_objects as go

from aistack import fact, load, number
from aistack.charts import axis, chart, layout
from aistack.claims import claim
from aistack.explore import choice, explore, slider
"""


def new_chapter(root: Path, slug: str, title: str) -> Path:
    """Write ``chapters/<slug>.ipynb`` from the template and return its path.

    Parameters
    ----------
    root : Path
        The book's folder.
    slug : str
        Two digits and a name, for example ``01-raw-materials``.
    title : str
        The chapter's title.

    Raises
    ------
    ValueError
        If the slug is not of that form, the title is empty, or the notebook exists.
    """
    if not re.fullmatch(r"\d\d-[a-z]+(-[a-z]+)*", slug) or not title:
        raise ValueError('name slug and title: make new-chapter SLUG=01-raw-materials TITLE="Raw materials"')
    import jupytext
    import nbformat

    path = root / "chapters" / f"{slug}.ipynb"
    if path.exists():
        raise ValueError(f"{path} exists; edit it, or choose another slug")
    notebook = jupytext.reads(TEMPLATE.format(name=slug[3:], title=title), fmt="md:myst")
    boot = nbformat.v4.new_code_cell(repository(root).bootstrap(), metadata={"tags": ["bootstrap", "remove-cell"]})
    notebook.cells[1:1] = [boot]
    notebook.cells[3:3] = [nbformat.v4.new_code_cell(IMPORTS.rstrip())]
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:03d}"
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    nbformat.write(notebook, path)
    return path


def main(arguments: list[str]) -> int:
    """Write the chapter that the arguments name."""
    try:
        path = new_chapter(Path.cwd(), *[*arguments, "", ""][:2])
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{path} written; add 'chapters/{path.stem}' to _toc.yml")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
