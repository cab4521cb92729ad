"""What contributed code and data can reach in continuous integration, read from the workflows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
UNTRUSTED = {"pull_request", "pull_request_target", "workflow_run", "issue_comment", "issues"}
HEAD = re.compile(r"pull_request\.head|github\.head_ref|workflow_run\.head|refs/pull/")


def parse(text: str) -> dict[str, Any]:
    workflow = yaml.safe_load(text)
    workflow["on"] = workflow.pop(True)  # YAML 1.1 reads the key as a boolean
    if isinstance(workflow["on"], str):
        workflow["on"] = {workflow["on"]: None}
    return workflow


def may_write(permissions: Any) -> bool:
    """Return whether any permission is to write; one that is not stated may be."""
    if isinstance(permissions, dict):
        return "write" in permissions.values()
    return permissions != "read-all"


def unsafe(workflow: dict[str, Any]) -> Iterator[str]:
    """Yield every rule that a workflow breaks."""
    events = set(workflow["on"])
    if "pull_request_target" in events:
        yield "pull_request_target gives contributed files a token that may write"
    for name, job in workflow["jobs"].items():
        if "permissions" not in job and "permissions" not in workflow:
            yield f"{name}: permissions are not stated"
        if "timeout-minutes" not in job:
            yield f"{name}: may run for ever"
        writes = may_write(job.get("permissions", workflow.get("permissions")))
        for rule in (
            writing(job, events, writes),
            reaching(job, events),
            checking_out(job, events, writes),
            steps(job),
        ):
            yield from (f"{name}: {problem}" for problem in rule)


def writing(job: dict[str, Any], events: set[str], writes: bool) -> Iterator[str]:
    scripts = "\n".join(step.get("run", "") for step in job["steps"])
    if writes and "pull_request" in events:
        yield "may write on a pull request"
    if writes and re.search(r"\b(nox|pip|pytest|prunebench|uv|make|python3?)\b", scripts):
        yield "runs the project's code where it may write"


def reaching(job: dict[str, Any], events: set[str]) -> Iterator[str]:
    if "self-hosted" in str(job["runs-on"]):
        if events != {"workflow_dispatch"}:
            yield "a machine of ours runs without a maintainer's word"
        if not job.get("environment") or "refs/heads/main" not in job.get("if", ""):
            yield "the GPU is not behind an environment and the main branch"
    if "secrets." in yaml.safe_dump(job) and events & UNTRUSTED:
        yield "names a secret on an event that anybody can cause"


def checking_out(job: dict[str, Any], events: set[str], writes: bool) -> Iterator[str]:
    checkouts = [step.get("with", {}) for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
    if writes and "workflow_run" in events and checkouts:
        yield "checks out files where it may write"
    if not writes and any(given.get("persist-credentials") is not False for given in checkouts):
        yield "leaves a token on the disk beside the code"
    if events & {"pull_request_target", "workflow_run"} and any(HEAD.search(str(given)) for given in checkouts):
        yield "checks out the head of a contribution"


def steps(job: dict[str, Any]) -> Iterator[str]:
    for step in job["steps"]:
        if re.search(r"\$\{\{\s*(github\.(event|head_ref)|inputs|matrix|steps|needs)", step.get("run", "")):
            yield "text from outside becomes a part of a script"
        if "uses" in step and not re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", step["uses"]):
            yield f"{step['uses']} is not pinned to a commit"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_workflow_keeps_the_rules(path):
    assert list(unsafe(parse(path.read_text(encoding="utf-8")))) == []


SOUND = """
on: pull_request
permissions: {contents: read}
jobs:
  job:
    runs-on: ubuntu-latest
    timeout-minutes: 5
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1
        with: {persist-credentials: false}
      - run: nox -s tests
"""
WRITE = "on: push\npermissions: {contents: write"
BROKEN = {
    "gives a fork's files a token": ("on: pull_request", "on: pull_request_target", "a token that may write"),
    "writes on a pull request": ("contents: read", "contents: write", "may write on a pull request"),
    "does not state permissions": ("permissions: {contents: read}\n", "", "permissions are not stated"),
    "lends the GPU to a pull request": ("ubuntu-latest", "[self-hosted, gpu]", "without a maintainer's word"),
    "lends the GPU without an environment": ("ubuntu-latest", "[self-hosted, gpu]", "not behind an environment"),
    "hands a secret to a pull request": ("nox -s tests", "echo ${{ secrets.TOKEN }}", "names a secret"),
    "keeps the token": ("persist-credentials: false", "fetch-depth: 0", "leaves a token on the disk"),
    "pastes a title into a script": ("nox -s tests", "echo ${{ github.event.issue.title }}", "a part of a script"),
    "follows a tag": ("@3d3c42e5aac5ba805825da76410c181273ba90b1", "@v7.0.1", "not pinned to a commit"),
    "shortens a commit": ("@3d3c42e5aac5ba805825da76410c181273ba90b1", "@3d3c42e", "not pinned to a commit"),
    "has no time limit": ("    timeout-minutes: 5\n", "", "may run for ever"),
    "runs code where it may write": (
        "on: pull_request\npermissions: {contents: read",
        WRITE,
        "runs the project's code",
    ),
    "checks out the head after a run": ("on: pull_request", "on: workflow_run", "checks out the head"),
}


def test_the_rules_let_a_sound_workflow_pass():
    assert list(unsafe(parse(SOUND))) == []


@pytest.mark.parametrize("fault", BROKEN)
def test_the_rules_catch_a_workflow_that(fault):
    old, new, expected = BROKEN[fault]
    text = SOUND.replace("persist-credentials: false", "persist-credentials: false, ref: refs/pull/1/merge")
    assert old in text
    assert any(expected in problem for problem in unsafe(parse(text.replace(old, new))))


def test_each_action_is_one_commit_everywhere_whose_version_is_told():
    starter = ROOT / "harness" / "prunebench" / "templates" / "common" / "workflow.yml.tmpl"
    text = "\n".join(path.read_text(encoding="utf-8") for path in (*FILES, starter))
    pins = re.findall(r"uses: ([\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)\b", text)
    assert len(pins) == text.count("uses: ") > 0
    assert len(set(pins)) == len({action for action, _, _ in pins})


def sessions() -> set[str]:
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and any("session" in ast.unparse(d) for d in node.decorator_list)
    }


def test_every_session_that_a_workflow_names_is_in_the_noxfile():
    named = set()
    for path in FILES:
        for job in parse(path.read_text(encoding="utf-8"))["jobs"].values():
            for step in job.get("steps", []):
                for words in re.findall(r"nox [^\n]*?-s ([a-z_ ]+)", step.get("run", "")):
                    named |= set(words.split())
    assert {"docs", "leaderboard", "validate_results", "bench"} <= named
    assert named <= sessions()


def test_results_are_judged_by_the_harness_of_the_base_and_read_only_as_data():
    job = parse((ROOT / ".github/workflows/results.yml").read_text(encoding="utf-8"))["jobs"]["validate"]
    places = {s["with"]["path"]: s["with"] for s in job["steps"] if s.get("uses", "").startswith("actions/checkout@")}
    assert places["base"]["ref"] == "${{ github.event.pull_request.base.sha }}"
    assert places["contributed"]["sparse-checkout"].split() == ["/results/", "/registry.toml"]
    scripts = [step["run"] for step in job["steps"] if "run" in step]
    for script in scripts:
        for word in re.findall(r"\S*contributed\S*", script):
            assert word.strip('"').startswith("$GITHUB_WORKSPACE/contributed/")
    assert any("nox -f base/noxfile.py -s validate_results" in script for script in scripts)


def test_each_routine_job_of_a_maintainer_is_a_session():
    wanted = {"tests", "minimums", "lint", "types", "smoke", "conformance", "downstream", "validate_results",
              "leaderboard", "docs", "bench", "release"}  # fmt: skip
    assert wanted <= sessions()
