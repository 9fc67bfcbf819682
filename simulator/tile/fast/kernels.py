"""Loops over values that do in one pass what takes torch a pass for each step; compiled when imported.

They need numba, which brings its own compiler. `simulator.tile.path` decides when they run, `arrays.py` calls
them with tensors. Every operation and its rounding is that of the torch code that they stand in for, so the
numbers are equal bit for bit (sums excepted, which are added in another order).

They are all in this file, since numba keeps what it compiled until the file changes, whatever its imports do.
Arguments are numbers and the addresses of float32 values in contiguous memory. A factor `[R, C]` belongs to
values `[rows, length]`: row r has the factor's row `r // div % R`; C is 1 or the length. If it has a period,
the factor is `[period]`, which belongs to the columns of any row, time and again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from simulator.tile.fast.calls import Kernel, layout
from simulator.tile.noise import LANES

Floats = NDArray[np.float32]
Words = NDArray[np.uint64]
Flags = NDArray[np.uint8]

_WORDS = 1024
_CHUNK = 4 * _WORDS  # values at once: their noise stays in the first-level cache
_ADDENDS = 16  # of a sum, at once
_SEEDING_ROUNDS = 12
_NEXT_TASK, _COUNT, _DONE = 0, 1, 2  # the fields that threads change


# --- shared memory ------------------------------------------------------------------------------------------

_shared_layout = layout({})


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(_typing: Any, address: Any) -> Any:
    """An address as a pointer."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(address), generate


@intrinsic  # type: ignore[untyped-decorator]
def _add(_typing: Any, memory: Any, _field: Any, _value: Any) -> Any:
    """Add to one of the first fields of the shared memory, and return what it was; threads do not collide.

    A thread that learns that all tasks are done sees what they wrote.
    """

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        start = builder.bitcast(arguments[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", builder.gep(start, [arguments[1]]), arguments[2], "acq_rel")

    return types.int64(memory, types.int64, types.int64), generate


# A part of a kernel is compiled with it, and not at all where an earlier process left the compiled kernel.
_part: Callable[[Any], Any] = njit(nogil=True, error_model="numpy")


def _shared(function: Any) -> Any:
    """Compile what a thread does, as C calls it."""
    try:
        return cfunc(types.void(types.voidptr), cache=True)(function)
    except RuntimeError:  # nowhere to keep it
        return cfunc(types.void(types.voidptr))(function)


@_part
def _floats(address: int, count: int) -> Any:
    return carray(_pointer(address), count, np.float32)


# --- random words -------------------------------------------------------------------------------------------


@intrinsic  # type: ignore[untyped-decorator]
def _draw_words(_typing: Any, state: Any, words: Any, _rounds: Any) -> Any:
    """Draw the next words of all lanes of SFC64 (Doty-Humphrey, PractRand), one or more rounds.

    A loop over vectors, which compilers do not make of a loop over lanes: four for the state `[4, lanes]`,
    one for the words of a round.
    """

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        vector, integer = ir.VectorType(ir.IntType(64), LANES), ir.IntType(64)
        states, drawn = (builder.bitcast(argument, vector.as_pointer()) for argument in arguments[:2])

        def all_lanes(value: int) -> Any:
            return ir.Constant(vector, [value] * LANES)

        def element(start: Any, index: Any) -> Any:
            return builder.gep(start, [index if isinstance(index, ir.Value) else ir.Constant(integer, index)])

        before = [builder.load(element(states, index), align=8) for index in range(4)]
        entry, loop, end = builder.basic_block, *map(builder.append_basic_block, ("loop", "end"))
        builder.branch(loop)
        builder.position_at_end(loop)
        done = builder.phi(integer)
        done.add_incoming(ir.Constant(integer, 0), entry)
        a, b, c, counter = lanes = [builder.phi(vector) for _ in before]
        word = builder.add(builder.add(a, b), counter)
        turned = builder.or_(builder.shl(c, all_lanes(24)), builder.lshr(c, all_lanes(40)))
        after = [
            builder.xor(b, builder.lshr(b, all_lanes(11))),
            builder.add(c, builder.shl(c, all_lanes(3))),
            builder.add(turned, word),
            builder.add(counter, all_lanes(1)),
        ]
        builder.store(word, element(drawn, done), align=8)
        more = builder.add(done, ir.Constant(integer, 1))
        done.add_incoming(more, loop)
        for lane, old, new in zip(lanes, before, after, strict=True):
            lane.add_incoming(old, entry)
            lane.add_incoming(new, loop)
        builder.cbranch(builder.icmp_signed("<", more, arguments[2]), loop, end)
        builder.position_at_end(end)
        for index, new in enumerate(after):
            builder.store(new, element(states, index), align=8)
        return context.get_dummy_value()

    return types.void(state, words, types.int64), generate


@_part
def _seed(seeds: int, state: Words, words: Words) -> None:
    """Make the lanes' states of their seeds `[lanes, 3]`, as numpy does, and draw the words that it drops."""
    given = carray(_pointer(seeds), 3 * LANES, np.uint64)
    for lane in range(LANES):
        for index in range(3):
            state[index * LANES + lane] = given[3 * lane + index]
        state[3 * LANES + lane] = 1
    _draw_words(_pointer(state.ctypes.data), _pointer(words.ctypes.data), _SEEDING_ROUNDS)


# --- inputs -------------------------------------------------------------------------------------------------

_INPUTS = {
    "values": "P",  # [rows, length], with a stride between rows
    "stride": "q",
    "rows": "q",
    "length": "q",
    "block": "q",  # values in a task, of one row or of whole rows
    "result": "P",  # [rows, length]
    "scale": "d",  # what the values are divided by
    "limit": "d",  # where they are clipped before they are rounded
    "step": "d",  # of the grid, 0 without rounding
}
_inputs_layout = layout(_INPUTS)


@_part
def _convert_inputs(values: Floats, result: Floats, scale: float, limit: float, step: float) -> None:
    if step > 0:
        for i in range(values.size):
            value = max(min(values[i] / scale, limit), -limit)
            result[i] = np.rint(value / step) * step
    else:
        for i in range(values.size):
            result[i] = max(min(values[i] / scale, limit), -limit)


@_shared
def _inputs_share(memory: Any) -> None:
    job = carray(memory, 1, _inputs_layout)[0]
    in_a_row, together = (job.length + job.block - 1) // job.block, max(1, job.block // job.length)
    task = _add(memory, _NEXT_TASK, 1)
    while task // in_a_row * together < job.rows:
        start, first = task // in_a_row * together, task % in_a_row * job.block
        size = min(job.block, job.length - first)
        for row in range(start, min(job.rows, start + together)):
            _convert_inputs(
                _floats(job.values + 4 * (row * job.stride + first), size),
                _floats(job.result + 4 * (row * job.length + first), size),
                np.float32(job.scale),
                np.float32(job.limit),
                np.float32(job.step),
            )
        task = _add(memory, _NEXT_TASK, 1)


convert_inputs = Kernel(_INPUTS, _inputs_share)  # `round(clip(values / scale))`


# --- the drop along the wires -------------------------------------------------------------------------------

_DROP = {
    "currents": "P",  # runs of values, with a stride between them
    "currents_stride": "q",
    "drop": "P",  # the currents weighted by the positions of their inputs
    "drop_stride": "q",
    "load": "P",  # of the lines
    "load_stride": "q",
    "result": "P",  # [runs, size]
    "runs": "q",
    "size": "q",
    "block": "q",  # runs in a task
    "load_ratio": "d",  # factor of the load
    "strength": "d",  # factor of the drop
}
_drop_layout = layout(_DROP)


@_part
def _subtract_drop(  # noqa: PLR0917 - compiled code takes no keywords
    currents: Floats, drop: Floats, load: Floats, result: Floats, load_ratio: float, strength: float
) -> None:
    third, second, first = np.float32(0.05), np.float32(0.2), np.float32(0.5)
    for i in range(currents.size):
        own = load[i] * load_ratio
        result[i] = currents[i] - drop[i] * (own * (own * (third * own - second) + first)) * strength


@_shared
def _drop_share(memory: Any) -> None:
    job = carray(memory, 1, _drop_layout)[0]
    task = _add(memory, _NEXT_TASK, 1)
    while task * job.block < job.runs:
        for run in range(task * job.block, min(job.runs, (task + 1) * job.block)):
            _subtract_drop(
                _floats(job.currents + 4 * run * job.currents_stride, job.size),
                _floats(job.drop + 4 * run * job.drop_stride, job.size),
                _floats(job.load + 4 * run * job.load_stride, job.size),
                _floats(job.result + 4 * run * job.size, job.size),
                np.float32(job.load_ratio),
                np.float32(job.strength),
            )
        task = _add(memory, _NEXT_TASK, 1)


subtract_drop = Kernel(_DROP, _drop_share)  # `currents - strength * drop * p(load_ratio * load)`


# --- outputs ------------------------------------------------------------------------------------------------

_OUTPUTS = {
    "values": "P",  # [rows, length], converted in place
    "result": "P",  # where they are scaled to, so that what is in place is not scaled; 0: in place
    "size": "q",  # rows times length
    "length": "q",
    "block": "q",  # values in a task, a multiple of the chunk
    "seeds": "P",  # [tasks, lanes, 3], of the random words of each; 0: no noise
    "table": "P",  # the normals, by 16 random bits
    "deviation": "P",  # factor of the normals
    "deviation_rows": "q",
    "deviation_columns": "q",
    "deviation_div": "q",
    "deviation_period": "q",
    "pooled_factor": "d",  # if not 0, the deviation is the root of the given factor, times this, plus
    "pooled_offset": "d",  # this
    "step": "d",  # of the grid, 0 without rounding
    "bound": "d",  # where values are clipped
    "limit": "d",  # from where on they count as clipped, before they are rounded
    "scale": "P",  # factor of the result
    "scale_rows": "q",
    "scale_columns": "q",
    "scale_div": "q",
    "scale_period": "q",
    "bias": "P",  # what is added to the scaled result; 0: nothing
    "bias_rows": "q",
    "bias_columns": "q",
    "bias_div": "q",
    "bias_period": "q",
    "saturated": "P",  # factor that is set to 1 where a rounded value exceeds the bound; 0: not asked for
    "saturated_rows": "q",
    "saturated_columns": "q",  # 0: flag i // div belongs to value i
    "saturated_div": "q",
    "saturated_are_two_sided": "q",  # whether negative values count too
    "inside": "P",  # [rows, length], becomes 1 where a value was not clipped, else 0; 0: not asked for
}
_outputs_layout = layout(_OUTPUTS)


@_part
def _add_noise(part: Floats, draws: Floats, factors: Floats) -> None:
    if factors.size == 1:
        factor = factors[0]
        for i in range(part.size):
            part[i] = draws[i] * factor + part[i]
    else:
        for i in range(part.size):
            part[i] = draws[i] * factors[i] + part[i]


@_part
def _add_read_noise(part: Floats, draws: Floats, inputs: Floats, factor: float, offset: float) -> None:
    for i in range(part.size):
        part[i] = draws[i] * np.sqrt(inputs[i] * factor + offset) + part[i]


@_part
def _round(part: Floats, step: float) -> None:
    for i in range(part.size):
        part[i] = np.rint(part[i] / step) * step


@_part
def _beyond(value: float, bound: float, two_sided: bool) -> bool:
    return (abs(value) if two_sided else value) > bound


@_part
def _find_saturated(part: Floats, job: Any, first: int, row: int, column: int) -> int:
    """Set flags, and say whether any; none is cleared or read, so that threads may share them."""
    bound, two_sided = np.float32(job.bound), job.saturated_are_two_sided != 0
    found = np.uint8(0)
    for i in range(part.size):
        found |= np.uint8(_beyond(part[i], bound, two_sided))
    if found == 0:
        return 0
    start, div = 0, 1  # flag (start + i) // div belongs to value i
    address = job.saturated
    if job.saturated_columns == 0:
        start, div = first, job.saturated_div
    else:
        address += row // job.saturated_div % job.saturated_rows * job.saturated_columns + column
    saturated = carray(_pointer(address), (start + part.size - 1) // div + 1, np.uint8)
    for i in range(part.size):
        if _beyond(part[i], bound, two_sided):
            saturated[(start + i) // div] = 1
    return 1


@_part
def _find_clipped(part: Floats, limit: float, inside: Flags) -> int:
    kept = 0
    for i in range(part.size):
        inside[i] = np.uint8((part[i] > -limit) & (part[i] < limit))
        kept += inside[i]
    return part.size - kept


@_part
def _clip(part: Floats, bound: float) -> None:
    for i in range(part.size):
        part[i] = max(min(part[i], bound), -bound)


@_part
def _scale(part: Floats, result: Floats, scales: Floats) -> None:
    if scales.size == 1:
        factor = scales[0]
        for i in range(part.size):
            result[i] = part[i] * factor
    else:
        for i in range(part.size):
            result[i] = part[i] * scales[i]


@_part
def _clip_and_scale(part: Floats, bound: float, scales: Floats) -> None:
    if scales.size == 1:
        factor = scales[0]
        for i in range(part.size):
            part[i] = max(min(part[i], bound), -bound) * factor
    else:
        for i in range(part.size):
            part[i] = max(min(part[i], bound), -bound) * scales[i]


@_part
def _shift(result: Floats, biases: Floats) -> None:
    if biases.size == 1:
        bias = biases[0]
        for i in range(result.size):
            result[i] += bias
    else:
        for i in range(result.size):
            result[i] += biases[i]


@_part
def _factor(  # noqa: PLR0917 - compiled code takes no keywords
    repeated: Floats, address: int, rows: int, columns: int, div: int, row: int, column: int, size: int
) -> Any:
    """The factors of some values of a row."""
    if repeated.size > 0:
        return repeated[column : column + size]
    own = row // div % rows
    if columns == 1:
        return _floats(address + 4 * own, 1)
    return _floats(address + 4 * (own * columns + column), size)


@_part
def _repeated(address: int, period: int, length: int) -> Any:
    """The factors of a row, repeated to its length, a multiple of the period; nothing without a period."""
    row = np.empty(length if period > 0 else 0, dtype=np.float32)
    factors = _floats(address, period)
    for start in range(0, row.size, max(period, 1)):
        for i in range(period):
            row[start + i] = factors[i]
    return row


@_part
def _convert_part(  # noqa: PLR0917 - compiled code takes no keywords
    job: Any, first: int, row: int, size: int, draws: Floats, deviation: Floats, scale: Floats, bias: Floats
) -> int:
    """Convert values that lie in one row, and return how many were clipped, or not 0 if one saturated."""
    column = first - row * job.length
    part = _floats(job.values + 4 * first, size)
    clipped = 0
    if job.seeds != 0:
        rows, columns, div = job.deviation_rows, job.deviation_columns, job.deviation_div
        factors = _factor(deviation, job.deviation, rows, columns, div, row, column, size)
        if job.pooled_factor == 0:
            _add_noise(part, draws, factors)
        else:
            factor, offset = np.float32(job.pooled_factor), np.float32(job.pooled_offset)
            _add_read_noise(part, draws, factors, factor, offset)
    if job.inside != 0:
        flags = carray(_pointer(job.inside + first), size, np.uint8)
        clipped = _find_clipped(part, np.float32(job.limit), flags)
    if job.step > 0:
        _round(part, np.float32(job.step))
    if job.saturated != 0:
        clipped += _find_saturated(part, job, first, row, column)
    rows, columns, div = job.scale_rows, job.scale_columns, job.scale_div
    scales = _factor(scale, job.scale, rows, columns, div, row, column, size)
    result = part
    if job.result == 0:
        _clip_and_scale(part, np.float32(job.bound), scales)
    else:
        result = _floats(job.result + 4 * first, size)
        _clip(part, np.float32(job.bound))
        _scale(part, result, scales)
    if job.bias != 0:
        rows, columns, div = job.bias_rows, job.bias_columns, job.bias_div
        _shift(result, _factor(bias, job.bias, rows, columns, div, row, column, size))
    return clipped


@_shared
def _outputs_share(memory: Any) -> None:
    job = carray(memory, 1, _outputs_layout)[0]
    noise = np.empty(_CHUNK, dtype=np.float32)
    words = np.empty(_WORDS, dtype=np.uint64)
    bits = words.view(np.uint16)
    state = np.empty(4 * LANES, dtype=np.uint64)
    table = _floats(job.table, 1 << 16)
    deviation = _repeated(job.deviation, job.deviation_period, job.length)
    scale = _repeated(job.scale, job.scale_period, job.length)
    bias = _repeated(job.bias, job.bias_period, job.length)
    clipped = 0
    task = _add(memory, _NEXT_TASK, 1)
    while task * job.block < job.size:
        if job.seeds != 0:
            _seed(job.seeds + 24 * LANES * task, state, words)
        last = min(job.size, (task + 1) * job.block)
        for first in range(task * job.block, last, _CHUNK):
            count = min(_CHUNK, last - first)
            if job.seeds != 0:
                rounds = (count + 4 * LANES - 1) // (4 * LANES)
                _draw_words(_pointer(state.ctypes.data), _pointer(words.ctypes.data), rounds)
                for i in range(count):
                    noise[i] = table[bits[i]]
            done = 0
            while done < count:
                row = (first + done) // job.length
                size = min((row + 1) * job.length - first, count) - done
                part_noise = noise[done : done + size]
                clipped += _convert_part(job, first + done, row, size, part_noise, deviation, scale, bias)
                done += size
        task = _add(memory, _NEXT_TASK, 1)
    _add(memory, _COUNT, clipped)


# `scale * clip(round(values + noise)) + bias`; counts the clipped, and not 0 if one saturated
convert_outputs = Kernel(_OUTPUTS, _outputs_share)


# --- the gradient at outputs --------------------------------------------------------------------------------

_OUTPUT_GRADIENTS = {
    "gradient": "P",  # [rows, length], what arrives at the results
    "d_values": "P",  # [rows, length], becomes the gradient, scaled, where the value was not clipped
    "size": "q",  # rows times length; the last row may be shorter
    "length": "q",
    "block": "q",  # rows in a task
    "inside": "P",  # [rows, length], 1 where a value was not clipped; 0: nowhere
    "scale": "P",  # factor of the results
    "scale_rows": "q",
    "scale_columns": "q",
    "scale_div": "q",
    "scale_period": "q",
    "values": "P",  # [rows, length], the results before they were scaled; 0: the scale needs no gradient
    "outputs": "q",  # how many: of rows one after another, or of columns
    "columns": "q",  # whether outputs are in columns: each row has a number of vectors
    "sums": "P",  # [2, tasks or rows, length or 1], memory for sums of a task's columns, or of rows
    "d_scale": "P",  # [outputs], becomes the sums of gradient times value
    "d_bias": "P",  # [outputs], becomes the sums of the gradient; 0: not asked for
}
_output_gradients_layout = layout(_OUTPUT_GRADIENTS)


@_part
def _sum(addends: Floats) -> Any:
    """Add up memory whose size is a power of two; halves at a time, so in any vector's width. It is lost."""
    size = addends.size // 2
    while size >= _ADDENDS:
        for i in range(size):
            addends[i] += addends[i + size]
        size //= 2
    total = np.float32(0)
    for i in range(min(_ADDENDS, addends.size)):
        total += addends[i]
    return total


@_part
def _sum_of_products(one: Floats, other: Floats, addends: Floats) -> Any:
    """The sum of products of few enough numbers for the memory of addends."""
    for i in range(one.size):
        addends[i] = one[i] * other[i]
    size = _ADDENDS
    while size < one.size:
        size *= 2
    addends[one.size : size] = 0
    return _sum(addends[:size])


@_part
def _add_products(one: Floats, other: Floats, sums: Floats) -> None:
    for i in range(one.size):
        sums[i] += one[i] * other[i]


@_part
def _mask(part: Floats, inside: Flags) -> None:
    for i in range(part.size):
        part[i] = part[i] * np.float32(inside[i])


@_part
def _sum_outputs(sums: Floats, result: Floats) -> None:
    """Add up `[..., outputs]`."""
    result[:] = 0
    for first in range(0, sums.size, max(1, result.size)):
        part = sums[first : first + result.size]
        for i in range(part.size):
            result[i] += part[i]


@_part
def _add_to_sums(  # noqa: PLR0917
    gradient: Floats, values: Floats, sums: Floats, own: int, in_columns: bool, addends: Floats
) -> None:
    """Add products to the sums of columns that begin with their own, or to the own of a row."""
    if in_columns:
        _add_products(gradient, values, sums[own : own + gradient.size])
    else:
        sums[own] += _sum_of_products(gradient, values, addends)


@_part
def _row_gradients(  # noqa: PLR0917
    job: Any, row: int, start: int, scale: Floats, scale_sums: Floats, bias_sums: Floats, memory: Floats
) -> None:
    in_columns = job.columns != 0
    addends, ones = memory[:_CHUNK], memory[_CHUNK:]
    for column in range(0, min(job.length, job.size - row * job.length), _CHUNK):
        first = row * job.length + column
        size = min(_CHUNK, job.length - column, job.size - first)
        own = start + column if in_columns else row
        gradient = _floats(job.gradient + 4 * first, size)
        if job.values != 0:
            values = _floats(job.values + 4 * first, size)
            _add_to_sums(gradient, values, scale_sums, own, in_columns, addends)
        if job.d_bias != 0:
            _add_to_sums(gradient, ones[:size], bias_sums, own, in_columns, addends)
        d_values = _floats(job.d_values + 4 * first, size)
        rows, columns, div = job.scale_rows, job.scale_columns, job.scale_div
        _scale(gradient, d_values, _factor(scale, job.scale, rows, columns, div, row, column, size))
        if job.inside != 0:
            _mask(d_values, carray(_pointer(job.inside + first), size, np.uint8))


@_shared
def _output_gradients_share(memory: Any) -> None:
    job = carray(memory, 1, _output_gradients_layout)[0]
    addends_and_ones = np.ones(2 * _CHUNK, dtype=np.float32)
    scale = _repeated(job.scale, job.scale_period, job.length)
    count = (job.size + job.length - 1) // job.length
    tasks = (count + job.block - 1) // job.block
    each = job.length if job.columns != 0 else job.block  # sums of a task
    of_all = tasks * each if job.columns != 0 else count
    scale_sums = _floats(job.sums, of_all if job.values != 0 else 0)
    bias_sums = _floats(job.sums + 4 * of_all, of_all if job.d_bias != 0 else 0)
    task = _add(memory, _NEXT_TASK, 1)
    while task < tasks:
        scale_sums[task * each : (task + 1) * each] = 0
        bias_sums[task * each : (task + 1) * each] = 0
        for row in range(task * job.block, min(count, (task + 1) * job.block)):
            _row_gradients(job, row, task * each, scale, scale_sums, bias_sums, addends_and_ones)
        if _add(memory, _DONE, 1) == tasks - 1:
            _sum_outputs(scale_sums, _floats(job.d_scale, job.outputs if job.values != 0 else 0))
            _sum_outputs(bias_sums, _floats(job.d_bias, job.outputs if job.d_bias != 0 else 0))
        task = _add(memory, _NEXT_TASK, 1)


output_gradients = Kernel(_OUTPUT_GRADIENTS, _output_gradients_share)


# --- patches with scales of their own -----------------------------------------------------------------------

_PATCHES = {
    "x": "P",  # [samples, channels, height, width]
    "samples": "q",
    "channels": "q",
    "height": "q",
    "width": "q",
    "kernel_height": "q",
    "kernel_width": "q",
    "stride_down": "q",
    "stride_right": "q",
    "padding_above": "q",
    "padding_left": "q",
    "dilation_down": "q",
    "dilation_right": "q",
    "rows": "q",  # of positions
    "columns": "q",
    "result": "P",  # [samples, channels * kernel, positions]
    "scales": "P",  # [samples, positions], becomes the largest magnitude in each patch
    "divisor": "P",  # [samples, positions], becomes the scale, but 1 where that is 0
    "step": "d",  # of the grid, 0 without rounding
    "squares": "P",  # [samples, positions], becomes the sums of the squares of each patch; 0: not asked for
}
_patches_layout = layout(_PATCHES)


@_part
def _pad(  # noqa: PLR0917 - compiled code takes no keywords
    plane: Floats, padded: Floats, height: int, width: int, above: int, left: int, padded_width: int
) -> None:
    for row in range(height):
        start = (row + above) * padded_width + left
        inner = padded[start : start + width]
        source = plane[row * width : (row + 1) * width]
        for column in range(width):
            inner[column] = source[column]


@_part
def _unfold(padded: Floats, line: Floats, columns: int, rows: int, down: int, right: int) -> None:  # noqa: PLR0917
    """Take what lies under one element of the kernel, for all positions; strides in values."""
    for row in range(rows):
        part = line[row * columns : (row + 1) * columns]
        source = padded[row * down :]
        if right == 1:
            for column in range(columns):
                part[column] = source[column]
        else:
            for column in range(columns):
                part[column] = source[column * right]


@_part
def _convert_line(line: Floats, scales: Floats, step: float, squares: Floats) -> None:
    if step > 0:
        for position in range(line.size):
            line[position] = np.rint(line[position] / scales[position] / step) * step
    else:
        for position in range(line.size):
            line[position] = line[position] / scales[position]
    for position in range(squares.size):
        squares[position] += line[position] * line[position]


@_part
def _raise(maxima: Floats, values: Floats) -> None:
    for i in range(maxima.size):
        maxima[i] = max(maxima[i], abs(values[i]))


@_part
def _make_divisor(scales: Floats, divisor: Floats) -> None:
    for i in range(scales.size):
        divisor[i] = scales[i] if scales[i] > 0 else np.float32(1)


@_part
def _convert_sample(  # noqa: PLR0917 - compiled code takes no keywords
    job: Any, sample: int, padded: Floats, largest: Floats, line: Floats, squares: Floats
) -> None:
    """Find the scales of a sample's patches, and convert them."""
    positions, area = job.rows * job.columns, job.height * job.width
    width, down, right = job.width + 2 * job.padding_left, job.dilation_down, job.dilation_right
    first = sample * job.channels
    largest[:] = 0
    for channel in range(job.channels):
        _raise(largest, _floats(job.x + 4 * (first + channel) * area, area))
    _pad(largest, padded, job.height, job.width, job.padding_above, job.padding_left, width)
    scales = _floats(job.scales + 4 * sample * positions, positions)
    scales[:] = 0
    for y in range(job.kernel_height):
        for x in range(job.kernel_width):
            under = padded[y * down * width + x * right :]
            _unfold(under, line, job.columns, job.rows, job.stride_down * width, job.stride_right)
            _raise(scales, line)
    divisor = _floats(job.divisor + 4 * sample * positions, positions)
    _make_divisor(scales, divisor)
    squares[:] = 0
    result = job.result + 4 * first * job.kernel_height * job.kernel_width * positions
    for channel in range(job.channels):
        plane = _floats(job.x + 4 * (first + channel) * area, area)
        _pad(plane, padded, job.height, job.width, job.padding_above, job.padding_left, width)
        for y in range(job.kernel_height):
            for x in range(job.kernel_width):
                converted = _floats(result, positions)
                under = padded[y * down * width + x * right :]
                _unfold(under, converted, job.columns, job.rows, job.stride_down * width, job.stride_right)
                _convert_line(converted, divisor, np.float32(job.step), squares)
                result += 4 * positions


@_shared
def _patches_share(memory: Any) -> None:
    job = carray(memory, 1, _patches_layout)[0]
    positions = job.rows * job.columns
    size = (job.height + 2 * job.padding_above) * (job.width + 2 * job.padding_left)
    padded = np.zeros(size, dtype=np.float32)
    largest = np.empty(job.height * job.width, dtype=np.float32)
    line = np.empty(positions, dtype=np.float32)
    squares = np.empty(positions if job.squares != 0 else 0, dtype=np.float32)  # of this thread alone
    sample = _add(memory, _NEXT_TASK, 1)
    while sample < job.samples:
        _convert_sample(job, sample, padded, largest, line, squares)
        _floats(job.squares + 4 * sample * positions, squares.size)[:] = squares
        sample = _add(memory, _NEXT_TASK, 1)


convert_patches = Kernel(_PATCHES, _patches_share)  # `round(patches / largest magnitude)`


# --- the gradient at an input range -------------------------------------------------------------------------

_RANGE = {
    "x": "P",  # inputs [rows, length], with a stride between rows
    "stride": "q",
    "rows": "q",
    "length": "q",
    "gradient": "P",  # [rows, length], what arrives at the normalised inputs
    "block": "q",  # values in a task, of one row or of whole rows
    "d_x": "P",  # becomes `gradient / limit` where `|x| < slack_limit`, 0 elsewhere; 0: not asked for
    "limit": "d",  # the range
    "slack_limit": "d",  # a little above
    "outward": "P",  # [tasks], memory for sums
}
_range_layout = layout(_RANGE)


@_part
def _pass_gradient(x: Floats, gradient: Floats, d_x: Floats, limit: float, slack_limit: float) -> int:
    beyond = 0
    for i in range(x.size):
        beyond += int(abs(x[i]) >= limit)
    for i in range(d_x.size):
        inside = (x[i] > -slack_limit) & (x[i] < slack_limit)
        d_x[i] = (gradient[i] if inside else np.float32(0)) / limit
    return beyond


@_part
def _outward(x: Floats, gradient: Floats, limit: float, wanted: Floats) -> Any:
    """The sum of `min(gradient * sign(x), 0)` over `|x| >= limit`; `wanted` is memory for the addends."""
    for i in range(x.size):
        want = min(-gradient[i] if x[i] < 0 else gradient[i], np.float32(0))
        wanted[i] = want if abs(x[i]) >= limit else np.float32(0)
    wanted[x.size :] = 0
    return _sum(wanted)


@_part
def _sum_tasks(memory: Any, sums: Any) -> None:
    """What the call adds up to, in the order of its tasks."""
    total = np.float64(0)
    for task in range(sums.size):
        total += sums[task]
    carray(memory, 1, _shared_layout)[0].total = total


@_shared
def _range_share(memory: Any) -> None:
    job = carray(memory, 1, _range_layout)[0]
    in_a_row, together = (job.length + job.block - 1) // job.block, max(1, job.block // job.length)
    tasks = in_a_row * ((job.rows + together - 1) // together)
    limit, slack_limit = np.float32(job.limit), np.float32(job.slack_limit)
    wanted = np.empty(_CHUNK, dtype=np.float32)
    sums = carray(_pointer(job.outward), tasks, np.float64)
    beyond = 0
    task = _add(memory, _NEXT_TASK, 1)
    while task < tasks:
        start, column = task // in_a_row * together, task % in_a_row * job.block
        outward = np.float64(0)
        for row in range(start, min(job.rows, start + together)):
            last = min(job.length, column + job.block)
            for first in range(column, last, _CHUNK):
                size = min(_CHUNK, last - first)
                position = row * job.length + first
                x = _floats(job.x + 4 * (row * job.stride + first), size)
                gradient = _floats(job.gradient + 4 * position, size)
                d_x = _floats(job.d_x + 4 * position, size if job.d_x != 0 else 0)
                found = _pass_gradient(x, gradient, d_x, limit, slack_limit)
                beyond += found
                if found > 0:
                    outward += _outward(x, gradient, limit, wanted)
        sums[task] = outward
        if _add(memory, _DONE, 1) == tasks - 1:
            _sum_tasks(memory, sums)
        task = _add(memory, _NEXT_TASK, 1)
    _add(memory, _COUNT, beyond)


# counts the inputs beyond the range, and adds up `min(gradient * sign(x), 0)` over `|x| >= limit`
range_gradients = Kernel(_RANGE, _range_share)


# --- the same for a layer whose inputs need no gradient -----------------------------------------------------

_FEW = {
    "x": "P",  # inputs [samples, channels, depth, height, width], with strides
    "gradient": "P",  # what arrives at the products, [samples, outputs, positions...], with strides
    "weights": "P",  # [outputs, channels, kernel...], with strides
    "geometry": "P",  # integers, as listed below
    "samples": "q",
    "limit": "d",  # the range
    "most": "q",  # clipped inputs that are looked at; with more the call ends early
    "outward": "P",  # [samples], memory for sums
}
_few_layout = layout(_FEW)

# At `geometry`: 0 channels, 1 outputs, 2 to 4 the inputs' extent, 5 to 7 positions, 8 to 10 the kernel's
# extent, 11 to 13 strides, 14 to 16 padding, 17 to 19 dilation; and how far apart neighbours are in memory,
# along each dimension: from 20 of inputs, from 25 of the gradient, from 30 to 34 of weights.


@_part
def _gradient_at(  # noqa: PLR0917 - compiled code takes no keywords
    gradient: int, weights: int, geometry: Any, channel: int, z: int, y: int, x: int
) -> Any:
    """The gradient at one input, which is at address `gradient` in the first output."""
    positions, kernel, stride = geometry[5:8], geometry[8:11], geometry[11:14]
    padding, dilation = geometry[14:17], geometry[17:20]
    gradient_strides, weight_strides = geometry[25:30], geometry[30:35]
    total = np.float32(0)
    for i in range(kernel[0]):
        depth = z + padding[0] - i * dilation[0]
        if depth < 0 or depth % stride[0] != 0 or depth // stride[0] >= positions[0]:
            continue
        for j in range(kernel[1]):
            row = y + padding[1] - j * dilation[1]
            if row < 0 or row % stride[1] != 0 or row // stride[1] >= positions[1]:
                continue
            for k in range(kernel[2]):
                column = x + padding[2] - k * dilation[2]
                if column < 0 or column % stride[2] != 0 or column // stride[2] >= positions[2]:
                    continue
                one = depth // stride[0] * gradient_strides[2]
                one += row // stride[1] * gradient_strides[3] + column // stride[2] * gradient_strides[4]
                other = channel * weight_strides[1]
                other += i * weight_strides[2] + j * weight_strides[3] + k * weight_strides[4]
                for _ in range(geometry[1]):
                    total += _floats(gradient + 4 * one, 1)[0] * _floats(weights + 4 * other, 1)[0]
                    one += gradient_strides[1]
                    other += weight_strides[0]
    return total


@_shared
def _few_share(memory: Any) -> None:
    job = carray(memory, 1, _few_layout)[0]
    geometry = carray(_pointer(job.geometry), 35, np.int64)
    size, x_strides = geometry[2:5], geometry[20:25]
    limit = np.float32(job.limit)
    sums = carray(_pointer(job.outward), job.samples, np.float64)
    task = _add(memory, _NEXT_TASK, 1)
    while task < job.samples and _add(memory, _COUNT, 0) <= job.most:
        gradient = job.gradient + 4 * task * geometry[25]
        outward, clipped = np.float64(0), 0
        for channel in range(geometry[0]):
            for z in range(size[0]):
                for y in range(size[1]):
                    line = task * x_strides[0] + channel * x_strides[1] + z * x_strides[2] + y * x_strides[3]
                    for x in range(size[2]):
                        value = _floats(job.x + 4 * (line + x * x_strides[4]), 1)[0]
                        if abs(value) >= limit:
                            clipped += 1
                            want = _gradient_at(gradient, job.weights, geometry, channel, z, y, x)
                            outward += min(-want if value < 0 else want, np.float32(0))
        sums[task] = outward
        _add(memory, _COUNT, clipped)
        if _add(memory, _DONE, 1) == job.samples - 1:
            _sum_tasks(memory, sums)
        task = _add(memory, _NEXT_TASK, 1)


few_range_gradients = Kernel(_FEW, _few_share)  # counts and adds up as `range_gradients` does


# --- weights as a product takes them ------------------------------------------------------------------------

_LAYOUT = {
    "logical": "P",  # [outputs, inputs], with a stride between outputs
    "stride": "q",
    "outputs": "q",
    "inputs": "q",
    "scales": "P",  # what logical weights are divided by, [outputs] or [1]; 0: one
    "scale_step": "q",  # 1 or 0
    "laid_out": "P",  # [outputs, elements, channels], zero at positions without input
    "elements": "q",  # positions of each channel
    "channels": "q",
    "leading": "q",  # positions of the first channel that the inputs leave out
    "back": "q",  # whether gradients at what is laid out become gradients at logical weights
    "block": "q",  # outputs in a task
}
_layout_layout = layout(_LAYOUT)


@_part
def _lay_out(  # noqa: PLR0917
    logical: Floats, laid_out: Floats, scale: float, elements: int, leading: int, back: bool
) -> None:
    channels = laid_out.size // elements
    for element in range(elements):
        part = laid_out[element * channels : (element + 1) * channels]
        low = max(0, (leading - element + elements - 1) // elements)
        high = min(channels, (logical.size + leading - element + elements - 1) // elements)
        position = element - leading
        if back:
            for channel in range(low, high):
                logical[channel * elements + position] = part[channel] / scale
        else:
            part[:low] = 0
            for channel in range(low, high):
                part[channel] = logical[channel * elements + position] / scale
            part[high:] = 0


@_shared
def _layout_share(memory: Any) -> None:
    job = carray(memory, 1, _layout_layout)[0]
    size = job.elements * job.channels
    task = _add(memory, _NEXT_TASK, 1)
    while task * job.block < job.outputs:
        for output in range(task * job.block, min(job.outputs, (task + 1) * job.block)):
            logical = _floats(job.logical + 4 * output * job.stride, job.inputs)
            laid_out = _floats(job.laid_out + 4 * output * size, size)
            scale = np.float32(1)
            if job.scales != 0:
                scale = _floats(job.scales + 4 * output * job.scale_step, 1)[0]
            _lay_out(logical, laid_out, scale, job.elements, job.leading, job.back != 0)
        task = _add(memory, _NEXT_TASK, 1)


lay_out_weights = Kernel(_LAYOUT, _layout_share)  # channels last, divided by their scales; or back


# --- weights after an optimiser step ------------------------------------------------------------------------

_WEIGHTS = {
    "logical": "P",  # [rows, length], with a stride between rows; becomes clipped
    "stride": "q",
    "rows": "q",
    "length": "q",
    "block": "q",  # rows in a task
    "clips": "q",  # whether it is clipped at all
    "bound": "d",  # of the weights on the tile
    "scales": "P",  # [rows], what logical weights are divided by on the tile
    "largest": "d",  # magnitude of each row's weights that new scales give; 0: scales stay
}
_weights_layout = layout(_WEIGHTS)


@_part
def _clip_weights(logical: Floats, scale: float, bound: float) -> None:
    for i in range(logical.size):
        logical[i] = max(min(logical[i] / scale, bound), -bound) * scale


@_part
def _largest_weight(logical: Floats, scale: float, bound: float) -> Any:
    largest = np.float32(0)
    for i in range(logical.size):
        largest = max(largest, abs(max(min(logical[i] / scale, bound), -bound)))
    return largest


@_shared
def _weights_share(memory: Any) -> None:
    job = carray(memory, 1, _weights_layout)[0]
    bound = np.float32(job.bound)
    task = _add(memory, _NEXT_TASK, 1)
    while task * job.block < job.rows:
        for row in range(task * job.block, min(job.rows, (task + 1) * job.block)):
            logical = _floats(job.logical + 4 * row * job.stride, job.length)
            scales = _floats(job.scales + 4 * row, 1)
            scale = scales[0]
            if job.largest != 0:
                factor = _largest_weight(logical, scale, bound) / np.float32(job.largest)
                scales[0] = scale * (factor if factor > 0 else np.float32(1))
            if job.clips != 0:
                _clip_weights(logical, scale, bound)
        task = _add(memory, _NEXT_TASK, 1)


update_weights = Kernel(_WEIGHTS, _weights_share)  # clips, and remaps
