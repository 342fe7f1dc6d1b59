"""Run one notebook as a reader does and move every explorer; ``python run_alone.py NOTEBOOK`` prints what came of it as JSON.

It runs inside the environment under test, so it imports nothing of the course or of the tests.
"""

import json
import os
import re
import sys
import time
from pathlib import Path
from queue import Empty

import nbformat
from nbclient import NotebookClient

MOVE = """
import gc, ipywidgets
moved = [(box, box.children[-1], str(box.children[-1].outputs)) for box in gc.get_objects() if type(box) is ipywidgets.VBox]
for box, _, _ in moved:
    for control in box.children:
        if hasattr(control, "options"):
            control.index = (control.index + 1) % len(control.options)
"""
TELL = """
import importlib.metadata, json
names = ("numpy", "pandas", "plotly", "ipywidgets")
print(json.dumps({
    "explorers": [[before, str(out.outputs)] for _, out, before in moved],
    "versions": {name: importlib.metadata.version(name) for name in names},
}))
"""
IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def look_again(channel, seconds=300):
    """Let a client look for replies twice a second: it can miss the one sign of a reply while it answers a widget."""
    once = channel.get_msg

    async def get_msg(timeout=None):
        for _ in range(2 * seconds):
            try:
                return await once(timeout=0.5)
            except Empty:
                continue
        raise TimeoutError(f"no reply in {seconds} s")

    channel.get_msg = get_msg


def main(path: Path) -> dict:
    """Run the notebook; return its charts, explorers that answered, those that did not, warnings, versions and seconds."""
    began = time.perf_counter()
    notebook = nbformat.read(path, as_version=4)
    chapter = list(notebook.cells)
    notebook.cells += [nbformat.v4.new_code_cell(MOVE), nbformat.v4.new_code_cell(TELL)]
    os.environ["PLOTLY_RENDERER"] = "colab"  # charts as on Colab: HTML
    client = NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}})
    client.on_notebook_start = lambda **_: look_again(client.kc.shell_channel)
    client.execute()
    outputs = [output for cell in chapter for output in cell.get("outputs", [])]
    told = json.loads(notebook.cells[-1].outputs[-1].text)
    same = [IDS.sub("", before) == IDS.sub("", after) for before, after in told["explorers"]]
    return {
        "notebook": path.name,
        "charts": sum("Plotly.newPlot" in str(o.get("data", {}).get("text/html", "")) for o in outputs),
        "explorers": len(same),
        "stuck": sum(same),
        "drawn": sum("Plotly.newPlot" in after for _, after in told["explorers"]),
        "warnings": [o["text"] for o in outputs if o.get("name") == "stderr"],
        "failed": ["\n".join(o["traceback"]) for o in outputs if o["output_type"] == "error"],
        "versions": told["versions"],
        "seconds": round(time.perf_counter() - began, 1),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]).resolve())))
