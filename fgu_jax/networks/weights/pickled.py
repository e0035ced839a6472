"""Reads the pickle inside a PyTorch file as data: nothing in it is ever called.

A state dict needs some thirty of pickle's instructions and half a dozen names. They
are interpreted here; any other instruction, and any other name, is refused by name.
"""

import math
import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from fgu_jax.errors import InputError

# A state dict of 1,000 tensors takes some 40,000.
MAX_INSTRUCTIONS = 4_000_000

STORAGE_TYPES = {
    "torch.DoubleStorage": np.dtype(np.float64),
    "torch.FloatStorage": np.dtype(np.float32),
    "torch.HalfStorage": np.dtype(np.float16),
    "torch.BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "torch.LongStorage": np.dtype(np.int64),
    "torch.IntStorage": np.dtype(np.int32),
    "torch.ShortStorage": np.dtype(np.int16),
    "torch.CharStorage": np.dtype(np.int8),
    "torch.ByteStorage": np.dtype(np.uint8),
    "torch.BoolStorage": np.dtype(np.bool_),
}


class Storage(NamedTuple):
    """A flat block of ``size`` numbers elsewhere in the file."""

    key: str
    dtype: np.dtype
    size: int


class Tensor(NamedTuple):
    """A strided view of a storage; offset and strides count numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Name(NamedTuple):
    """A global that was understood; it stands for itself and calls nothing."""

    name: str


def _natural(*values: Any) -> bool:
    return all(type(v) is int and 0 <= v < 2**62 for v in values)


def _rebuild_tensor(*args: Any) -> Tensor:
    storage, offset, shape, strides = args[:4]
    if not (
        isinstance(storage, Storage)
        and isinstance(shape, tuple)
        and isinstance(strides, tuple)
        and len(shape) == len(strides) <= 32
        and _natural(offset, *shape, *strides)
    ):
        raise ValueError("a tensor record is malformed")
    numbers = math.prod(shape)
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if numbers and (last >= storage.size or numbers > storage.size):
        raise ValueError(
            f"a tensor of shape {shape} at offset {offset} with strides {strides} "
            f"reaches beyond its storage of {storage.size} numbers"
        )
    return Tensor(storage, offset, shape, strides)


def _dict_of(pairs: Any = ()) -> dict[str | int, Any]:
    target: dict[str | int, Any] = {}
    _insert(target, [part for key, value in pairs for part in (key, value)])
    return target


def _insert(target: Any, items: list[Any]) -> None:
    if not isinstance(target, dict):
        raise ValueError("items are set on what is no dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int):
            raise ValueError(f"a dict has a key of type {type(key).__name__}")
        target[key] = value


_CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _dict_of,
    "torch.Size": tuple,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
}


class _Nothing(NamedTuple):
    """In place of what training scripts keep beside weights; it holds nothing."""


# A run's arguments, and numbers of NumPy: nothing of them is read or called.
_PASSED_OVER = frozenset(("argparse.Namespace", "numpy.dtype", "_codecs.encode")) | {
    f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")
}


def _global(name: str) -> _Name:
    if name not in STORAGE_TYPES and name not in _CALLS and name not in _PASSED_OVER:
        raise InputError(
            f"it asks for {name!r}, which is code and not a tensor; "
            "save the bare weights: torch.save(model.state_dict(), path)"
        )
    return _Name(name)


def _storage(record: Any) -> Storage:
    """``('storage', type, key, device, count[, view])`` as PyTorch writes it."""
    kind, storage_type, key, _device, count, *view = record
    if (
        kind != "storage"
        or not isinstance(storage_type, _Name)
        or storage_type.name not in STORAGE_TYPES
        or not isinstance(key, str)
        or not _natural(count)
        or any(v is not None for v in view)
    ):
        raise ValueError("a storage record is malformed")
    return Storage(key, STORAGE_TYPES[storage_type.name], count)


class _Machine:
    """Pickle's stack machine, one method for a group of instructions."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def since_mark(self) -> list[Any]:
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def last(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) < count:
            raise ValueError("its stack runs empty")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        return items

    def run(self, code: str, arg: Any) -> None:
        stack = self.stack
        match code:
            case "PROTO" | "FRAME":
                pass
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(code == "NEWTRUE")
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case _ if code in _CONSTANTS:
                stack.append(arg)
            case "MARK":
                self.marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(self.since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(self.last(int(code[-1])))
            case "BINPUT" | "LONG_BINPUT":
                self.memo[arg] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[arg])
            case "SETITEM" | "SETITEMS":
                items = self.since_mark() if code == "SETITEMS" else [*self.last(2)]
                _insert(stack[-1], items)
            case "APPEND" | "APPENDS":
                items = self.since_mark() if code == "APPENDS" else [*self.last(1)]
                if not isinstance(stack[-1], list):
                    raise ValueError("items are appended to what is no list")
                stack[-1].extend(items)
            case _:
                self.refer(code, arg)

    def refer(self, code: str, arg: Any) -> None:
        """The instructions with which a pickle names things outside itself."""
        match code:
            case "GLOBAL":
                self.stack.append(_global(arg.replace(" ", ".")))
            case "STACK_GLOBAL":
                parts = self.last(2)
                # No text is made of anything else: of a tuple of a tuple twice, and
                # so on forty times, it would have no end.
                if not all(isinstance(part, str) for part in parts):
                    raise ValueError("a name is no text")
                self.stack.append(_global(".".join(parts)))
            case "BINPERSID":
                (record,) = self.last(1)
                self.stack.append(_storage(record))
            case "REDUCE":
                name, args = self.last(2)
                if isinstance(name, _Name) and name.name in _PASSED_OVER:
                    self.stack.append(_Nothing())
                    return
                if not isinstance(name, _Name) or name.name not in _CALLS:
                    raise ValueError("what is no function is called")
                self.stack.append(_CALLS[name.name](*args))
            case "NEWOBJ":
                name, _ = self.last(2)
                if not isinstance(name, _Name) or name.name not in _PASSED_OVER:
                    raise ValueError("what is no class is made")
                self.stack.append(_Nothing())
            case "BUILD":
                # A state dict carries its version numbers as attributes: left out.
                (state,) = self.last(1)
                if isinstance(self.stack[-1], _Nothing):
                    return
                if not isinstance(state, dict) or not isinstance(self.stack[-1], dict):
                    raise ValueError("attributes are set on what is no dict")
            case _:
                raise InputError(
                    f"it uses pickle's instruction {code}, which weights do not need; "
                    "save the bare weights: torch.save(model.state_dict(), path)"
                )


_CONSTANTS = {
    "BININT",
    "BININT1",
    "BININT2",
    "LONG1",
    "BINFLOAT",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "BINSTRING",
    "SHORT_BINSTRING",
}


def read(stream: Any) -> Any:
    """The one pickled value at ``stream``'s position, which moves to its end.

    dicts, lists, tuples, strings, numbers, and :class:`Tensor` records; raises
    ``InputError`` for a name or instruction that is refused, other exceptions for a
    pickle that is damaged.
    """
    machine = _Machine()
    for count, (opcode, arg, _) in enumerate(pickletools.genops(stream)):
        if count > MAX_INSTRUCTIONS:
            raise ValueError(f"it has more than {MAX_INSTRUCTIONS} instructions")
        if opcode.name == "STOP":
            break
        machine.run(opcode.name, arg)
    (value,) = machine.last(1)
    return value
