"""What papers claim, and we: the claims of claims.toml, which lies beside the registry, and how each is measured."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from msgspec import Meta, Struct
from msgspec.structs import replace

from prunebench.board.cells import NONE
from prunebench.errors import DataError, did_you_mean
from prunebench.guard import read_toml
from prunebench.registry import Registry, Suite

FILE = "claims.toml"
Text = Annotated[str, Meta(min_length=1)]
Labels = tuple[Text, ...]  # methods, as "topocore + umap"; "@name" stands for those of a group that a suite has
Keep = Annotated[str, Meta(pattern=r"^0?\.[0-9]+$")]
Pair = tuple[Text, Text]  # globs: one network of a pair matches the first, the other the second


class Measurement(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="rule"):
    """One measurement of a claim in each of `suites`: the methods `a`, or `a` beside `b`, several by their mean.
    each: of `b`, every method alone is one measurement.  called: what the sides are called, by default the methods, or
    the group that they are.  claims: whether a, or a less b, is said to be more or less than `bar`.  size: what the
    number is said to be; the claim fails where the interval stays short of it, by default of `bar`."""

    suites: Annotated[tuple[Text, ...], Meta(min_length=1)]
    a: Annotated[Labels, Meta(min_length=1)]
    b: Labels = ()
    each: bool = False
    called: tuple[str, str] = ("", "")
    claims: Literal["more", "less"] = "more"
    bar: float = 0.0
    size: float | None = None

    def expanded(self, groups: Mapping[str, Labels], registry: Registry) -> Iterator[tuple[Suite, Self]]:
        """Yield one measurement for each suite and, with `each`, for each method of `b`; groups are spelled out."""
        for name in self.suites:
            suite = suite_of(name, registry)
            has = {suite.baseline, *suite.methods, *suite.agreement.methods}
            a, b = (
                tuple(
                    label for one in side for label in (groups[one[1:]] if one[0] == "@" else [one])
                    if one[0] != "@" or split(label)[0] in has
                )
                for side in (self.a, self.b)
            )  # fmt: skip
            alone: list[Labels] = [(label,) for label in b if label not in a] if self.each else []
            for chosen in alone or [b]:
                called = (self.called[0] or _called(self.a), self.called[1] or _called(chosen if self.each else self.b))
                yield suite, replace(self, suites=(name,), a=a, b=chosen, called=called)


class Agreement(Measurement, frozen=True, tag="agreement"):
    """How far two scores of the same samples agree, or differ.  quantity, comparison: as in rank_correlation.csv.
    between, beside: pairs of networks that count for a, and for b; default: all, and those of a.  share: as a share of
    the ceiling, which is how far the seeds of the method agree without what is compared; it is taken as it is."""

    quantity: Text = "score_rho"
    comparison: Text = "cross_backbone"
    between: Pair | None = None
    beside: Pair | None = None
    share: bool = False


class Accuracy(Measurement, frozen=True, tag="accuracy"):
    """Test accuracy of what is kept, at the same seeds.  read: the network whose features were read, where it is not
    the mean over all; "other": all but the network that is trained.  statistic: the mean, or the spread over seeds."""

    keep: Keep = "0.1"
    read: Text = "mean"
    statistic: Literal["mean", "spread"] = "mean"


class Cost(Measurement, frozen=True, tag="cost"):
    """Seconds of scoring, as a ratio."""


class Order(Measurement, frozen=True, tag="order"):
    """Is the order of the methods by a metric nearer to that by the accuracy at the fractions `a` than at those of `b`?
    Several fractions are taken by their mean."""

    metric: Text

    def expanded(self, groups: Mapping[str, Labels], registry: Registry) -> Iterator[tuple[Suite, Self]]:
        """Yield one measurement for each suite."""
        called = [" and ".join(f"keep {keep}" for keep in side) for side in (self.a, self.b)]
        for name in self.suites:
            yield suite_of(name, registry), replace(self, suites=(name,), called=(called[0], called[1]))


class Diagnostic(Measurement, frozen=True, tag="diagnostic"):
    """What a method says of its own run."""

    name: Text


class Claim(Struct, frozen=True, forbid_unknown_fields=True):
    """One claim: what is said, in our words, where, and how it is measured.  remark: what a reader has to know."""

    title: Text
    source: Text
    where: Text
    says: Text
    test: Annotated[tuple[Agreement | Accuracy | Cost | Order | Diagnostic, ...], Meta(min_length=1)]
    remark: str = ""


class Picture(Struct, frozen=True, forbid_unknown_fields=True):
    """The picture of the README: the agreement of some methods in one suite beside their gain in another."""

    file: Text
    agreement: Text
    accuracy: Text
    keep: Keep
    methods: Annotated[Labels, Meta(min_length=1)]


class Claims(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file; page: where the verdict is written, beside the registry.  source: title by name."""

    page: Text
    source: dict[str, Text]
    groups: dict[str, Labels]
    claim: tuple[Claim, ...]
    picture: Picture | None = None


def _called(side: Labels) -> str:
    """Return "topological methods" for a group, else the methods."""
    return ", ".join(f"{one[1:]} methods" if one[0] == "@" else one for one in side)


def suite_of(name: str, registry: Registry) -> Suite:
    """Return a suite of the registry, or one of nothing where it has none of the name."""
    return registry.suites.get(name) or Suite(name=name, dataset=NONE, methods=())


def split(label: str) -> tuple[str, str]:
    """Return method and projector of "topocore + umap", or "-" for no projector."""
    method, _, projector = label.partition(" + ")
    return method, projector or NONE


def load_claims(registry: Registry) -> Claims | None:
    """Return the claims beside a registry, or None where it has none; raises DataError with what is wrong."""
    file = registry.file.parent / FILE
    found = read_toml(file, Claims, f"the head of {FILE} says what a claim looks like")
    if found is None:
        return None
    for claim in found.claim:
        labels = {label[1:] for test in claim.test for label in (*test.a, *test.b) if label[0] == "@"}
        for kind, named, known in (("source", {claim.source}, found.source), ("group", labels, found.groups)):
            for name in sorted(named - known.keys()):
                raise DataError(f"{file}: {claim.title}: there is no {kind} {name!r}", did_you_mean(name, known))
    return found
