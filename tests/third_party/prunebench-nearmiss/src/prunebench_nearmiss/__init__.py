"""Near-miss margin: how much nearer the samples of another class are than those of one's own."""

from prunebench import Param, ScorerSpec, hookimpl


@hookimpl
def prunebench_scorers() -> list[ScorerSpec]:
    """Declare the method; nothing numerical is imported here."""
    return [
        ScorerSpec(
            name="near-miss-margin",
            summary="Distance to the nearest samples of other classes against that to the nearest of its own.",
            load="prunebench_nearmiss.margin:score",
            needs=frozenset({"features", "labels"}),
            params={
                "prefer": Param(
                    default="large",
                    choices=("large", "small"),
                    doc="large: samples deep inside their class first; small: those at and beyond the boundary",
                ),
                "k": Param(default=10, minimum=1, doc="neighbours of each kind", source="ReliefF, Kononenko 1994"),
            },
            cost="n^2",
            favours="clean",
            paper="Gilad-Bachrach, Navot and Tishby, Margin based feature selection, ICML 2004",
            differences="The paper takes one neighbour of each kind and half the difference of the distances.",
        ),
    ]
