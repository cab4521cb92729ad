"""Every routine job of a maintainer; `nox -l` lists them, `nox -s NAME` runs one."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "tests"]
PROJECT = nox.project.load_toml("pyproject.toml")
# Those that declare something; reporters observe, and are tested in tests/test_watching.py.
BUNDLED = sorted({*PROJECT["project"]["entry-points"]["prunebench"]} - {"reporters"})
# The tables [plugin.*] of the registry; those of prunebench itself are among the bundled ones.
REGISTERED = {
    name: table
    for name, table in nox.project.load_toml("registry.toml").get("plugin", {}).items()
    if table["dist"] != PROJECT["project"]["name"]
}


def groups(*names: str) -> list[str]:
    """Return the requirements of dependency groups."""
    return [requirement for name in names for requirement in nox.project.dependency_groups(PROJECT, name)]


def install(session: nox.Session, *names: str) -> None:
    """Install the project, editable, with dependency groups."""
    session.install("-e", ".", *groups(*names))


@nox.session(python=["3.11", "3.12", "3.13"], tags=["ci"])
def tests(session: nox.Session) -> None:
    """Run the tests; arguments after -- go to pytest."""
    # Not on 3.14: of all dependencies multipers alone, in the one version that is allowed, has no wheel there.
    install(session, "test")
    session.run("pytest", *session.posargs)


@nox.session(tags=["ci"])
def thorough(session: nox.Session) -> None:
    """Run the tests that take long, and those of the methods once more with other kernels of linear algebra."""
    install(session, "test", "lint")
    session.run("pytest", "-m", "thorough", *session.posargs)
    kernels = {"OPENBLAS_CORETYPE": "Haswell", "ATEN_CPU_CAPABILITY": "default"}
    session.run("pytest", "tests/plugins", "tests/test_across_methods.py", *session.posargs, env=kernels)


@nox.session(python="3.11", venv_backend="uv", tags=["ci"])
def minimums(session: nox.Session) -> None:
    """Run the tests with the lowest versions that pyproject.toml allows."""
    session.install("--resolution", "lowest-direct", "-e", ".", *groups("test"))
    session.run("pytest", *session.posargs)


@nox.session(tags=["ci"])
def lint(session: nox.Session) -> None:
    """Check style, format, spelling, and what contributed code can reach in the workflows."""
    session.install(*groups("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("typos")
    session.run("zizmor", "--offline", ".github/workflows")


@nox.session(tags=["ci"])
def types(session: nox.Session) -> None:
    """Check types, strictly, and that whoever imports prunebench finds all of them declared, with another checker."""
    install(session, "test", "lint", "public")
    session.run("mypy")
    session.run("pyright", "--verifytypes", "prunebench", "--ignoreexternal", silent=True)


@nox.session(tags=["ci"])
def smoke(session: nox.Session) -> None:
    """Run the smallest grid end to end into a temporary folder."""
    install(session)
    folder = session.create_tmp()
    session.run(
        "prunebench", "run", "smoke", "--results", f"{folder}/results", env={"PRUNEBENCH_CACHE": f"{folder}/cache"}
    )


@nox.session(tags=["ci"])
@nox.parametrize("plugin", [nox.param(name, id=name) for name in [*BUNDLED, *sorted(REGISTERED)]])
def conformance(session: nox.Session, plugin: str) -> None:
    """Check one plugin in an environment of its own; `nox -s "conformance(echo)"` chooses, -- passes arguments on."""
    table = REGISTERED.get(plugin, {})
    extra = [f"{table['dist']}{table.get('version', '')}", *table.get("environment", [])] if table else []
    session.install("-e", ".", *extra)
    session.run("prunebench", "check", plugin, *session.posargs, env=private_cache(session))


@nox.session(tags=["ci"])
def downstream(session: nox.Session) -> None:
    """Check the registered third-party distributions, latest versions, side by side; -- names others instead."""
    wanted = list(session.posargs) or sorted({table["dist"] for table in REGISTERED.values()})
    if not wanted:
        session.skip("the registry names no third-party distribution")
    session.install("--upgrade", "-e", ".", *wanted)
    names = [re.match(r"[\w.-]+", requirement)[0] for requirement in wanted]
    session.run("prunebench", "check", *names, env=private_cache(session))


def private_cache(session: nox.Session) -> dict[str, str]:
    """Return the environment that keeps what is computed out of the user's cache."""
    return {"PRUNEBENCH_CACHE": str(Path(session.create_tmp()).resolve() / "cache")}


@nox.session
def docs(session: nox.Session) -> None:
    """Write the pages that come from the code; `-- --check` fails when the committed ones are stale."""
    install(session)
    session.run("python", "docs/write_reference.py", "docs/reference", *session.posargs)
    session.run("python", "docs/write_manual.py", "docs", *session.posargs)


@nox.session(default=False)
def tutorial(session: nox.Session) -> None:
    """Run the tutorial, and write what it prints and its pictures; needs chromium and some minutes."""
    install(session)
    session.run("python", "docs/write_tutorial.py")


@nox.session
def validate_results(session: nox.Session) -> None:
    """Check results as data against the merge base with main; -- names another folder and options."""
    install(session)
    session.run("prunebench", "validate", *(session.posargs or ["results"]))


@nox.session(tags=["ci"])
def release(session: nox.Session) -> None:
    """Build the distribution, check its metadata, and use the wheel in an environment that has nothing else."""
    session.install("build", "twine", "uv")
    folder = Path(session.create_tmp()).resolve()
    dist, elsewhere = folder / "dist", folder / "elsewhere"
    shutil.rmtree(dist, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(dist))
    session.run("twine", "check", "--strict", *map(str, dist.iterdir()))
    session.run("uv", "venv", "--clear", "--python", session.python or sys.executable, str(elsewhere))
    python = str(elsewhere / "bin" / "python")
    session.run("uv", "pip", "install", "--python", python, *map(str, dist.glob("*.whl")))
    with session.chdir(elsewhere):  # not here, where the sources and the registry are
        for arguments in (["list"], ["run", "smoke", "--results", "results", "--quiet"]):
            session.run(python, "-P", "-m", "prunebench", *arguments, external=True, env=private_cache(session))


@nox.session(default=False, tags=["gpu"])
def bench(session: nox.Session) -> None:
    """Compare the speed of the bundled methods with the libraries that they replace; ratios, a few minutes."""
    install(session, "test")
    session.run("pytest", "tests/benchmarks", "-o", "python_files=bench_*.py", "-n", "0", "-s", "-q", *session.posargs)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Read 100,000 damaged files with every parser; after -- another --count N, and words of their names."""
    install(session, "test")
    session.run("python", "tests/benchmarks/fuzz.py", *session.posargs)


@nox.session(default=False, tags=["gpu"])
def suite(session: nox.Session) -> None:
    """Run a suite, named after --, and merge its records into results/."""
    install(session)
    session.run("prunebench", "run", *session.posargs)


@nox.session
def leaderboard(session: nox.Session) -> None:
    """Write the board from the committed records; `-- --check` fails when the committed one is stale."""
    install(session)
    session.run("prunebench", "leaderboard", *session.posargs)
