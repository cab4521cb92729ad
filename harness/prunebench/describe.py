"""What a plugin declares, in the words of a reader: shared by `prunebench list NAME` and the pages of reference."""

from collections.abc import Mapping
from typing import Any

from prunebench.specs import Param, PluginSpec, ScorerSpec


def plugin_facts(spec: PluginSpec) -> dict[str, str]:
    """Return the facts that a spec states, by their names."""
    facts = {}
    if hasattr(spec, "needs"):
        facts["reads"] = ", ".join(sorted(spec.needs)) or "nothing"
    if isinstance(spec, ScorerSpec):
        facts |= {
            "kind of method": spec.family,
            "returns": "an order, best first" if spec.output == "order" else "scores, higher = keep first",
            "keeps first": f"{spec.favours} samples" if spec.favours else "not stated",
            "selector": spec.selector + assigned(spec.selector_params),
            "random": "yes" if spec.stochastic else "no",
            "depends on the budget": "yes" if spec.budget_dependent else "no",
            "time grows as": spec.cost,
            "needs at least": f"{spec.min_samples} samples" if spec.min_samples > 1 else "",
        }
    elif hasattr(spec, "stochastic"):
        facts["random"] = "yes" if spec.stochastic else "no"
    facts["how to obtain"] = getattr(spec, "obtain", "")
    return {name: text for name, text in facts.items() if text}


def counted(n: int, what: str) -> str:
    """Return how many there are of something: "1 cell", "2 cells", "2 comparisons of scores"."""
    noun, *rest = what.split(" ")
    return " ".join([str(n), noun if n == 1 else f"{noun}s", *rest])


def assigned(values: Mapping[str, Any]) -> str:
    """Return parameters with their values in parentheses, with a space before, or nothing."""
    return f" ({', '.join(f'{name} = {value}' for name, value in values.items())})" if values else ""


def allowed(param: Param) -> str:
    """Return which values a parameter takes."""
    if param.choices:
        return ", ".join(map(str, param.choices))
    bounds = [f"at least {param.minimum:g}"] if param.minimum is not None else []
    bounds += [f"at most {param.maximum:g}"] if param.maximum is not None else []
    kind = type(param.default).__name__ if param.default is not None else "any"
    return ", ".join(filter(None, [kind, " and ".join(bounds)])) + (f"; {param.unit}" if param.unit else "")
