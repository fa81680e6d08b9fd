"""A stranger's ``adapter_config.json``: whether PEFT may be shown it here, and what of it PEFT does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.lora.matching import peft_tables
from inspector.skeleton.patterns import endless

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OPENS = {
    "megatron_config": "imports a module that the config names",
    "layer_replication": "repeats the base model's layers",
    "arrow_config": "mixes other adapters",
    "prompt_tuning_init_state_dict_path": "opens another file",
}
"""Fields that make PEFT run what a config names, or grow a model without end."""

_ELSEWHERE = {
    "XLORA": "opens other adapters", "POLY": "asks for tasks", "MULTITASK_PROMPT_TUNING": "asks for tasks",
    "BOFT": "compiles a kernel", **dict.fromkeys(("FROD", "SHIRA", "UNILORA"), "looks at weights"),
}  # fmt: skip
_MOST_NAMES = 20_000
"""Every linear layer of the largest published models by its full path; PEFT holds each against every module."""


def unfit(config: Mapping[str, object]) -> str:
    """Why PEFT is not shown a config here; "" when it may be."""
    for field, what in _OPENS.items():
        if config.get(field):
            return f"its {field} {what}"
    method = config.get("peft_type")
    if isinstance(method, str) and method in _ELSEWHERE:
        return f"{method} {_ELSEWHERE[method]}"
    if sum(len(value) for value in config.values() if isinstance(value, (list, dict))) > _MOST_NAMES:
        return f"it names over {_MOST_NAMES:,} modules"
    for expression in _expressions(config):
        if endless(expression):
            return f"{expression[:60]!r} may be matched without end"
    return ""


def unknown_fields(config: Mapping[str, object]) -> tuple[str, ...] | None:
    """Fields that the method's config has not in the PEFT of ``data/peft.json``; None when it has no such method."""
    known = peft_tables()["config_fields"].get(config.get("peft_type")) if _is_word(config.get("peft_type")) else None
    if known is None:
        return None
    return tuple(sorted(str(field)[:40] for field in config if field not in known and field != "runtime_config"))


def _is_word(value: object) -> bool:
    return isinstance(value, str)


def _expressions(config: Mapping[str, object]) -> Iterator[str]:
    """What PEFT takes for regular expressions."""
    for field in ("target_modules", "exclude_modules", "feedforward_modules"):
        if isinstance(value := config.get(field), str):
            yield value
    for field in ("rank_pattern", "alpha_pattern", "modules_to_save", "layers_pattern", "target_parameters"):
        value = config.get(field)
        yield from (each for each in (value if isinstance(value, (list, dict)) else [value]) if isinstance(each, str))
