"""Type checks of every function of the package while tests run, at the price of what each signature says.

jaxtyping's import hook decorates all functions alike: at each call it binds the arguments and has beartype check them
twice, which takes longer than most functions do. Here beartype checks them once, by the same hints and with the same
error; of a function that names axes, between a beginning and an end of what these stand for. What beartype cannot read,
and axes that refer to values of arguments, stay with jaxtyping.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
from collections.abc import Callable
from types import FunctionType
from typing import Any, get_type_hints

import beartype
import jaxtyping
import torch
from beartype.roar import BeartypeDecorHintException
from jaxtyping import _import_hook
from jaxtyping._array_types import _anonymous_dim, _FixedDim, _MetaAbstractArray, _NamedDim
from jaxtyping._decorator import _destring_annotation
from jaxtyping._storage import get_shape_memo, pop_shape_memo, push_shape_memo

PACKAGE = "counterpoise"

_plain = _import_hook.cache_from_source
_full = jaxtyping.jaxtyped
_beartype = beartype.beartype(conf=beartype.BeartypeConf(violation_type=jaxtyping.TypeCheckError))


def install() -> None:
    """Let jaxtyping's hook decorate with `checked`; to be called before the package is imported.

    While a module of the package is imported, the hook renames the bytecode of all files, so that every library that it
    imports is compiled once more, which takes a minute in a new environment: here of the package's own files alone.
    """
    jaxtyping.jaxtyped = checked  # type: ignore[assignment]
    renamed = _import_hook._optimized_cache_from_source

    def rename(tag: str, /, path: str, debug_override: bool | None = None) -> str:
        own = f"{os.sep}{PACKAGE}{os.sep}" in str(path)
        return renamed(tag, path, debug_override) if own else _plain(path, debug_override)

    _import_hook._optimized_cache_from_source = rename
    _MetaAbstractArray.__instancecheck__ = _fits  # type: ignore[method-assign]


def checked(target: Any = None, *, typechecker: Callable[[Any], Any]) -> Any:
    """Decorate a function or class as `jaxtyping.jaxtyped` does."""
    if target is None:
        return functools.partial(checked, typechecker=typechecker)
    if dataclasses.is_dataclass(target):
        if not hasattr(target.__init__, "__wrapped__"):
            target.__init__ = checked(target.__init__, typechecker=typechecker)  # type: ignore[misc]
        return target
    if isinstance(target, FunctionType) and not inspect.isgeneratorfunction(target):
        hints = _hints(target)
        described = repr(list(hints.values()))
        if "jaxtyping." not in described:
            return _without_axes(target, hints) or _full(target, typechecker=typechecker)
        if "{" not in described and (plain := _without_axes(target, hints)):
            return _with_axes(plain)
    return _full(target, typechecker=typechecker)


def _hints(function: FunctionType) -> dict[str, Any]:
    """Return the hints as types; `Any` for one whose names are imported for type checkers alone, as jaxtyping does."""
    try:
        return get_type_hints(function, include_extras=True)
    except Exception:
        names = function.__globals__
        return {name: _destring_annotation(hint, names) for name, hint in function.__annotations__.items()}


def _without_axes(function: FunctionType, hints: dict[str, Any]) -> Any:
    """Return the function with checks by beartype, None if that cannot read a hint."""
    written = function.__annotations__
    function.__annotations__ = hints
    try:
        wrapped = _beartype(function)
    except BeartypeDecorHintException:
        function.__annotations__ = written
        return None
    return wrapped


def _with_axes(function: Callable[..., Any]) -> Any:
    """Return a function in whose arguments and result the name of an axis stands for one length in each call."""

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        push_shape_memo({})
        try:
            return function(*arguments, **named)
        finally:
            pop_shape_memo()

    return call


_described = _MetaAbstractArray.__instancecheck__


@functools.cache
def _axes(hint: Any) -> tuple[str | int | None, ...] | None:
    """Return the axes of a hint for tensors: names, lengths, None for any; None if there are others."""
    axes: list[str | int | None] = []
    for axis in () if hint.dims is None else hint.dims:
        if axis is _anonymous_dim:
            axes.append(None)
        elif type(axis) is _FixedDim and not axis.broadcastable:
            axes.append(axis.size)
        elif type(axis) is _NamedDim and not (axis.broadcastable or axis.treepath):
            axes.append(axis.name)
        else:
            return None
    return tuple(axes) if hint.array_type is torch.Tensor and hint.index_variadic is None else None


@functools.cache
def _holds(hint: Any, dtype: torch.dtype) -> bool:
    """Whether tensors of this type fit a hint that says nothing else."""
    return _described(hint.dtype[torch.Tensor, "..."], torch.empty(0, dtype=dtype))


def _fits(hint: Any, value: Any) -> bool:
    """Answer as jaxtyping does whether a value fits a hint, for tensors with plain axes in a third of the time."""
    if type(value) is not torch.Tensor or (axes := _axes(hint)) is None:
        return _described(hint, value)
    if len(value.shape) != len(axes) or not _holds(hint, value.dtype):
        return False
    lengths = get_shape_memo()[0]
    found: dict[str, int] = {}
    for axis, length in zip(axes, value.shape, strict=True):
        if isinstance(axis, str):
            if lengths.get(axis, found.setdefault(axis, length)) != length:
                return False
        elif axis not in (None, length):
            return False
    lengths.update(found)
    return True
