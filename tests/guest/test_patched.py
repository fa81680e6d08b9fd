"""One way to replace a foreign name: by the inventory, on one thread at a time, and undone whatever happens."""

from __future__ import annotations

import ast
import os
import threading
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from types import SimpleNamespace

import pytest
import torch

import inspector
from inspector.errors import InspectorError
from inspector.patched import PATCHES, TESTED, Patch, acting, inventory, patched, replacing, without_warnings

OPTIONAL = {name for name in ("deepspeed",) if find_spec(name) is None}
PACKAGE = Path(inspector.__path__[0])


class Base:
    def inherited(self):
        return "theirs"


class Theirs(Base):
    FLAG = False

    def called(self, *, loud=False):
        return "theirs!" if loud else "theirs"


Theirs.MAPPING = {"theirs": 1}
OWNER = "tests_guest_theirs:Theirs"


@pytest.fixture
def theirs(monkeypatch):
    """A library of somebody else's, in the inventory."""
    monkeypatch.setitem(__import__("sys").modules, "tests_guest_theirs", SimpleNamespace(Theirs=Theirs))
    monkeypatch.setitem(inventory.TESTED, "theirs", ">=1,<2")
    shared = {"called": ("self", "loud"), "inherited": ("self",), "FLAG": None, "MAPPING": None, "gone": (),
              "renamed": ("self", "volume")}  # fmt: skip
    entries = {f"theirs.{name}": Patch(OWNER, name, "theirs", "a test", "here", parameters)
               for name, parameters in shared.items()}  # fmt: skip
    monkeypatch.setattr(replacing, "PATCHES", entries)
    Theirs.renamed = Theirs.called
    yield Theirs
    del Theirs.renamed


def elsewhere(function):
    """What a function says on another thread."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join(10)
    return found[0]


def test_a_replacement_acts_on_its_own_thread_alone(theirs):
    ours = {"theirs.called": lambda _self, *, loud=False: f"ours {loud}", "theirs.FLAG": True,
            "theirs.MAPPING": {"ours": 2}, "theirs.inherited": lambda _self: "ours"}  # fmt: skip
    before = dict(vars(Theirs))
    with patched(ours):
        assert Theirs().called(loud=True) == "ours True"
        assert Theirs().inherited() == "ours"
        assert Theirs.FLAG
        assert dict(Theirs.MAPPING) == {"ours": 2}
        assert elsewhere(lambda: Theirs().called(loud=True)) == "theirs!"
        assert elsewhere(lambda: Theirs().inherited()) == "theirs"
        assert not elsewhere(lambda: bool(Theirs.FLAG))
        elsewhere(lambda: Theirs.MAPPING.update(more=3))
        with patched({"theirs.called": lambda _self: "inner"}):
            assert Theirs().called() == "inner"
            assert elsewhere(lambda: Theirs().called()) == "theirs"
        assert Theirs().called() == "ours False"
    assert dict(vars(Theirs)) == before
    assert before["MAPPING"] == {"theirs": 1, "more": 3}
    assert "inherited" not in before
    del Theirs.MAPPING["more"]


def test_a_second_thread_waits(theirs):
    order = []

    def second():
        with patched({"theirs.FLAG": True}):
            order.append("second")

    thread = threading.Thread(target=second)
    with patched({"theirs.FLAG": True}):
        assert acting()
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert not acting()


@pytest.mark.parametrize("name", ["gone", "renamed"])
def test_what_a_library_has_otherwise_is_one_clear_error(theirs, name):
    with pytest.raises(InspectorError, match=rf"Theirs\.{name} .*theirs.*tested with \(>=1,<2\)"), patched({
        "theirs.FLAG": True, f"theirs.{name}": lambda: None,
    }):  # fmt: skip
        pass
    assert Theirs.FLAG is False


def test_what_was_tested_with_is_what_may_be_installed():
    import tomllib

    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    optional = [each for extra in project["optional-dependencies"].values() for each in extra]
    for library, tested in TESTED.items():
        if library != "python":
            assert f"{library}{tested}" in [*project["dependencies"], *optional]


def test_only_names_of_the_inventory_are_replaced():
    with pytest.raises(KeyError), patched({"torch.nn.Module.__call__": lambda: None}):
        pass


def test_a_foreign_change_meanwhile_is_raised_and_the_rest_undone(theirs):
    def foreign(_self):
        return "foreign"

    called = Theirs.called
    with pytest.raises(RuntimeError, match=r"changed by someone else .*Theirs\.called"), patched({
        "theirs.FLAG": True, "theirs.called": lambda _self: "ours",
    }):  # fmt: skip
        Theirs.called = foreign
    assert Theirs.called is foreign
    assert Theirs.FLAG is False
    Theirs.called = called


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_is_nobody_s_guest(theirs):
    """What another thread held when the process was forked does not hold the child up."""
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with patched({"theirs.FLAG": True}):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(10)
    child = os.fork()
    if not child:
        with patched({"theirs.called": lambda _self: "ours"}):
            os._exit(0 if Theirs().called() == "ours" else 1)
    leave.set()
    thread.join(10)
    assert os.waitpid(child, 0)[1] == 0


def test_warnings_of_other_threads_are_heard():
    import warnings

    def warn():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.warn("heard", UserWarning, stacklevel=1)
        return len(caught)

    before = list(warnings.filters)
    with without_warnings():
        warnings.warn("not heard", UserWarning, stacklevel=1)
        assert elsewhere(warn) == 1
        with pytest.raises(UserWarning):
            raise elsewhere(lambda: _raised("as an error"))
    assert warnings.filters == before


def _raised(text):
    import warnings

    try:
        warnings.warn(text, UserWarning, stacklevel=1)
    except UserWarning as error:
        return error
    return None


def test_the_libraries_have_every_name_with_its_parameters():
    for key, patch in PATCHES.items():
        if patch.library in OPTIONAL or (patch.later and not hasattr(resolve_name(patch.owner), patch.name)):
            continue
        replacing._Made(patch, lambda: None)
        assert key == patch.key


def test_the_default_dtype_is_a_thread_s_own():
    from transformers import ImageGPTConfig, ImageGPTModel, XLNetConfig, XLNetModel

    from inspector.architecture.default_dtype import own_default_dtype
    from inspector.architecture.quiet import quiet

    def dtypes(model):
        return {name: each.dtype for name, each in (*model.named_parameters(), *model.named_buffers())}

    small = ((XLNetModel, XLNetConfig(d_model=32, n_layer=1, n_head=2, d_inner=32, vocab_size=50)),
             (ImageGPTModel, ImageGPTConfig(n_embd=32, n_layer=1, n_head=2, vocab_size=50)))  # fmt: skip
    for cls, config in small:
        with quiet(), torch.device("meta"):
            real = dtypes(cls._from_config(config, dtype=torch.bfloat16))
            with own_default_dtype():
                ours = dtypes(cls._from_config(config, dtype=torch.bfloat16))
        assert ours == real
    with own_default_dtype(torch.bfloat16):
        assert torch.arange(3).dtype is torch.int64
        assert (torch.arange(3) / 2).dtype is torch.get_default_dtype() is torch.bfloat16
        assert torch.empty(2).dtype is torch.tensor(1.0).dtype is torch.linspace(0, 1, 2).dtype is torch.bfloat16
        assert torch.arange(2).float().dtype is torch.zeros(2, dtype=torch.float32).sum().dtype is torch.float32
        assert elsewhere(lambda: torch.empty(2).dtype) is torch.float32
    assert torch.empty(2).dtype is torch.float32


def foreign_names(tree):
    """Names in a file that stand for other libraries' modules, classes and functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((each.asname or each.name).partition(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith("inspector"):
            yield from (each.asname or each.name for each in node.names)


def root_of(node):
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def assigned(tree):
    """Where attributes are assigned to or deleted, and what is handed to ``setattr`` and its like."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.Delete)):
            yield from ((node, target) for target in node.targets)
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
            yield node, node.target
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"setattr", "delattr"}:
            yield node, ast.Attribute(node.args[0])
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            yield node.context_expr, node.optional_vars


CHILDREN = (PACKAGE / "simulate" / "script" / "child", PACKAGE / "serving" / "vllm" / "child")
"""Run in processes of their own, which are there to be changed; their inventories are their own."""


def test_nothing_else_in_the_package_assigns_to_a_foreign_attribute():
    found = []
    # The program's own, where a shell closed it; the hook of errors, which PyTorch's process group leaves changed; a
    # module by a name of ours.
    allowed = {
        ("cli/main.py", "sys.stdout"), ("simulate/parallel/world.py", "sys.excepthook"),
        ("checkpoint/gguf_tables.py", "sys.modules[_OURS]"),
    }  # fmt: skip
    for path in sorted(PACKAGE.rglob("*.py")):
        if any(path.is_relative_to(child) for child in CHILDREN):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        foreign = set(foreign_names(tree))
        found += [
            f"{path.relative_to(PACKAGE)}:{node.lineno}"
            for node, target in assigned(tree)
            if isinstance(target, (ast.Attribute, ast.Subscript))
            and root_of(target) in foreign
            and (str(path.relative_to(PACKAGE)), ast.unparse(target)) not in allowed
        ]
    assert found == []


SETTERS = {
    "set_default_dtype", "set_default_device", "set_num_threads", "manual_seed", "set_rng_state", "seed", "setLevel",
    "set_verbosity", "catch_warnings", "simplefilter", "filterwarnings", "register_module_module_registration_hook",
    "register_module_parameter_registration_hook", "addHandler", "removeHandler",
}  # fmt: skip
OWN = {
    ("measure/train.py", "manual_seed"), ("measure/weightsource.py", "manual_seed"),
    ("measure/quality.py", "manual_seed"), ("simulate/long_run/order.py", "manual_seed"),
    ("cli/main.py", "addHandler"), ("cli/main.py", "setLevel"),
}  # fmt: skip
"""A measurement's own process, generators of our own, and the command line's own logger."""


def test_nothing_in_the_package_sets_what_is_the_process_s():
    found = set()
    for path in PACKAGE.rglob("*.py"):
        if any(path.is_relative_to(child) for child in CHILDREN):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SETTERS:
                found.add((str(path.relative_to(PACKAGE)), node.func.attr))
    assert found <= OWN
