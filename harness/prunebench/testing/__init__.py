"""The conformance kit: does a plugin keep the promises of its declaration? For `prunebench check` and for tests.

In a plugin's own tests:

    from prunebench.testing import parametrize_with_checks

    @parametrize_with_checks(my_plugin.prunebench_scorers())
    def test_my_plugin_keeps_its_promises(entry, check):
        check(entry)"""

from prunebench.testing.checks import checks_for
from prunebench.testing.examiner import Examiner, examine, parametrize_with_checks
from prunebench.testing.results import Check, CheckFailed, CheckResult, assert_conformant, count
from prunebench.wire import entry_of, with_defaults

__all__ = [
    "Check", "CheckFailed", "CheckResult", "Examiner", "assert_conformant", "checks_for", "count", "entry_of",
    "examine", "parametrize_with_checks", "with_defaults",
]  # fmt: skip
