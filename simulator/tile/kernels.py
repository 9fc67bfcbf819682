"""Loops over values that do in one pass what takes torch a pass for each step; compiled when imported.

They need numba (the extra `fast`), which brings its own compiler; `simulator.tile.fused` decides when they
run. Every operation and its rounding is that of the torch code that they stand in for, so the numbers are
equal bit for bit (sums of squares excepted, which are added in another order). Arrays are float32 and
contiguous. A factor `[R, C]` belongs to values `[rows, length]`: row r has the factor's row `r // div % R`;
C is 1 or the length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Words = NDArray[np.uint64]
Flags = NDArray[np.uint8]

_WORDS = 1024
_CHUNK = 4 * _WORDS  # values at once: their noise stays in the first-level cache
_SEEDING_ROUNDS = 12


def _compiled(*signature: str) -> Callable[[Any], Any]:
    """Compile for the given types now, or load what an earlier process compiled where that can be kept."""

    def compile_(function: Any) -> Any:
        try:
            return njit(*signature, nogil=True, error_model="numpy", cache=True)(function)
        except RuntimeError:  # nowhere to keep it
            return njit(*signature, nogil=True, error_model="numpy")(function)

    return compile_


@_compiled("uint64[::1](uint64[::1], uint64[::1], int64)")
def _advanced(state: Words, words: Words, count: int) -> Words:
    """Draw the next words; change and return the state."""
    a, b, c, counter = state[0], state[1], state[2], state[3]
    for index in range(count):
        word = a + b + counter
        counter += np.uint64(1)
        a = b ^ (b >> np.uint64(11))
        b = c + (c << np.uint64(3))
        c = ((c << np.uint64(24)) | (c >> np.uint64(40))) + word
        words[index] = word
    state[0], state[1], state[2], state[3] = a, b, c, counter
    return state


@_compiled("uint64[::1](uint64[::1])")
def _seeded(words: Words) -> Words:
    """The state of SFC64 (Doty-Humphrey, PractRand), as numpy seeds it with three words."""
    state = np.array([words[0], words[1], words[2], 1], dtype=np.uint64)
    _advanced(state, np.empty(_SEEDING_ROUNDS, dtype=np.uint64), _SEEDING_ROUNDS)
    return state


@_compiled(
    "int64(float32[::1], int64, uint64[:, ::1], int64, float32[::1], float32[:, ::1], int64, float32,"
    " float32, float32, float32[:, ::1], int64, uint8[:, ::1], int64, boolean, uint8[::1])"
)
def convert_outputs(  # noqa: C901, PLR0912, PLR0915, PLR0917 - one loop over chunks, a plain loop for each step
    values: Floats,
    length: int,
    seeds: Words,
    block: int,
    table: Floats,
    deviation: Floats,
    deviation_div: int,
    step: float,
    bound: float,
    limit: float,
    scale: Floats,
    scale_div: int,
    hits: Flags,
    hits_div: int,
    hits_are_two_sided: bool,
    inside: Flags,
) -> int:
    """Add noise to the values, round, clip and scale them, in place; return how many were clipped.

    Args:
        values: `[rows * length]`.
        length: values in a row.
        seeds: `[blocks, 3]`, of the random words of each block of values; `[0, 3]`: no noise.
        block: values in a block, a multiple of the chunk.
        table: the normals, by 16 random bits.
        deviation: factor of the normals.
        deviation_div: of that factor.
        step: of the grid, 0 without rounding.
        bound: where values are clipped.
        limit: from where on they count as clipped.
        scale: factor of the result.
        scale_div: of that factor.
        hits: is set to 1 where a rounded value exceeds the bound; `[0, 0]`: not asked for.
        hits_div: of that factor.
        hits_are_two_sided: whether negative values count too.
        inside: `[rows * length]`, becomes 1 where a value was not clipped; `[0]`: not asked for.
    """
    noise = np.empty(_CHUNK, dtype=np.float32)
    words = np.empty(_WORDS, dtype=np.uint64)
    bits = words.view(np.uint16)
    state = np.empty(4, dtype=np.uint64)
    clipped = 0
    for first in range(0, values.size, _CHUNK):
        count = min(_CHUNK, values.size - first)
        if seeds.shape[0] > 0:
            if first % block == 0:
                state = _seeded(seeds[first // block])
            state = _advanced(state, words, (count + 3) // 4)
            for i in range(count):
                noise[i] = table[bits[i]]
        done = 0
        while done < count:
            row = (first + done) // length
            column = first + done - row * length
            size = min(length - column, count - done)
            part = values[first + done : first + done + size]
            if seeds.shape[0] > 0:
                draws = noise[done : done + size]
                factors = deviation[row // deviation_div % deviation.shape[0]]
                if factors.size == 1:
                    factor = factors[0]
                    for i in range(size):
                        part[i] = draws[i] * factor + part[i]
                else:
                    along = factors[column : column + size]
                    for i in range(size):
                        part[i] = draws[i] * along[i] + part[i]
            if step > 0:
                for i in range(size):
                    part[i] = np.rint(part[i] / step) * step
            if hits.size > 0:
                hit_row = hits[row // hits_div % hits.shape[0]]
                if hit_row.size == 1:
                    found = np.uint8(0)
                    for i in range(size):
                        size_of = abs(part[i]) if hits_are_two_sided else part[i]
                        found |= np.uint8(size_of > bound)
                    hit_row[0] |= found
                else:
                    hit_part = hit_row[column : column + size]
                    for i in range(size):
                        size_of = abs(part[i]) if hits_are_two_sided else part[i]
                        hit_part[i] |= np.uint8(size_of > bound)
            if inside.size > 0:
                flags = inside[first + done : first + done + size]
                kept = 0
                for i in range(size):
                    flags[i] = np.uint8((part[i] > -limit) & (part[i] < limit))
                    kept += flags[i]
                clipped += size - kept
            scales = scale[row // scale_div % scale.shape[0]]
            if scales.size == 1:
                factor = scales[0]
                for i in range(size):
                    value = part[i]
                    value = min(value, bound)
                    value = max(value, -bound)
                    part[i] = value * factor
            else:
                along = scales[column : column + size]
                for i in range(size):
                    value = part[i]
                    value = min(value, bound)
                    value = max(value, -bound)
                    part[i] = value * along[i]
            done += size
    return clipped


@_compiled("void(float32[:, :, ::1], float32[:, ::1], float32, float32[:, ::1])")
def convert_vectors(values: Floats, divisor: Floats, step: float, squares: Floats) -> None:
    """Divide input vectors by their scales, and round, in place.

    Args:
        values: `[B, I, L]`, vectors of I inputs.
        divisor: `[B, L]`, their scales.
        step: of the grid, 0 without rounding.
        squares: `[B, L]` of zeros, to which the squares of each vector are added; `[0, 0]`: not asked for.
    """
    for b in range(values.shape[0]):
        scales = divisor[b]
        for i in range(values.shape[1]):
            line = values[b, i]
            if step > 0:
                for place in range(line.size):
                    line[place] = np.rint(line[place] / scales[place] / step) * step
            else:
                for place in range(line.size):
                    line[place] = line[place] / scales[place]
            if squares.size > 0:
                sums = squares[b]
                for place in range(line.size):
                    sums[place] += line[place] * line[place]


@_compiled("int64(float32[::1], float32[::1], float32[::1], float32[::1], float32, float32, boolean)")
def range_gradients(  # noqa: PLR0917 - compiled code takes no keywords
    x: Floats,
    gradient: Floats,
    d_x: Floats,
    outward: Floats,
    limit: float,
    slack_limit: float,
    wants_d_x: bool,
) -> int:
    """Pass the gradient where x is within the range, and collect what clipped inputs want.

    Args:
        x: inputs.
        gradient: what arrives at the normalised inputs.
        d_x: becomes `gradient / limit` where `|x| < slack_limit`, 0 elsewhere.
        outward: its first numbers become `gradient * sign(x)` of the inputs with `|x| >= limit`.
        limit: the range.
        slack_limit: a little above.
        wants_d_x: whether `d_x` is written.

    Returns:
        How many numbers are in `outward`.
    """
    count = 0
    for first in range(0, x.size, _CHUNK):
        part = x[first : first + _CHUNK]
        arriving = gradient[first : first + _CHUNK]
        beyond = 0
        for i in range(part.size):
            beyond += int(abs(part[i]) >= limit)
        if wants_d_x:
            passed = d_x[first : first + _CHUNK]
            for i in range(part.size):
                inside = (part[i] > -slack_limit) & (part[i] < slack_limit)
                passed[i] = (arriving[i] if inside else np.float32(0)) / limit
        if beyond > 0:
            for i in range(part.size):
                if abs(part[i]) >= limit:
                    outward[count] = arriving[i] * np.sign(part[i])
                    count += 1
    return count
