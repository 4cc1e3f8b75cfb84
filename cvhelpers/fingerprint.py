"""One hash of everything a function's result depends on: its code, and what its code refers to.

What runs is hashed, not its text: the bytecode of a function with its constants and defaults,
then, name by name, the functions, classes and values it uses. So a changed solution cell gives
another hash, a changed comment does not, and a file edited after its import cannot mislead. Our
own code (the notebook, `cvhelpers`, files beside the notebook) is followed; a library counts by
its version.
"""

from __future__ import annotations

import dis
import enum
import functools
import hashlib
import inspect
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path, PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), range, slice, PurePath)
_PLAIN += (np.generic, np.dtype, torch.dtype, torch.device, torch.Size)  # type: ignore[assignment]
# What stands around functions, and where it keeps them.
_WRAPPERS: dict[type, tuple[str, ...]] = {
    property: ("fget", "fset", "fdel"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    functools.cached_property: ("func",),
    functools.partial: ("func", "args", "keywords"),
    type(functools.cache(len)): ("__wrapped__",),
    MethodType: ("__func__", "__self__"),
    BuiltinFunctionType: ("__self__", "__qualname__"),  # of an object in C: its state counts
}
_CODE = (FunctionType, *_WRAPPERS)
_MARKERS = ("member_descriptor", "method_descriptor", "_tuplegetter")  # slots and the like
_READS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")


def fingerprint_of(**parts: Any) -> str:
    """sha256 over `parts`, values and functions; their names stand in error messages.

    Understood: numbers, strings, paths (by name), tensors and arrays (by content), tuples, lists,
    sets, dicts, enums, dataclasses, functions, classes, modules, and every object whose class has
    `fingerprint() -> str`, as `Images`, `Splits` and `Run` have it.

    Raises:
        ValueError: anything else, such as an `nn.Module` built outside the function; the message
            names it and says the mend. Better no result than a stale one.
    """
    walk = _Walk()
    text = "\n".join(f"{name}: {walk.describe(value, name)}" for name, value in parts.items())
    return hashlib.sha256(text.encode()).hexdigest()


class _Walk:
    """One walk over values that refer to each other; code is met once."""

    def __init__(self) -> None:
        self.seen: dict[int, tuple[int, Any]] = {}  # keeps the objects, so that ids stay theirs

    def describe(self, value: Any, where: str) -> str:
        """A text that two values share only if they mean the same; `where` is the way here."""
        name = type(value).__name__
        if isinstance(value, _PLAIN) and not isinstance(value, enum.Enum):
            return f"{name} {value!r}"
        if isinstance(value, (list, tuple)):
            return f"{name}[{self._join(enumerate(value), where)}]"
        if isinstance(value, (set, frozenset)):
            return f"{name}{sorted(self.describe(item, where) for item in value)}"
        if isinstance(value, dict):
            return f"{name}[{self._join(value.items(), where)}]"
        if library := _library_name(value):
            return library
        if isinstance(value, CodeType):
            return self._bytecode(value, where)
        if not isinstance(value, (*_CODE, type, ModuleType)):
            return self._instance(value, where)
        if id(value) in self.seen:
            return f"number {self.seen[id(value)][0]}"
        self.seen[id(value)] = (len(self.seen), value)
        if isinstance(value, FunctionType):
            return self._function(value, where)
        for wrapper, names in _WRAPPERS.items():
            if isinstance(value, wrapper):
                return f"{name} {self.describe([getattr(value, n) for n in names], where)}"
        return self._class(value, where)

    def _join(self, items: Iterable[tuple[Any, Any]], where: str) -> str:
        return ", ".join(
            f"{self.describe(key, where)}: {self.describe(item, f'{where}[{key!r}]')}"
            for key, item in items
        )

    def _instance(self, value: Any, where: str) -> str:
        """An object: by its fingerprint(), its content, or its class and fields."""
        kind, parts = type(value), None
        home = str(kind.__module__)
        if _vouches(value):
            parts = value.fingerprint()
        elif isinstance(value, torch.Tensor):
            content = value.detach().cpu().flatten().view(torch.uint8).numpy().tobytes()
            parts = (value.dtype, value.shape, hashlib.sha256(content).hexdigest())
        elif isinstance(value, np.ndarray) and value.dtype != object:
            parts = (value.dtype, value.shape, hashlib.sha256(value.tobytes()).hexdigest())
        elif isinstance(value, enum.Enum):
            parts = (value.name, None if _version(home) else value.value)
        elif is_dataclass(value) and not isinstance(value, torch.nn.Module):
            parts = {field.name: getattr(value, field.name) for field in fields(value)}
        elif home.startswith("torch.") and hasattr(kind, "__enter__"):
            parts = vars(value)  # no_grad() or autocast(...) as a decorator: its arguments
        elif kind.__name__ in _MARKERS or home == "dataclasses":
            parts = getattr(value, "__qualname__", "")  # a slot, a field's "no default"
        if parts is None:
            raise ValueError(
                f"{where} is a {home}.{kind.__qualname__}, and nothing tells the cache "
                "when it changes: build it inside the function, pass what it is made from as an "
                "option, or give its class a method fingerprint() -> str"
            )
        return f"{self.describe(kind, where)} {self.describe(parts, where)}"

    def _class(self, value: Any, where: str) -> str:
        """A class of ours; or a module of ours used as a whole, as by getattr(models, name)."""
        found = [value.__name__]
        if isinstance(value, type):
            found.append(self.describe((*value.__bases__, type(value)), where))
        for name, member in sorted(vars(value).items()):
            own = isinstance(value, type) or isinstance(member, _PLAIN)
            own = own or str(getattr(member, "__module__", "")).startswith(value.__name__)
            special = name.startswith("__") and not isinstance(member, _CODE)
            if own and not special and name not in ("__repr__", "_abc_impl"):
                found.append(f"{name}: {self.describe(member, f'{where}.{name}')}")
        return "\n".join(found)

    def _function(self, function: FunctionType, where: str) -> str:
        """A function: its bytecode and defaults, then everything it refers to."""
        code, home, cells = function.__code__, function.__globals__, {}
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            with suppress(ValueError):  # a cell that is still empty
                cells[name] = cell.cell_contents
        if (version := _version(home.get("__name__", ""))) is not None:
            # Made by a library, as a decorator does: its name, and what it was given.
            return f"{function.__qualname__} {version} {self._join(cells.items(), where)}"
        found = [self._bytecode(code, where)]
        found.append(self.describe((function.__defaults__, function.__kwdefaults__), where))
        for name, content in cells.items():
            found.append(f"{name}: {self.describe(content, f'{where} → {name}')}")
        uses = {tuple(chain): value for value, chain in _references(code, home)}
        for (name, *chain), value in uses.items():
            found.append(f"{name}: {self._used(value, chain, f'{where} → {name}')}")
        return "\n".join(found)

    def _bytecode(self, code: CodeType, where: str) -> str:
        """What the interpreter runs; not the lines and files it came from."""
        constants = self.describe(code.co_consts, where)  # inner functions are among them
        arguments = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
        names = (code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        handlers = getattr(code, "co_exceptiontable", b"")
        return repr((code.co_code, handlers, code.co_flags, arguments, names, constants))

    def _used(self, value: Any, chain: list[str], where: str) -> str:
        """What `value.a.b` brings in: attributes of modules, methods of objects that vouch."""
        for name in chain:
            if isinstance(value, ModuleType) and _library_name(value) is None:
                value = getattr(value, name, value)
            elif _vouches(value):
                part = inspect.getattr_static(value, name, None)
                if not _vouches(part):  # run.pick(...), run.seed: these, not the whole class
                    part = part if isinstance(part, (*_CODE, int, str)) else None
                    return f"{value.fingerprint()} {self.describe(part, f'{where}.{name}')}"
                value = part
            else:
                break
            where = f"{where}.{name}"
        return self.describe(value, where)


def _references(code: CodeType, home: dict[str, Any]) -> Iterator[tuple[Any, list[str]]]:
    """What code names: globals and imported modules, with ["name", "attribute", ...] taken."""
    chain: list[str] = []
    level: Any = 0
    wanted: Any = None
    for step in dis.get_instructions(code):
        if step.opname == "EXTENDED_ARG":
            continue
        if chain and step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            chain.append(step.argval)
            continue
        if chain and chain[0] in home:
            yield home[chain[0]], chain
        chain = [step.argval] if step.opname in _READS else []
        if step.opname == "IMPORT_NAME":  # its level and the names it wants were loaded before it
            with suppress(ImportError):
                module = import_module("." * level + step.argval, home.get("__package__"))
                yield from ((module, [step.argval, name]) for name in wanted or [""])
        level, wanted = wanted, step.argval
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _references(inner, home)


def _vouches(value: Any) -> bool:
    return callable(getattr(type(value), "fingerprint", None))


def _version(module: str) -> str | None:
    """The version of a library's module; None for our own code, which is followed instead."""
    top = module.partition(".")[0]
    package = sys.modules.get(top)
    if top in sys.stdlib_module_names:
        return "of Python"
    if top in ("__main__", "cvhelpers") or package is None:
        return None
    place = getattr(package, "__file__", None) or str(getattr(package, "__path__", ""))
    installed = any(_installs(folder) for folder in PurePath(place).parents[:2])
    return str(vars(package).get("__version__", "unknown")) if installed else None


@functools.cache
def _installs(folder: PurePath) -> bool:
    """Whether pip installs into this folder, wherever it lies: it keeps its records there."""
    return folder.name in ("site-packages", "dist-packages") or any(
        Path(folder).glob("*.dist-info")
    )


def _library_name(value: Any) -> str | None:
    """`module.name version` of what a library offers under a name; None for anything else."""
    owner = getattr(value, "__self__", None)  # random.random: a method of an object in random
    made_by = type(value if owner is None else owner)  # numpy 1's ufuncs name no module themselves
    home = str(getattr(value, "__module__", None) or made_by.__module__)
    if isinstance(value, ModuleType):
        home = value.__name__
    name, version = getattr(value, "__name__", ""), _version(home)
    offered = home in sys.modules and vars(sys.modules[home]).get(name) is value
    built_in = isinstance(value, BuiltinFunctionType) and isinstance(owner, (type, type(None)))
    if version is None or not (offered or built_in or isinstance(value, (type, ModuleType))):
        return None
    return f"{home}.{getattr(value, '__qualname__', name)} {version}"
