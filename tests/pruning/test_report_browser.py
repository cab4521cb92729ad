"""The page about a pruning in a real browser: opened from a file, pointed at, read by keyboard and on a telephone."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from outcomes import MANIFEST, Drawings, outcome
from prunebench.pruning.report import render

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = shlex.split(
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-extensions --allow-file-access-from-files "
    "--hide-scrollbars --enable-logging=stderr --virtual-time-budget=20000 --dump-dom"
)
READER = """<!doctype html><iframe src="report.html" width="390" height="800" style="border: 0"></iframe><script>
document.querySelector("iframe").addEventListener("load", async (event) => {
  const page = event.target.contentDocument, view = event.target.contentWindow;
  const width = page.documentElement.clientWidth, plane = page.getElementById("plane");
  const drawing = plane.querySelector("svg");
  for (const details of page.querySelectorAll("details")) details.open = true;
  const said = { width, scroll: page.documentElement.scrollWidth, alert: view.alerted ?? null };
  said.wide = [...page.body.querySelectorAll("*")].filter((part) => !part.closest("svg, .scroll > *, .skip") &&
    part.getBoundingClientRect().right > width + 1).map((part) => part.outerHTML.slice(0, 200));
  said.broken = [...page.images].filter((image) => !image.naturalWidth && image.loading !== "lazy").length;
  const text = () => page.getElementById("said").innerText, tile = page.getElementById("tile");
  const points = JSON.parse(page.getElementById("points").textContent);
  const point = (i, kind) => {
    const frame = drawing.getBoundingClientRect();
    plane.dispatchEvent(new view.PointerEvent(kind, { bubbles: true,
      clientX: frame.left + points.x[i] * frame.width / 1000, clientY: frame.top + points.y[i] * frame.height / 640 }));
  };
  said.before = text();
  point(3, "pointermove");
  said.hovered = text();
  said.tile = tile && { shown: !tile.hidden, position: tile.style.backgroundPosition, size: tile.style.backgroundSize,
    sheet: view.getComputedStyle(tile).backgroundImage.slice(0, 23), width: tile.offsetWidth };
  point(5, "pointermove");
  said.moved = text();
  point(5, "click");
  point(3, "pointermove");
  said.held = text();
  const key = (name) => plane.dispatchEvent(new view.KeyboardEvent("keydown", { key: name, bubbles: true }));
  plane.focus();
  said.focused = page.activeElement === plane;
  key("Escape"); key("ArrowLeft");
  said.left = text();
  const chosen = page.getElementById("of-class");
  if (chosen) {
    chosen.value = chosen.options[1].value;
    chosen.dispatchEvent(new view.Event("change"));
    const dots = (path) => (path.getAttribute("d").match(/M/g) || []).length;
    said.singled = [...plane.querySelectorAll(".of-class")].map(dots);
  }
  const buttons = page.querySelectorAll("thead button");
  if (buttons.length) {
    const body = buttons[0].closest("table").tBodies[0];
    buttons[0].click(); buttons[0].click();
    said.sorted = [...body.rows].map((row) => row.cells[0].dataset.value);
  }
  said.fetched = view.performance.getEntriesByType("resource").map((entry) => entry.name);
  const shown = document.createElement("pre");
  shown.textContent = JSON.stringify(said);
  document.body.append(shown);
});
</script>"""


def read(folder: Path, text: str) -> dict[str, Any]:
    """Return what a reader of a page finds; the browser must not complain."""
    (folder / "report.html").write_text(text, encoding="utf-8")
    (folder / "reader.html").write_text(READER, encoding="utf-8")
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={folder / 'profile'}", (folder / "reader.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    (found,) = re.findall(r"<pre>(.*?)</pre>", done.stdout, flags=re.DOTALL)
    said: dict[str, Any] = json.loads(unescape(found))
    assert (said["width"], said["scroll"], said["wide"]) == (390, 390, [])
    assert [name for name in said["fetched"] if not name.startswith(("file:", "data:"))] == []
    return said


@pytest.mark.skipif(BROWSER is None, reason=f"no browser is installed, none of {', '.join(NAMES)}")
def test_the_map_shows_pictures_under_the_pointer_and_by_keyboard_on_a_telephone(tmp_path: Path) -> None:
    found = outcome(keep={"0.1": 6, "0.5": 30}, pictures=Drawings(60))
    said = read(tmp_path, render(found, MANIFEST))
    assert said["before"] == "No sample is pointed at."
    assert "id-3.jpg" in said["hovered"]
    assert "class 0" in said["hovered"]
    assert "kept: chosen" in said["hovered"]
    width = said["tile"]["width"]
    assert said["tile"] == {
        "shown": True, "position": f"{-3 * width}px 0px", "size": f"{8 * width}px auto",
        "sheet": 'url("data:image/jpeg;ba', "width": width,
    }  # fmt: skip
    assert "id-5.jpg" in said["moved"]
    assert said["held"] == said["moved"], "a click holds it"
    assert said["focused"]
    assert said["left"] != said["held"]
    assert said["singled"] == [18, 2], "of the 20 samples of the first class"
    assert said["sorted"] == ["class 2", "class 1", "class 0"]


@pytest.mark.skipif(BROWSER is None, reason=f"no browser is installed, none of {', '.join(NAMES)}")
def test_names_are_never_executed_and_never_widen_the_page(tmp_path: Path) -> None:
    attack = "<img src=x onerror=alerted=1>\"'><script>alerted=1</script>"
    names = [f"{attack}</script><script>alerted=1</script>{number}" for number in range(3)]
    ids = [attack * (1 + row % 9) + "w" * (30 * row) + str(row) for row in range(60)]
    said = read(tmp_path, render(outcome(names=names, ids=ids, title=attack * 9, notes=[attack * 20]), MANIFEST))
    assert said["alert"] is None
    assert attack in said["hovered"]
    assert said["tile"] is None
