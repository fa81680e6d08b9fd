"""What the package imports is declared in pyproject.toml, with a floor; what it patches, with a ceiling too."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest

import inspector
from inspector.patched import TESTED
from scripts.floors import pins

PACKAGE = Path(inspector.__path__[0])
PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOT_INSTALLED = {"_typeshed", "pynvml"}
"""Known to type checkers alone; asked for only where an NVIDIA driver is, and named by `doctor` when it is missing."""
PATCHED = {"torch", "transformers", "peft", "bitsandbytes", "accelerate", "huggingface-hub", "numpy"}


def declared(lines):
    return {re.match(r"[A-Za-z0-9_.-]+", line)[0].lower().replace("_", "-"): line for line in lines}


NEEDED = declared(PROJECT["dependencies"])
EXTRA = declared(line for name, lines in PROJECT["optional-dependencies"].items() if name != "dev" for line in lines)


def imported():
    """Every module that a file of the package imports, by its first name: also inside functions, and by name."""
    for path in PACKAGE.rglob("*.py"):
        if path.parent == PACKAGE / "serving" / "vllm" / "child":
            continue  # run by another environment's Python, which has vLLM
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                names = [item.value for item in node.args[:1] if isinstance(item, ast.Constant)]
            for name in names:
                yield name.partition(".")[0], path.relative_to(PACKAGE).as_posix()


def test_every_import_is_declared():
    owners = {**packages_distributions(), "pptx": ["python-pptx"]}  # the one whose module has another name
    missing = {}
    for name, path in imported():
        if name in sys.stdlib_module_names or name in NOT_INSTALLED or name == "inspector":
            continue
        owned = {owner.lower().replace("_", "-") for owner in owners.get(name, [name])}
        if not owned & (NEEDED.keys() | EXTRA.keys()):
            missing.setdefault(name, path)
    assert missing == {}


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_every_library_has_a_floor_and_what_is_patched_a_ceiling(name):
    line = NEEDED[name]
    assert ">=" in line
    assert name not in PATCHED or re.search(r",<[0-9.]+$", line), f"{name} is patched, or private names of it are read"
    assert name not in PATCHED or len(line.partition(",<")[2]) < 6


def test_the_patches_were_tested_with_what_is_declared():
    for library, tested in TESTED.items():
        if library == "python":
            assert tested.startswith(PROJECT["requires-python"])
        else:
            assert {**EXTRA, **NEEDED}[library.replace("_", "-")] == f"{library}{tested}"


def test_the_pins_of_the_oldest_set_are_the_floors():
    assert [pin.partition("==")[0].lower().replace("_", "-") for pin in pins()] == list(NEEDED)


@pytest.mark.pinned
@pytest.mark.parametrize("name", sorted(NEEDED))
def test_the_pinned_version_is_in_the_range(name):
    def numbers(text):
        return [int(part) for part in text.partition("+")[0].split(".")[:3]]

    floor, _, ceiling = NEEDED[name].partition(">=")[2].partition(",<")
    assert numbers(floor) <= numbers(version(name))
    assert not ceiling or numbers(version(name)) < numbers(ceiling)


def test_the_version_is_the_distribution_s():
    assert inspector.__version__ == PROJECT["version"]
