"""What a notebook finds that a script does not: `display`, `get_ipython`, and Colab's own modules."""

from __future__ import annotations

import importlib.util
import types
from importlib.machinery import ModuleSpec
from typing import Any

COLAB = ("google.colab", "google.colab.drive", "google.colab.files", "google.colab.userdata", "google.colab.auth",
         "google.colab.output", "google.colab.data_table")  # fmt: skip
KAGGLE = ("kaggle_secrets",)


class _Quiet:
    """Answers every call and every attribute, and does nothing: what only a page in a browser could do."""

    def __call__(self, *_: object, **__: object) -> _Quiet:
        return self

    def __getattr__(self, name: str) -> _Quiet:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Quiet()

    def __repr__(self) -> str:
        return "<not here: answered by a dry run>"


def notebook_names() -> dict[str, Any]:
    """The names that a notebook's cells find without an import: shown values are printed."""

    def display(*values: object, **_: object) -> None:
        for value in values:
            print(value)  # noqa: T201 -- the script's own output

    def answered(prompt: object = "") -> str:
        print(prompt)  # noqa: T201 -- the script's own output
        return ""

    shell = _Quiet()
    return {"display": display, "get_ipython": lambda: shell, "input": answered}


class _Hosted(types.ModuleType):
    """A module of which every name is there and does nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_Quiet(), name)


def hosted_modules() -> dict[str, types.ModuleType]:
    """Modules that only a hosted notebook has, for ``sys.modules``: secrets are a stand-in, the rest does nothing.

    To be put there only for a notebook; a package that is installed is left out.
    """
    wanted = [*COLAB, *KAGGLE] if importlib.util.find_spec("google") else ["google", *COLAB, *KAGGLE]
    made: dict[str, types.ModuleType] = {name: _Hosted(name) for name in wanted}
    for name, module in made.items():
        module.__path__ = []  # a package, so that what lies in it is imported
        module.__spec__ = ModuleSpec(name, None, is_package=True)  # libraries look whether it is there
        parent, _, last = name.rpartition(".")
        if parent in made:
            setattr(made[parent], last, module)
    vars(made["google.colab.userdata"])["get"] = secret
    vars(made["kaggle_secrets"])["UserSecretsClient"] = _Secrets
    return made


def secret(name: str) -> str:
    """Some text: the network, for which secrets are, is refused."""
    return f"{name}-of-a-dry-run"


class _Secrets:
    def get_secret(self, name: str) -> str:
        return secret(name)
