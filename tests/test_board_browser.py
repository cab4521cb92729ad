"""The page of the board in a real browser: opened from a file, sorted by a click, read on a telephone."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from boards import full_grid
from prunebench.board import board_files, make_board

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = shlex.split(
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-extensions --allow-file-access-from-files "
    "--hide-scrollbars --enable-logging=stderr --virtual-time-budget=20000 --dump-dom"
)
TELEPHONE = """<!doctype html><iframe src="index.html" width="400" height="800" style="border: 0"></iframe><script>
document.querySelector("iframe").addEventListener("load", (event) => {
  const page = event.target.contentDocument, view = event.target.contentWindow;
  const body = page.querySelector("tbody"), buttons = page.querySelector("thead").querySelectorAll("button");
  const column = (n) => [...body.rows].map((row) => row.cells[n].dataset.value);
  const said = { tables: page.querySelectorAll("table").length, width: page.documentElement.clientWidth };
  for (const details of page.querySelectorAll("details")) details.open = true;
  said.wide = [...page.body.querySelectorAll("*")].filter((part) => !part.closest("svg, .scroll > *, .skip") &&
    part.getBoundingClientRect().right > said.width + 1).map((part) => part.outerHTML.slice(0, 200));
  said.scroll = page.documentElement.scrollWidth;
  buttons[1].click(); said.falling = column(1);
  buttons[1].click(); said.rising = column(1);
  buttons[0].click(); said.names = column(0);
  said.fetched = view.performance.getEntriesByType("resource").map((entry) => entry.name);
  const shown = document.createElement("pre");
  shown.textContent = JSON.stringify(said);
  document.body.append(shown);
});
</script>"""


@pytest.mark.skipif(BROWSER is None, reason=f"no browser is installed, none of {', '.join(NAMES)}")
def test_the_page_loads_from_a_file_sorts_and_fits_a_telephone(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(board_files(make_board(full_grid()))["index.html"], encoding="utf-8")
    (tmp_path / "telephone.html").write_text(TELEPHONE, encoding="utf-8")
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "telephone.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    (found,) = re.findall(r"<pre>(.*?)</pre>", done.stdout, flags=re.DOTALL)
    said = json.loads(unescape(found))
    assert said["tables"] >= 6
    assert (said["width"], said["scroll"], said["wide"]) == (400, 400, [])
    assert [name for name in said["fetched"] if not name.startswith(("file:", "data:"))] == []
    numbers = [value for value in said["falling"] if value]
    assert numbers == sorted(numbers, reverse=True) != []
    assert said["rising"] == [*reversed(numbers), *[""] * (len(said["falling"]) - len(numbers))], "holes are last"
    assert said["names"] == sorted(said["names"])
