"""What changes a fingerprint, what does not, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from cvhelpers.fingerprint import fingerprint_of

IMPORTS = """
import enum, functools
from dataclasses import dataclass, field
from typing import NamedTuple
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
"""


def fingerprint(source: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The fingerprint of `train_one` as a notebook would define it."""
    notebook = ModuleType("notebook")
    monkeypatch.setitem(sys.modules, "notebook", notebook)
    exec(compile(IMPORTS + source, "<cell>", "exec"), vars(notebook))
    return fingerprint_of(train_one=notebook.train_one)


CHANGES = {
    "a number": ("def train_one(): return 1", "1", "2"),
    "its type": ("def train_one(): return 1", "1", "1.0"),
    "a truth value": ("def train_one(): return 1", "1", "True"),
    "an operator": ("def train_one(a, b): return a - b", "-", "+"),
    "an attribute": ("def train_one(x): return x.mean()", "mean", "sum"),
    "a default": ("def train_one(rate=0.1): return rate", "0.1", "0.2"),
    "a keyword default": ("def train_one(*, rate=0.1): return rate", "0.1", "0.2"),
    "a handler": ("def train_one():\n try: f()\n except ValueError: pass", "Value", "Type"),
    "what a handler covers": (
        "def train_one():\n try:\n  a()\n  b()\n except E: pass",
        "  b()\n except E: pass", " except E: pass\n else: b()",
    ),
    "an inner function": ("def train_one():\n def f(): return 1\n return f()", "1", "2"),
    "a comprehension": ("def train_one(n): return [i * 2 for i in n]", "2", "3"),
    "a lambda": ("f = lambda x: x + 1\ndef train_one(x): return f(x)", "1", "2"),
    "a set of names": ("def train_one(x): return x in {'a', 'b', 'c'}", "'c'", "'d'"),
    "a helper's helper": ("def g(): return 1\ndef f(): return g()\ndef train_one(): f()", "1", "2"),
    "a closure": ("def make(n):\n def f(): return n\n return f\ntrain_one = make(1)", "1", "2"),
    "a global": ("RATE = 0.1\ndef train_one(): return RATE", "0.1", "0.2"),
    "a global in a dict": ("C = {'w': [1, (2, 3)]}\ndef train_one(): return C", "3", "4"),
    "a key's type": ("C = {1: 2}\ndef train_one(): return C", "1:", "'1':"),
    "a tensor": ("W = torch.tensor([1.0, 2.0])\ndef train_one(): return W", "2.0", "3.0"),
    "a tensor's type": ("W = torch.zeros(2)\ndef train_one(): return W", "(2)", "(2).bool()"),
    "an array": ("W = np.array([1, 2])\ndef train_one(): return W", "2]", "3]"),
    "a library function": ("from torch import relu as f\ndef train_one(): f()", "relu", "tanh"),
    "a library ufunc": ("from numpy import sin as f\ndef train_one(): f(1)", "sin", "cos"),
    "a library method": ("f = torch.Tensor.relu\ndef train_one(): return f", "relu", "tanh"),
    "a library class": ("act = nn.ReLU\ndef train_one(): return act()", "ReLU", "ELU"),
    "a method": ("class Net(nn.Module):\n def forward(s, x): return x + 1\n"
                 "def train_one(): return Net()", "1", "2"),
    "a class attribute": ("class Net:\n size = 3\ndef train_one(): return Net()", "3", "4"),
    "a base class": ("class A:\n size = 3\nclass B(A): pass\ndef train_one(): B()", "3", "4"),
    "a library base": ("class B(nn.ReLU): pass\ndef train_one(): return B()", "ReLU", "ELU"),
    "a property": ("class A:\n @property\n def n(self): return 1\ndef train_one(): A()", "1", "2"),
    "a static method": ("class A:\n @staticmethod\n def n(): return 1\ndef train_one(): A()",
                        "1", "2"),
    "super": ("class A(nn.Module):\n def __init__(self):\n  super().__init__()\n  self.n = 1\n"
              "def train_one(): A()", "= 1", "= 2"),
    "a dataclass": ("@dataclass\nclass A:\n n: int = 1\ndef train_one(): A()", "1", "2"),
    "a dataclass' factory": ("@dataclass\nclass A:\n n: list = field(default_factory=list)\n"
                             "def train_one(): A()", "=list", "=dict"),
    "a dataclass value": ("@dataclass\nclass A:\n n: int\nX = A(1)\ndef train_one(): return X.n",
                          "1", "2"),
    "a named tuple": ("class A(NamedTuple):\n n: int = 1\ndef train_one(): A()", "1", "2"),
    "slots": ("class A:\n __slots__ = ('n',)\n def f(self): return 1\ndef train_one(): A()",
              "1", "2"),
    "an enum": ("class A(enum.Enum):\n ONE = 1\nX = A.ONE\ndef train_one(): X", "= 1", "= 2"),
    "a method of a list": ("f = [1, 2].count\ndef train_one(): f(1)", "2]", "1]"),
    "a partial": ("f = functools.partial(max, 1)\ndef train_one(): f(3)", "1", "2"),
    "a cached function": ("@functools.cache\ndef f(): return 1\ndef train_one(): f()", "1", "2"),
    "a decorated function": ("@torch.no_grad()\ndef f(): return 1\ndef train_one(): f()", "1", "2"),
    "a decorator's argument": (
        "@torch.autocast('cpu', dtype=torch.bfloat16)\ndef f(): return 1\ndef train_one(): f()",
        "bfloat16", "float16",
    ),
    "an own decorator": (
        "def twice(f):\n @functools.wraps(f)\n def g(): return f() * 2\n return g\n"
        "@twice\ndef train_one(): return 1", "2", "3",
    ),
    "a decorated inside": (
        "def twice(f):\n @functools.wraps(f)\n def g(): return f() * 2\n return g\n"
        "@twice\ndef train_one(): return 1", "return 1", "return 3",
    ),
    "an object's fingerprint": (
        "class Data:\n def __init__(self, n): self.n = n\n def fingerprint(self): return self.n\n"
        "data = Data('a')\ndef train_one(): return data", "'a'", "'b'",
    ),
    "the class of such an object": (
        "class Data:\n def batches(self): return 1\n def fingerprint(self): return 'a'\n"
        "data = Data()\ndef train_one(): return data", "1", "2",
    ),
    "a method of such an object": (
        "class Data:\n def batches(self): return 1\n def fingerprint(self): return 'a'\n"
        "data = Data()\ndef train_one(): return data.batches()", "1", "2",
    ),
    "a number of such an object": (
        "class Run:\n def __init__(self): self.seed = 1\n def fingerprint(self): return 'a'\n"
        "run = Run()\ndef train_one(): return run.seed", "1", "2",
    ),
    "a part of such an object": (
        "class Data:\n def __init__(self, n): self.n = n\n def fingerprint(self): return self.n\n"
        "class Both:\n train = Data('a')\n def fingerprint(self): return ''\n"
        "data = Both()\ndef train_one(): return data.train", "'a'", "'b'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_that_matters_changes_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, old, new = CHANGES[name]
    assert old in source
    before = fingerprint(source, monkeypatch)
    assert before == fingerprint(source, monkeypatch)
    assert before != fingerprint(source.replace(old, new), monkeypatch)


NO_CHANGES = {
    "a comment": ("def train_one(): return 1  # why", "why", "because"),
    "layout": ("def train_one(): return f(1,2)", "1,2", "\n  1,\n  2"),
    "lines above": ("\ndef train_one(): return 1", "\n", "\n\n\n"),
    "an unused global": ("RATE = 0.1\ndef train_one(): return 1", "0.1", "0.2"),
    "a global with an attribute's name": (
        "model = nn.ReLU()\ndef train_one(x): return x.model", "nn.ReLU()", "1",
    ),
    "a global with a local's name": (
        "model = nn.ReLU()\ndef train_one():\n model = 1\n def f(): return model\n return f",
        "nn.ReLU()", "2",
    ),
    "another method of an object that vouches": (
        "class Run:\n def plot(self): return 1\n def pick(self): return 0\n"
        " def fingerprint(self): return 'a'\n"
        "run = Run()\ndef train_one(): return run.pick()", "1", "2",
    ),
    "how a class prints": (
        "class A:\n def __repr__(self): return 'A'\ndef train_one(): return A()", "'A'", "'B'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_CHANGES)
def test_a_change_that_does_not_matter_keeps_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, old, new = NO_CHANGES[name]
    assert old in source
    changed = source.replace(old, new, 1)
    assert fingerprint(source, monkeypatch) == fingerprint(changed, monkeypatch)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("net = nn.Linear(2, 2)\ndef train_one(): return net", r"train_one → net is a torch\.nn"),
        ("net = nn.Linear(2, 2)\ndef f(): net\ndef train_one(): f()", "train_one → f → net is"),
        ("nets = [nn.ReLU()]\ndef train_one(): return nets", r"nets\[0\] is a torch.*ReLU"),
        ("g = torch.Generator()\ndef train_one(): g", r"g is a torch.*Generator"),
        ("f = open('/dev/null')\ntrain_one = lambda: f.read()\nf.close()", r"f is a _io\.Text"),
        ("class A: pass\na = A()\ndef train_one(): return a", r"a is a notebook\.A"),
        ("class A:\n net = nn.ReLU()\ndef train_one(): return A()", r"A\.net is a torch"),
        ("def train_one(net=nn.ReLU()): return net", "train_one.* is a torch"),
        ("o = np.array([nn.ReLU()])\ndef train_one(): return o", "o is a numpy"),
        (
            "draw = np.random.default_rng(0).normal\ndef train_one(): return draw()",
            r"draw\[0\] is a",
        ),
        (
            "import random\ndraw = random.Random(0).random\ndef train_one(): return draw()",
            r"draw\[0\] is a random\.Random",
        ),
    ],
)
def test_what_it_cannot_know_is_refused(
    source: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        fingerprint(source, monkeypatch)
    assert "build it inside the function" in str(caught.value)
    assert "fingerprint() -> str" in str(caught.value)


def test_own_packages_are_followed_name_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ownpack").mkdir()
    (tmp_path / "ownpack/__init__.py").write_text("SIZE = 1\n")
    (tmp_path / "ownpack/net.py").write_text(
        "def build():\n    from .part import layer\n    return layer()\n"
    )
    (tmp_path / "ownpack/part.py").write_text("def layer(): return 1\n")
    (tmp_path / "ownpack/plot.py").write_text("def draw(): return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    import ownpack.net
    import ownpack.part
    import ownpack.plot

    source = "import ownpack.net\ndef train_one(): return ownpack.net.build()"
    inside = "def train_one():\n from ownpack.net import build\n return build()"
    whole = "import ownpack.net as m\ndef train_one(name): return getattr(m, name)()"
    cell = "def make():\n import ownpack.net as m\n return lambda: m.build()\ntrain_one = make()"
    many = "def train_one():\n " + "; ".join(f"a.n{n}" for n in range(300)) + inside[16:]
    for text in (source, inside, whole, cell, many):
        with monkeypatch.context() as patch:
            first = fingerprint(text, patch)
            patch.setattr(ownpack.plot, "draw", lambda: 2)
            assert fingerprint(text, patch) == first
            patch.setattr(ownpack.part, "layer", lambda: 2)
            assert fingerprint(text, patch) != first


def test_a_missing_optional_import_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    fingerprint("def train_one():\n import no_such_library\n", monkeypatch)


def test_a_library_counts_by_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas as pd

    source = "import pandas as pd\ndef train_one(): return pd.DataFrame()"
    first = fingerprint(source, monkeypatch)
    monkeypatch.setattr(pd, "__version__", "0.0")
    assert fingerprint(source, monkeypatch) != first


def test_a_library_counts_by_its_version_wherever_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "farlib").mkdir()
    (tmp_path / "farlib/__init__.py").write_text("__version__ = '1'\ndef work(): return 1\n")
    (tmp_path / "farlib-1.dist-info").mkdir()  # as `pip install --target` leaves it
    monkeypatch.syspath_prepend(tmp_path)
    import farlib

    source = "import farlib\ndef train_one(): return farlib.work()"
    first = fingerprint(source, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(farlib.work, "__code__", (lambda: 2).__code__)
        assert fingerprint(source, patch) == first, "not followed"
    monkeypatch.setattr(farlib, "__version__", "2")
    assert fingerprint(source, monkeypatch) != first


def test_the_same_in_every_process() -> None:
    code = (
        "from cvhelpers.fingerprint import fingerprint_of\n"
        "names = {'a', 'b', 'c'}\n"
        "def make(p, q, r):\n    return lambda x: (p, q, r, names, x in {'d', 'e', 'f'})\n"
        "print(fingerprint_of(f=make(1, 2, 3)))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
