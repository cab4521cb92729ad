"""Every routine job of a maintainer; `nox -l` lists them, `nox -s NAME` runs one."""

from __future__ import annotations

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "tests"]
PROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, *groups: str) -> None:
    """Install the project, editable, with dependency groups."""
    wanted = [requirement for group in groups for requirement in nox.project.dependency_groups(PROJECT, group)]
    session.install("-e", ".", *wanted)


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Run the tests; arguments after -- go to pytest."""
    install(session, "test")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    install(session, "lint")
    session.run("mypy")


@nox.session
def smoke(session: nox.Session) -> None:
    """Run the smallest grid end to end into a temporary folder."""
    install(session)
    folder = session.create_tmp()
    session.run(
        "prunebench", "run", "smoke", "--results", f"{folder}/results", env={"PRUNEBENCH_CACHE": f"{folder}/cache"}
    )


@nox.session
def docs(session: nox.Session) -> None:
    """Write the reference pages from the code; `-- --check` fails when the committed ones are stale."""
    install(session)
    session.run("python", "-m", "prunebench.reference", "docs/reference", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Compare the speed of the bundled methods with the libraries that they replace; ratios, a few minutes."""
    install(session, "test")
    session.run("pytest", "tests/benchmarks", "-o", "python_files=bench_*.py", "-n", "0", "-s", "-q", *session.posargs)


@nox.session
def leaderboard(session: nox.Session) -> None:
    """Write the board from the committed records; `-- --check` fails when the committed one is stale."""
    install(session)
    session.run("prunebench", "leaderboard", *session.posargs)
