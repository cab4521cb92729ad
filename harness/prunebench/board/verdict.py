"""The claims beside the records: what was measured of each, and whether it holds, from the numbers alone."""

import math
from typing import Literal, NamedTuple

from prunebench.board.claims import Claim, Claims, Measurement, Order, split
from prunebench.board.facts import adding, command_of
from prunebench.board.measure import Lack, Sample, Tables, measure, spread
from prunebench.board.table import Board
from prunebench.registry import Registry, Suite
from prunebench.stats import Interval
from prunebench.stats.jackknife import jackknife
from prunebench.stats.unpaired import spread_ratio

Verdict = Literal["holds", "does not hold here", "not decided"]
LEVEL = 0.95


class Finding(NamedTuple):
    """One measurement.  a, b: the number of each side; found: of a, or of a less b (a over b where it is a ratio), with
    its interval; None with the `reason` where there is no number."""

    test: Measurement
    suite: Suite
    command: str
    reason: str = ""
    sample: Sample | None = None
    a: float | None = None
    b: float | None = None
    found: Interval | None = None

    @property
    def verdict(self) -> Verdict:
        """Return on which side of what is claimed the interval lies."""
        if self.found is None or self.found.low is None or self.found.high is None:
            return "not decided"
        sign, bar, size = 1 if self.test.claims == "more" else -1, self.test.bar, self.test.size
        low, high = sorted((sign * self.found.low, sign * self.found.high))
        if low > sign * bar:
            return "holds"
        return "does not hold here" if high < sign * (bar if size is None else size) else "not decided"


class Judged(NamedTuple):
    """A claim and its findings; one that fails makes it fail, and it holds with all that were measured."""

    claim: Claim
    findings: list[Finding]

    @property
    def verdict(self) -> Verdict:
        found = {one.verdict for one in self.findings if one.found}
        if "does not hold here" in found:
            return "does not hold here"
        return "holds" if found == {"holds"} else "not decided"

    @property
    def decisive(self) -> Finding:
        """The first finding that has the verdict, of those with a number if there is one."""
        return next((one for one in self.findings if one.found and one.verdict == self.verdict), self.findings[0])

    @property
    def commands(self) -> list[str]:
        return list(dict.fromkeys(one.command for one in self.findings))


def judge(claims: Claims, board: Board, registry: Registry) -> list[Judged]:
    """Return all claims with what the records say of them.  The intervals of one claim hold together: each has the
    level 1 - 0.05 / n for the n measurements that have a number (Bonferroni)."""
    tables, judged = Tables(board, registry), []
    for claim in claims.claim:
        measured = [
            (suite, test, sample)
            for every in claim.test
            for suite, test in every.expanded(claims.groups, registry)
            for sample in measure(test, suite, tables)
        ]
        n = sum(isinstance(sample, Sample) for *_, sample in measured)
        judged.append(Judged(claim, [
            _finding(test, suite, sample, 1 - (1 - LEVEL) / max(1, n), _command(board, suite, test, sample))
            for suite, test, sample in measured
        ]))  # fmt: skip
    return judged


def _command(board: Board, suite: Suite, test: Measurement, sample: Sample | Lack) -> str:
    """Return the command that computes a finding: that of the board where it has one, or one for what is lacking."""
    known = board.sections[(board.sections.suite == suite.name) & (board.sections.dataset == suite.dataset)].command
    if isinstance(sample, Sample) and len(known):
        return str(known.iloc[0])
    methods = set[str]() if isinstance(test, Order) else {split(one)[0] for one in (*test.a, *test.b)}
    return command_of(suite.name, adding(methods, suite), suite.dataset in board.needs_data)


def _finding(test: Measurement, suite: Suite, sample: Sample | Lack, level: float, command: str) -> Finding:
    if isinstance(sample, Lack):
        return Finding(test, suite, command, sample.reason)
    a, b = sample.side(sample.a), sample.side(sample.b)
    if sample.of is spread:
        found = spread_ratio(a, len(sample.a), b, len(sample.b), level) if a and b else None
    else:
        found = jackknife(sample.number, sample.strata, level)
    if found is None:
        return Finding(test, suite, command, "the number is not defined: nothing varied")
    if sample.logs:
        a, b = None if a is None else math.exp(a), None if b is None else math.exp(b)
        low, high = (None if end is None else math.exp(end) for end in (found.low, found.high))
        found = Interval(math.exp(found.mean), low, high, found.n)
    reason = "" if found.low is not None else f"no interval over {found.n} {sample.over}"
    return Finding(test, suite, command, reason, sample, a, b, found)
