"""16 bytes at a time, and 8 as one number: intrinsics of LLVM for what is shorter than the 64 bytes of vectors.py, and for hashing it.

Eight loads put together by shifts become one only where LLVM sees through them, which it did in half of the kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

_WINDOW = ir.VectorType(ir.IntType(8), 16)


def _load(context: Any, builder: Any, signature: Any, args: Any, kind: Any) -> Any:
    data = context.make_array(signature.args[0])(context, builder, value=args[0]).data
    loaded = builder.load(builder.bitcast(builder.gep(data, [args[1]]), kind.as_pointer()))
    loaded.align = 1
    return loaded


def _all(byte: int) -> Any:
    return ir.Constant(_WINDOW, [byte] * 16)


def _bits(builder: Any, compared: Any) -> Any:
    return builder.zext(builder.bitcast(compared, ir.IntType(16)), ir.IntType(64))


def _compare(of: Callable[[Any, Any], Any]) -> Any:
    """An intrinsic (data, i) -> one bit a byte of data[i:i + 16], the first byte lowest."""

    def typed(typing_context: Any, data: Any, i: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return _bits(builder, of(builder, _load(context, builder, signature, args, _WINDOW)))

        return types.uint64(data, types.uint64), generate

    return cast(Any, intrinsic(typed))


def _number(typing_context: Any, data: Any, i: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _load(context, builder, signature, args, ir.IntType(64))

    return types.uint64(data, types.uint64), generate


def _folded(typing_context: Any, a: Any, b: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.xor(
            builder.trunc(product, ir.IntType(64)), builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))
        )

    return types.uint64(types.uint64, types.uint64), generate


number_at = cast(Any, intrinsic(_number))  # (data, i): data[i:i + 8] as one number, the first byte lowest
folded_product = cast(Any, intrinsic(_folded))  # (a, b): the two halves of their product of 128 bits, xor: mixes 16 bytes at once
letters_at = _compare(lambda b, x: b.icmp_unsigned("<", b.sub(b.or_(x, _all(0x20)), _all(ord("a"))), _all(26)))  # ASCII
digits_at = _compare(lambda b, x: b.icmp_unsigned("<", b.sub(x, _all(ord("0"))), _all(10)))  # ASCII
