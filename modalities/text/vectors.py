"""64 bytes at a time: vector compares as intrinsics of LLVM, for kernels over text.

LLVM makes of them what the processor has, from SSE2 to AVX-512; Numba's own loops over bytes are seldom vectorised, and five
times slower. The result of a compare is one bit a byte, the first byte lowest, so what follows is arithmetic on 64-bit words.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from ...curator.backends.cpu import lean
from ...curator.columns import Bytes

_0, _64 = np.uint64(0), np.uint64(64)

_BLOCK = ir.VectorType(ir.IntType(8), 64)


def _place(context: Any, builder: Any, kind: Any, array: Any, i: Any) -> Any:
    data = context.make_array(kind)(context, builder, value=array).data
    return builder.bitcast(builder.gep(data, [i]), _BLOCK.as_pointer())


def _block(context: Any, builder: Any, kind: Any, array: Any, i: Any) -> Any:
    block = builder.load(_place(context, builder, kind, array, i))
    block.align = 1
    return block


def _all_of(builder: Any, byte: Any) -> Any:
    one = builder.insert_element(ir.Constant(_BLOCK, ir.Undefined), byte, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, ir.Constant(_BLOCK, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64))


def _within(typing_context: Any, data: Any, i: Any, first: Any, count: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, place, low, size = args
        block = builder.sub(_block(context, builder, signature.args[0], array, place), _all_of(builder, low))
        return builder.bitcast(builder.icmp_unsigned("<", block, _all_of(builder, size)), ir.IntType(64))

    return types.uint64(data, types.uint64, types.uint8, types.uint8), generate


def _equal(typing_context: Any, data: Any, i: Any, byte: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        block = _block(context, builder, signature.args[0], args[0], args[1])
        return builder.bitcast(builder.icmp_unsigned("==", block, _all_of(builder, args[2])), ir.IntType(64))

    return types.uint64(data, types.uint64, types.uint8), generate


def _letter(typing_context: Any, data: Any, i: Any, small: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, place, letter = args
        block = _block(context, builder, signature.args[0], array, place)
        folded = builder.or_(block, _all_of(builder, ir.Constant(ir.IntType(8), 0x20)))
        return builder.bitcast(builder.icmp_unsigned("==", folded, _all_of(builder, letter)), ir.IntType(64))

    return types.uint64(data, types.uint64, types.uint8), generate


def _copy64(typing_context: Any, source: Any, i: Any, target: Any, o: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        block = _block(context, builder, signature.args[0], args[0], args[1])
        store = builder.store(block, _place(context, builder, signature.args[2], args[2], args[3]))
        store.align = 1
        return context.get_dummy_value()

    return types.void(source, types.uint64, target, types.uint64), generate


def _words64(typing_context: Any, source: Any, i: Any, target: Any, o: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        block = _block(context, builder, signature.args[0], args[0], args[1])

        def byte(value: int) -> Any:
            return _all_of(builder, ir.Constant(ir.IntType(8), value))

        small = builder.or_(block, byte(0x20))
        letter = builder.icmp_unsigned("<", builder.sub(small, byte(ord("a"))), byte(26))
        digit = builder.icmp_unsigned("<", builder.sub(block, byte(ord("0"))), byte(10))
        kept = builder.select(builder.or_(letter, digit), small, byte(0x20))  # digits have the bit 0x20
        store = builder.store(kept, _place(context, builder, signature.args[2], args[2], args[3]))
        store.align = 1
        return builder.bitcast(builder.icmp_signed("<", block, byte(0)), ir.IntType(64))

    return types.uint64(source, types.uint64, target, types.uint64), generate


def _ones(typing_context: Any, word: Any) -> Any:
    return types.uint64(types.uint64), lambda context, builder, signature, args: builder.ctpop(args[0])


def _leading_zeros(typing_context: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctlz(args[0], context.get_constant(types.boolean, False))

    return types.uint64(types.uint64), generate


# (data, i, first, count): which of data[i:i + 64] lie in [first, first + count); bit k is byte i + k
within = cast(Any, intrinsic(_within))
# (data, i, byte): which of them are this byte
equal = cast(Any, intrinsic(_equal))
# (data, i, small): which of them are this small letter or its capital; also for the few marks that have the bit 0x20
letter = cast(Any, intrinsic(_letter))
# (source, i, target, o): copy 64 bytes
copy64 = cast(Any, intrinsic(_copy64))
# (source, i, target, o): copy 64 bytes, ASCII letters made small, digits as they are, a space for everything else; which are not ASCII
words64 = cast(Any, intrinsic(_words64))
ones = cast(Any, intrinsic(_ones))  # number of one bits
leading_zeros = cast(Any, intrinsic(_leading_zeros))  # zero bits above the highest one bit


@lean
def paste(source: Bytes, i: np.uint64, size: np.uint64, target: Bytes, o: np.uint64) -> None:
    """target[o:o + size] = source[i:i + size], where both have 64 bytes more: what lies behind target[o + size] is overwritten."""
    k = _0  # a range with a step divides
    while k < size:
        copy64(source, i + k, target, o + k)
        k += _64
