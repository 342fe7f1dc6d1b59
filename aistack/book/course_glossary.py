"""Write ``data/course_glossary.csv`` from ``reference/glossary.md``, so that the installed package holds the glossary.

``python -m aistack.book.course_glossary`` after the glossary was edited; a test says when that was forgotten.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

__all__ = ["entries", "table"]

ROOT = Path(__file__).resolve().parents[2]
HEADER = ["entry", "chapter", "term", "text", "section", "source_id", "source_locator", "as_of"]
AS_OF = "2026"


def entries(markdown: str) -> list[tuple[int, str, str, str]]:
    """Return (chapter, section, term, text) of every entry of a glossary page.

    Examples
    --------
    >>> entries("## 02 Fabrication\\n:::{glossary}\\nWafer\\n  A disc\\n  of silicon.\\n\\nDie\\n  A chip.\\n:::\\n")
    [(2, 'Fabrication', 'Wafer', 'A disc of silicon.'), (2, 'Fabrication', 'Die', 'A chip.')]
    """
    found: list[list] = []
    chapter, section, inside = 0, "", False
    for line in markdown.splitlines():
        if heading := re.match(r"## (\d+) (.+)", line):
            chapter, section = int(heading[1]), heading[2].strip()
        elif line.startswith(":::"):
            inside = "{glossary}" in line
        elif inside and line.strip() and not line[0].isspace():
            found.append([chapter, section, line.strip(), ""])
        elif inside and line.strip():
            found[-1][3] = f"{found[-1][3]} {line.strip()}".strip()
    return [tuple(entry) for entry in found if entry[3]]


def _without_markup(text: str) -> str:
    """Return text without Markdown's signs, roles and links."""
    text = re.sub(r"\{\w+\}`([^`<]+?)\s*(?:<[^>]*>)?`", r"\1", text)
    return re.sub(r"[`*]|\$(?=\S)", "", text)


def table(markdown: str) -> str:
    """Return the glossary as the text of a CSV file, numbered in its own order."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n")
    write.writerow(HEADER)
    for number, (chapter, section, term, text) in enumerate(entries(markdown), start=1):
        where = f"glossary, {chapter:02d} {section}"
        write.writerow([number, chapter, term, _without_markup(text), section, "this-course", where, AS_OF])
    return out.getvalue()


if __name__ == "__main__":
    page = (ROOT / "reference" / "glossary.md").read_text(encoding="utf-8")
    (ROOT / "data" / "course_glossary.csv").write_text(table(page), encoding="utf-8")
