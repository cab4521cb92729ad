"""Short lists of numbers with ties, as hypothesis draws them."""

from __future__ import annotations

from hypothesis import strategies as st

small_floats = st.floats(-5, 5, allow_nan=False).map(lambda x: round(x, 1))


def vectors(minimum: int = 2, maximum: int = 12) -> st.SearchStrategy[tuple[list[float], list[float]]]:
    return st.integers(minimum, maximum).flatmap(
        lambda n: st.tuples(
            st.lists(small_floats, min_size=n, max_size=n), st.lists(small_floats, min_size=n, max_size=n)
        )
    )


def varied(*sides: list[float]) -> bool:
    return all(len(set(side)) > 1 for side in sides)
