"""Run the tutorial in an empty folder, and write what its commands print and its pictures of the report into docs/.

`python docs/write_tutorial.py` needs chromium (or Chrome) for the pictures. The tests run the same blocks."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "tutorial.md"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_BLOCK = re.compile(r"(?:`([\w-]+\.py)`[^`\n]*:\n\n)?```(python|sh|text)\n(.*?)```", re.DOTALL)
_PROGRESS = re.compile(r"^\d+% .* (left|yet)$")
# Section of the report, by its heading: name of the picture, width of the window, and the height that is shown.
PICTURES = (("", "report", 1000, 860), ("duplicates", "duplicates", 1000, 620), ("labels", "labels", 1000, 620),
            ("leakage", "leakage", 1000, 480), ("map", "map", 1100, 800))  # fmt: skip
_FLAGS = shlex.split("--headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-sync "
                     "--disable-background-networking --disable-component-update --allow-file-access-from-files "
                     "--virtual-time-budget=10000 --force-device-scale-factor=1")  # fmt: skip


@dataclass(frozen=True)
class Step:
    """A block of the page.  kind: "python", a program that is saved as `name`; "sh", commands; "text", what
    the commands of the block before it print."""

    kind: str
    name: str
    text: str


def steps(page: str) -> list[Step]:
    """Return the blocks of the page in their order."""
    return [Step(kind, name, text) for name, kind, text in _BLOCK.findall(page)]


def run(page: str, folder: Path) -> Iterator[tuple[Step, str]]:
    """Save the programs of the page and run its commands, in their order; yield each block of text with what was
    printed in its place.  Raises RuntimeError for a command that fails."""
    printed = ""
    for step in steps(page):
        if step.kind == "python":
            (folder / step.name).write_text(step.text, encoding="utf-8")
        elif step.kind == "sh":
            printed = "".join(_printed(command, folder) for command in step.text.splitlines())
        else:
            yield step, printed


def _printed(command: str, folder: Path) -> str:
    name, *arguments = shlex.split(command, comments=True)
    program = [sys.executable, *(["-m", "prunebench"] if name == "prunebench" else [])]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PRUNEBENCH_")}
    environment = {**kept, "PRUNEBENCH_CACHE": str(folder / "cache"), "COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run([*program, *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, encoding="utf-8", check=False)  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{command}\n{done.stdout}")
    return "".join(f"{line}\n" for line in done.stdout.splitlines() if not _PROGRESS.match(line))


def photograph(report: Path, folder: Path) -> None:
    """Write pictures of sections of a report."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise RuntimeError("no chromium or Chrome is installed")
    text = report.read_text(encoding="utf-8").replace(' loading="lazy"', "")
    for section, name, width, height in PICTURES:
        others = f"header, footer, main > section:not([aria-labelledby={section}]) {{ display: none }}"
        plain = "main, main > section, h2 { border: 0; margin: 0; padding: 0 } body { padding-top: 1rem }"
        alone = f"{others} {plain}" if section else ""
        page = report.with_name(f"{name}.html")
        page.write_text(text.replace("</style>", f"{alone}</style>", 1), encoding="utf-8")
        target = folder / f"tutorial-{name}.png"
        subprocess.run([browser, *_FLAGS, f"--window-size={width},{height}", f"--screenshot={target}", page.as_uri()],
                       check=True, capture_output=True)  # fmt: skip
        page.unlink()


def main() -> None:
    """Write the page and its pictures."""
    page = PAGE.read_text(encoding="utf-8")
    (DOCS / "images").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        report, photographed = Path(name) / "kept" / "report.html", False
        for step, printed in run(page, Path(name)):
            page = page.replace(f"```text\n{step.text}```", f"```text\n{printed}```", 1)
            if report.exists() and not photographed:  # the first one: a later pruning takes its place
                photograph(report, DOCS / "images")
                photographed = True
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
