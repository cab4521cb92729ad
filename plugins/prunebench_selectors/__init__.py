"""Selectors: from scores and a budget to exactly that many samples."""

from __future__ import annotations

from prunebench import Param, SelectorSpec, hookimpl

_BALANCED = Param(
    default=True,
    doc="True: every class gets its share of the budget (proportional to its size); False: one pool",
    source="DeepCore runs class-balanced by default (Guo et al. 2022); the CCS code pools all classes",
)


@hookimpl
def prunebench_selectors() -> list[SelectorSpec]:
    """Declare the bundled selectors."""
    return [
        SelectorSpec(
            name="top",
            summary="The highest-scored samples of the whole set.",
            load="prunebench_selectors.ranked:top",
            order="all",
        ),
        SelectorSpec(
            name="class_top",
            summary="The highest-scored samples of every class, classes in proportion to their size.",
            load="prunebench_selectors.ranked:class_top",
            order="class",
            paper="Guo et al., DeepCore, DEXA 2022",
        ),
        SelectorSpec(
            name="double_end",
            summary="Drop one extreme of the scores, then keep the samples next to it.",
            load="prunebench_selectors.ranked:double_end",
            params={
                "drop": Param(
                    default=0.1,
                    minimum=0.0,
                    maximum=1.0,
                    unit="fraction",
                    doc="share dropped (of a class where balanced), rounded down; dropped samples return,"
                    " those next to the cut first, only where the rest is smaller than the budget",
                    source="ours; tuned per budget in ELFS, up to 0.4 at 10% kept",
                ),
                "end": Param(
                    default="top",
                    choices=("top", "bottom"),
                    doc="top: drop the highest scores, keep the next ones downwards; bottom: drop the lowest"
                    " scores, keep the next ones upwards",
                    source="ours; the ELFS code drops the lowest AUM, which is the top of a difficulty score",
                ),
                "balanced": _BALANCED,
            },
            paper="Zheng et al., ELFS, ICLR 2025",
        ),
        SelectorSpec(
            name="random",
            summary="A uniform draw that ignores the scores.",
            load="prunebench_selectors.ranked:random",
            params={"balanced": _BALANCED},
            stochastic=True,
        ),
        SelectorSpec(
            name="strata",
            summary="Coverage-centric selection: the budget spread over strata of equal score width.",
            load="prunebench_selectors.strata:strata",
            params={
                "strata": Param(default=50, minimum=1, doc="number of strata of equal width", source="CCS code"),
                "balanced": _BALANCED,
                "cutoff": Param(
                    default=0.0,
                    minimum=0.0,
                    maximum=1.0,
                    unit="fraction",
                    doc="hard cut-off beta: share dropped before stratifying (of a class where balanced),"
                    " rounded down; dropped samples return, those next to the cut first, only where the rest"
                    " falls short",
                    source="ours: no cut; the CCS paper tunes beta (0 to 0.5) per data set and budget",
                ),
                "cutoff_end": Param(
                    default="top",
                    choices=("top", "bottom"),
                    doc="which end `cutoff` drops: top = the highest scores, which are the hardest samples of"
                    " a difficulty score (the CCS cut); bottom = the lowest. CCS cuts by AUM whatever the"
                    " score; here the key is the score itself",
                    source="CCS code drops the lowest AUM",
                ),
                "inside": Param(
                    default="random",
                    choices=("random", "score"),
                    doc="how a stratum is sampled: uniformly, or from its highest score downwards",
                    source="CCS code: uniform, unseeded; ours is seeded",
                ),
            },
            stochastic=True,
            differences="The released code closes the last stratum at 1.0001 times the maximum, which leaves the"
            " maximum out where it is not positive: here the last stratum is closed. It always cuts the lowest AUM,"
            " tunes the cut on the target accuracy, and draws without a seed; here the cut is off by default and its"
            " key is the score itself. Empty strata are counted when the budget is shared, which changes nothing, as"
            " they come first.",
            paper="Zheng et al., Coverage-centric Coreset Selection for High Pruning Rates, ICLR 2023",
        ),
    ]
