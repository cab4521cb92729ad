"""Shared by the tests: real distributions on disk, and the command line in this process or in one of its own."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from prunebench.compiled import numba_folder
from registries import HEAD

ROOT = Path(__file__).resolve().parent.parent
NUMPY_PLUGINS = Path(__file__).resolve().parent / "numpy_plugins.py"

# The tests start hundreds of processes, and each would compile all modules of the project, where no bytecode is kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A test process a core: threads that wait for each other would cost more than they bring. Before numpy is imported.
# Benchmarks run alone, with `-n0`, and have all cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    # Numba counts for torch, too: it sets how many threads their common OpenMP has.
    for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(_name, "1")

# What numba compiles is shared by all processes of the tests, also by those that start with an empty cache.
os.environ.setdefault("NUMBA_CACHE_DIR", str(numba_folder(ROOT / ".pytest_cache")))

# A shell that starts the tests in the background lets them ignore Ctrl-C, and so would every process they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

collect_ignore = ["third_party"]  # distributions of their own: test_third_party.py installs them and runs their tests


_THOROUGH_SECONDS = 900  # of one thorough test


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("thorough") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_THOROUGH_SECONDS))


def pytest_xdist_auto_num_workers() -> int:
    """Start one worker more than there are cores: many tests wait for processes, time limits and clocks."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


def pytest_collection() -> None:
    """Look for no garbage while modules are imported, which only make more and more objects that stay."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage only among what the tests themselves make."""
    gc.freeze()
    gc.enable()


class _Stream(io.StringIO):
    """Text that is written, to a terminal or to a pipe."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal


@dataclass(frozen=True)
class Sandbox:
    """A working folder with its own cache, results and installed third-party plugins."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PRUNEBENCH_")}
        return {
            **kept,
            "PRUNEBENCH_CACHE": str(self.folder / "cache"),
            "PYTHONPATH": str(self.folder / "site"),
            "COLUMNS": "100",
            "NO_COLOR": "1",
        }

    def install(self, name: str, source: str, version: str = "1.0") -> None:
        """Put a module and its metadata where an installer would have put them."""
        site = self.folder / "site"
        # Underscores, as installers write it: with hyphens all would be read as copies of one distribution.
        module = name.replace("-", "_")
        metadata = site / f"{module}-{version}.dist-info"
        metadata.mkdir(parents=True)
        (site / f"{module}.py").write_text(source, encoding="utf-8")
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
        )
        (metadata / "entry_points.txt").write_text(f"[prunebench]\n{module} = {module}\n", encoding="utf-8")

    def register(self, text: str) -> None:
        """Write registry.toml, and install the plugins of numpy where it names them."""
        (self.folder / "registry.toml").write_text(text, encoding="utf-8")
        if 'provider = "numpy"' in text and not (self.folder / "site" / NUMPY_PLUGINS.name).exists():
            self.install_numpy_plugins()

    def install_numpy_plugins(self) -> None:
        self.install("numpy-plugins", NUMPY_PLUGINS.read_text(encoding="utf-8"))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command line and return the running process."""
        return subprocess.Popen(
            [sys.executable, "-m", "prunebench", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *arguments: str, columns: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the command line in this process: quicker, where a process of its own is not the point.

        columns: of a terminal that it writes to; 0: it writes to a pipe.
        """
        from prunebench.cli import main

        output, errors = _Stream(columns > 0), _Stream(columns > 0)
        with self.entered(columns), contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                code = main([*arguments])
            except SystemExit as ended:
                code = ended.code
        return subprocess.CompletedProcess(arguments, int(code or 0), output.getvalue(), errors.getvalue())

    @contextlib.contextmanager
    def entered(self, columns: int = 0) -> Iterator[None]:
        """Give this process the folder, the environment and the plugins; those are forgotten afterwards."""
        site = str(self.folder / "site")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name in {*os.environ} - {*self.environment}:
                patch.delenv(name)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            if columns:
                patch.setenv("COLUMNS", str(columns))
            patch.syspath_prepend(site)
            yield
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", "") or "").startswith(site):
                del sys.modules[name]

    def run(self, *arguments: str, seconds: float = 280.0) -> subprocess.CompletedProcess[str]:
        """Run the command line to its end."""
        process = self.start(*arguments)
        stdout, stderr = process.communicate(timeout=seconds)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """An empty working folder."""
    return Sandbox(tmp_path)


@pytest.fixture
def write_registry(tmp_path: Path) -> Callable[[str], Path]:
    """Write a registry.toml with a header and the given tables, and return its path."""

    def write(tables: str) -> Path:
        path = tmp_path / "registry.toml"
        path.write_text(HEAD + tables, encoding="utf-8")
        return path

    return write
