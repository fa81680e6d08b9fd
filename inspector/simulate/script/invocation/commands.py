"""Commands that packages install: `trl sft`, `axolotl train`, `tune run`, and any other by its entry point."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol

from inspector.errors import InspectorError
from inspector.simulate.script.invocation.accelerate import LAUNCH_ONLY, accelerate_launch, take_options
from inspector.simulate.script.invocation.value import Invocation, module_file

if TYPE_CHECKING:
    from collections.abc import Sequence


class Parse(Protocol):
    """`parse_invocation`, which these commands come back to."""

    def __call__(self, words: Sequence[str], *, module: bool = False) -> Invocation:
        """What other words run."""


_OF = {"llamafactory-cli": "llamafactory", "axolotl": "axolotl", "tune": "torchtune", "trl": "trl"}
"""The package of a command whose name is another: what to install when it is missing."""


def console_script(name: str, rest: Sequence[str], parse: Parse) -> Invocation | None:
    """What a command of an installed package runs; None where no package has one of that name.

    Raises InspectorError when its package is known and missing, or the command trains nothing.
    """
    found = next(iter(entry_points(group="console_scripts", name=name)), None)
    if found is None:
        if package := _OF.get(name):
            raise InspectorError(f"{package} is not installed here", hint=f"pip install {package}")
        return None
    if name == "trl":
        return _trl(rest, parse)
    if name == "axolotl" and rest[:1] == ["train"]:
        # Its own command starts another process by accelerate; the module is what that process runs.
        return parse(["axolotl.cli.train", *rest[1:]], module=True)
    return Invocation("entry", f"{found.module}:{found.attr}", tuple(rest), name=" ".join([name, *rest[:1]]))


def _trl(rest: Sequence[str], parse: Parse) -> Invocation:
    """``trl sft ...`` starts ``trl/scripts/sft.py`` by accelerate, which takes what options the script does not know.

    Source: ``TrainingCommand.run`` of trl 1.16, ``trl/cli/commands/training.py``.
    """
    if not rest or rest[0].startswith("-"):
        raise InspectorError("trl is given no command", hint="inspector run -- trl sft --config sft.yaml")
    if rest[0] in {"env", "vllm-serve"}:
        raise InspectorError(f"trl {rest[0]} trains nothing")
    module = f"trl.scripts.{rest[0]}"
    if module_file(module) is None:
        raise InspectorError(f"the trl that is installed here has no command {rest[0]!r}")
    launch, script = take_options(rest[1:], LAUNCH_ONLY)
    launch = [_named_config(word, launch[at - 1] if at else "") for at, word in enumerate(launch)]
    launch = ["--config_file" if word == "--accelerate_config" else word for word in launch]

    def started(words: Sequence[str], *, module: bool) -> Invocation:
        return parse(words, module=module)

    return accelerate_launch([*launch, "-m", module, *script], started)


def _named_config(word: str, option: str) -> str:
    """The file of one of trl's own configs, which are given by their names."""
    if option != "--accelerate_config":
        return word
    home = module_file("trl.accelerate_configs") or module_file("trl")
    file = home.parent / "accelerate_configs" / f"{word}.yaml" if home else None
    return str(file) if file is not None and file.is_file() else word
