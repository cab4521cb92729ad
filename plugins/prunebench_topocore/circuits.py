"""A basis of least weight among the triangles of a flag complex, kept up while vertices arrive.

dim H1 = edges - vertices + b0 - rank(boundary of the triangles), and each term is the rank function of a matroid, so
a sweep over the codensity that keeps a basis of least length tells where it changes: a triangle enters the basis, or it
closes a circuit (a 2-cycle over F2) and evicts the largest member.  Every other triangle closes one, nearly all
of them the smallest circuit there is, a tetrahedron, which is recognised without algebra.  Reduced columns and the
combinations of triangles that give them are short, so both are lists in one growing array.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .forest import starts

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Buffers = tuple[Ints, Ints]
Lists = tuple[Ints, Ints]  # entries one after another, and int64 [k, 2]: where each list starts, and its length

_WIDEST = 512  # vertices with more neighbours than this go without the table of pairs


@njit(cache=True, nogil=True)
def _star(p: int, lower: Ints, first: Ints, place: Ints, rank_of_length: Ints, found: Ints) -> tuple[Ints, Ints]:
    """Return a buffer of the triangles whose upper corner is p, and their order by length.

    A row is (edge p u, edge p v, edge u v); equal longest edges are told apart by the second longest.
    """
    count = 0
    for e in range(first[p], first[p + 1]):
        place[lower[e]] = e
    for e in range(first[p], first[p + 1]):
        u = lower[e]
        for f in range(first[u], first[u + 1]):
            if place[lower[f]] >= 0:
                if count == len(found):
                    found = np.concatenate((found, np.empty_like(found)))
                found[count, 0], found[count, 1], found[count, 2] = e, place[lower[f]], f
                count += 1
    for e in range(first[p], first[p + 1]):
        place[lower[e]] = -1
    keys = np.empty(count, dtype=np.int64)
    for t in range(count):
        longest, second, _ = _falling(
            rank_of_length[found[t, 0]], rank_of_length[found[t, 1]], rank_of_length[found[t, 2]]
        )
        keys[t] = longest * len(lower) + second
    return found, np.argsort(keys)


@njit(cache=True, nogil=True, inline="always")
def _falling(a: int, b: int, c: int) -> tuple[int, int, int]:
    """Return three numbers, the largest first."""
    if a < b:
        a, b = b, a
    if b < c:
        b, c = c, b
    if a < b:
        a, b = b, a
    return a, b, c


@njit(cache=True, nogil=True)
def _closes_tetrahedron(paired: Flags, i: int, j: int, k: int) -> bool:
    """Tell whether the i-th and j-th of k neighbours have both been paired with a third one.

    Then the triangle is the sum of three that came before it and are no longer: it can neither enter nor evict.
    """
    shared = False
    for d in range(k):
        shared |= paired[i, d] and paired[j, d]
    return shared


@njit(cache=True, nogil=True)
def _added(pool: Ints, used: int, entries: Ints, count: int) -> Ints:
    """Append `count` entries at `used` and return the pool, grown where it was full."""
    if used + count > len(pool):
        grown = np.empty(2 * (used + count), dtype=np.int64)
        grown[:used] = pool[:used]
        pool = grown
    pool[used : used + count] = entries[:count]
    return pool


@njit(cache=True, nogil=True)
def _summed(one: Ints, n_one: int, pool: Ints, start: int, length: int, out: Ints) -> int:
    """Write the sum over F2 of two falling lists into `out` and return its length."""
    i, j, count = 0, start, 0
    end = start + length
    while i < n_one or j < end:
        if j == end or (i < n_one and one[i] > pool[j]):
            out[count] = one[i]
            i += 1
        elif i == n_one or pool[j] > one[i]:
            out[count] = pool[j]
            j += 1
        else:
            i += 1
            j += 1
            continue
        count += 1
    return count


@njit(cache=True, nogil=True)
def _reduced(
    column: Buffers, member: Buffers, pivot: Ints, columns: Lists, members: Lists
) -> tuple[tuple[Ints, Ints, int], tuple[Ints, Ints, int]]:
    """Reduce the column of three entries in the first buffer, and note which triangles were added to it.

    Returns for the column and for the combination: the buffer that holds it, the spare one, and its length.
    """
    one, other = column
    held, spare = member
    n_column, n_member = 3, 0
    (columns_pool, column_at), (members_pool, member_at) = columns, members
    while n_column > 0 and pivot[one[0]] >= 0:
        slot = pivot[one[0]]
        n_column = _summed(one, n_column, columns_pool, column_at[slot, 0], column_at[slot, 1], other)
        n_member = _summed(held, n_member, members_pool, member_at[slot, 0], member_at[slot, 1], spare)
        one, other = other, one
        held, spare = spare, held
    return (one, other, n_column), (held, spare, n_member)


@njit(cache=True, nogil=True)
def _worst(member: Ints, n_member: int, longest: Ints, rank_of_length: Ints) -> int:
    """Return the member of a circuit whose longest edge is the longest of all."""
    worst: int = member[0]
    for q in range(1, n_member):
        if rank_of_length[longest[member[q]]] > rank_of_length[longest[worst]]:
            worst = member[q]
    return worst


@njit(cache=True, nogil=True)
def _noted(holders: Ints, used: int, head: Ints, entries: Ints, count: int, slot: int) -> tuple[Ints, int]:
    """Put `slot` in front of the list of those that hold each of `count` entries; a row is (slot, next row)."""
    if used + count > len(holders):
        holders = np.concatenate((holders, np.empty((used + count, 2), dtype=np.int64)))
    for q in range(count):
        holders[used, 0], holders[used, 1] = slot, head[entries[q]]
        head[entries[q]] = used
        used += 1
    return holders, used


@njit(cache=True, nogil=True)
def basis_masses(n: int, lower: Ints, upper: Ints, rank_of_length: Ints) -> tuple[Ints, Ints]:
    """Sweep the flag complex of a graph and return the masses of minus the rank of its triangles' boundary.

    n: number of vertices, numbered in the order of codensity.  lower, upper: int64 [m], the ends of every edge, sorted
    by the upper end, then by length.  rank_of_length: int64 [m], the place of each edge in the order of lengths; the
    longest edge of a triangle is its weight.  Returns int64 [k, 2], (longest edge, upper corner), of the triangles
    that enter, a mass of -1 each, and of the triangles that are evicted, with the corner of those that evict them, a
    mass of +1 each.
    """
    m = len(lower)
    first, place = starts(n, upper), np.full(n, -1, dtype=np.int64)
    found, paired = np.empty((64, 3), dtype=np.int64), np.zeros((_WIDEST, _WIDEST), dtype=np.bool_)
    columns, members = np.empty(8 * m + 8, dtype=np.int64), np.empty(4 * m + 8, dtype=np.int64)
    column_at, member_at = np.zeros((m + 1, 2), dtype=np.int64), np.zeros((m + 1, 2), dtype=np.int64)  # start, length
    holders, head = np.empty((4 * m + 8, 2), dtype=np.int64), np.full(m + 1, -1, dtype=np.int64)
    treated = np.full(m + 1, -1, dtype=np.int64)
    columns_used, members_used, holders_used, size = 0, 0, 0, 0
    pivot, longest = np.full(m, -1, dtype=np.int64), np.empty(m, dtype=np.int64)
    column, spare = np.empty(m + 3, dtype=np.int64), np.empty(m + 3, dtype=np.int64)
    member, spare_member = np.empty(m + 1, dtype=np.int64), np.empty(m + 1, dtype=np.int64)
    entered, evicted = [(0, 0) for _ in range(0)], [(0, 0) for _ in range(0)]
    for p in range(n):
        start, k = first[p], first[p + 1] - first[p]
        found, order = _star(p, lower, first, place, rank_of_length, found)
        for t in order:
            a, b, c = found[t]
            if k <= _WIDEST:
                known = _closes_tetrahedron(paired, a - start, b - start, k)
                paired[a - start, b - start] = paired[b - start, a - start] = True
                if known:
                    continue
            top = a if rank_of_length[a] > rank_of_length[b] else b
            top = top if rank_of_length[top] > rank_of_length[c] else c
            # Rows stand in the order of the sweep, which makes the reduction short.
            column[0], column[1], column[2] = _falling(a, b, c)
            (column, spare, n_column), (member, spare_member, n_member) = _reduced(
                (column, spare), (member, spare_member), pivot, (columns, column_at), (members, member_at)
            )
            if n_column > 0:
                # A new slot has the highest number, so it goes in front of a falling list.
                member[1 : n_member + 1] = member[:n_member].copy()
                member[0], pivot[column[0]], longest[size] = size, size, top
                columns = _added(columns, columns_used, column, n_column)
                members = _added(members, members_used, member, n_member + 1)
                holders, holders_used = _noted(holders, holders_used, head, member, n_member + 1, size)
                column_at[size, 0], column_at[size, 1] = columns_used, n_column
                member_at[size, 0], member_at[size, 1] = members_used, n_member + 1
                columns_used, members_used, size = columns_used + n_column, members_used + n_member + 1, size + 1
                entered.append((top, p))
                continue
            worst = _worst(member, n_member, longest, rank_of_length)
            if rank_of_length[longest[worst]] <= rank_of_length[top]:
                continue
            entered.append((top, p))
            evicted.append((longest[worst], p))
            # The evicted triangle is the sum of the new one and the rest of the circuit; the new one takes its number.
            longest[worst] = top
            rest, row = _without(member, n_member, worst), head[worst]
            while row >= 0:
                slot, row = holders[row]
                if treated[slot] == len(evicted) or not _holds(members, member_at[slot, 0], member_at[slot, 1], worst):
                    continue
                treated[slot] = len(evicted)
                count = _summed(member, rest, members, member_at[slot, 0], member_at[slot, 1], spare_member)
                members = _added(members, members_used, spare_member, count)
                member_at[slot, 0], member_at[slot, 1] = members_used, count
                members_used += count
                holders, holders_used = _noted(holders, holders_used, head, member, rest, slot)
        if k <= _WIDEST:
            paired[:k, :k] = False
    return _rows(entered), _rows(evicted)


@njit(cache=True, nogil=True)
def _rows(pairs: list[tuple[int, int]]) -> Ints:
    rows = np.empty((len(pairs), 2), dtype=np.int64)
    for k in range(len(pairs)):
        rows[k, 0], rows[k, 1] = pairs[k]
    return rows


@njit(cache=True, nogil=True)
def _without(entries: Ints, count: int, dropped: int) -> int:
    kept = 0
    for k in range(count):
        if entries[k] != dropped:
            entries[kept] = entries[k]
            kept += 1
    return kept


@njit(cache=True, nogil=True)
def _holds(pool: Ints, start: int, length: int, wanted: int) -> bool:
    for k in range(start, start + length):
        if pool[k] == wanted:
            return True
        if pool[k] < wanted:
            return False
    return False
