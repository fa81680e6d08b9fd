"""Files that are named beside options, a trainer's among them, as one training: what is typed goes before them all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from inspector.errors import InspectorError
from inspector.simulate.setup.configured import read_config
from inspector.simulate.setup.from_config import mixed_dtype, model_of, settings_of
from inspector.simulate.setup.parallel import changed
from inspector.simulate.setup.readers.accelerate import is_accelerate
from inspector.simulate.setup.readers.config_file import ConfigFile
from inspector.simulate.setup.readers.several import Several, several
from inspector.simulate.setup.words import Dtype

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from inspector.simulate.setup.configured import ConfigReport


def together(
    files: Sequence[Path | str], said: Mapping[str, Any], *, tool_version: str = "", parallel: str = "",
    gpus: int | None = None, nodes: int | None = None, offload: str | None = None,
) -> Several:  # fmt: skip
    """Files and what is typed of cards, as one.

    Args:
        files: of a trainer, of accelerate, of DeepSpeed; none is fine.
        said: settings that are typed; None means "not said".
        tool_version: of the trainer, as in `read_config`.
        parallel: a way as `inspector.simulate.setup.parallel.read` takes it.
        gpus: cards in all.
        nodes: machines.
        offload: ``params``, ``optimizer`` or ``none``.

    Raises:
        InspectorError: for a broken file, for what contradicts each other, and for what no dry run has.
    """
    if not files:
        return several((), parallel=parallel, gpus=gpus, nodes=nodes, offload=offload)
    report = read_config(files, tool_version=tool_version, gpus=gpus)
    settings, at = settings_of(report, {name: value for name, value in said.items() if value is not None})
    own = report.options
    gpus = gpus if gpus is not None else own.get("gpus")
    parallel = parallel or str(own.get("parallel", "")) or _way(report, gpus)
    launchers = [_counted(file, gpus, settings) for file in report.launchers]
    cards = several(launchers, parallel=parallel, gpus=gpus, nodes=nodes, offload=offload)
    if not settings:
        return cards
    cards, settings = _held_by_deepspeed(_packed_as_said(cards, report), settings)
    return replace(
        cards, settings={**cards.settings, **settings}, set_at={**cards.set_at, **at},
        not_understood=(*_unread(report), *cards.not_understood), model=model_of(report),
    )  # fmt: skip


def _way(report: ConfigReport, gpus: int | None) -> str:
    """How cards share it where the trainer itself decides, and no file of a launcher: torchtune's FSDP2, a DDP."""
    kind = report.value("parallel.kind")
    several_cards = gpus is not None and gpus > 1
    if report.launchers or kind is None:
        return ""
    if kind == "fsdp2":
        return "fsdp2"
    return "ddp" if kind == "ddp" and several_cards else ""


def _counted(file: ConfigFile, gpus: int | None, settings: Mapping[str, Any]) -> ConfigFile:
    """A trainer's section of FSDP with what accelerate is told beside it: how many processes, and the precision."""
    if not is_accelerate(file) or "num_processes" in file.data or "compute_environment" in file.data:
        return file
    if file.data.get("distributed_type") != "FSDP":
        return file  # accelerate's own, of one card
    if gpus is None:
        raise InspectorError(f"{file.name} shares the training by FSDP, and among how many cards is not said",
                             hint="--gpus 8")  # fmt: skip
    precision = str(settings.get("autocast", "none")).replace("none", "no")
    return replace(file, data={**file.data, "num_processes": gpus, "mixed_precision": precision})


def _packed_as_said(cards: Several, report: ConfigReport) -> Several:
    """What 4-bit weights are packed in: FSDP shards floating-point numbers, which trainers choose for it."""
    packed = report.value("quantization.quant_storage")
    if cards.parallel is None or packed not in set(get_args(Dtype)) - {"auto"}:
        return cards
    return replace(cards, parallel=changed(cards.parallel, quant_storage=packed))


def _held_by_deepspeed(cards: Several, settings: Mapping[str, Any]) -> tuple[Several, dict[str, Any]]:
    """The trainer's precision is DeepSpeed's own where it is left to it: nothing is autocast, no output converted."""
    made, word = cards.parallel, settings.get("autocast", "none")
    if made is None or not made.strategy.startswith("zero"):
        return cards, dict(settings)
    settings = {**settings, "autocast": "none", "outputs_fp32": False}
    if word == "none" or cards.deepspeed is None:
        return cards, settings
    filled = dict(cards.deepspeed)
    for half in ("fp16", "bf16"):
        if isinstance(part := filled.get(half), dict) and part.get("enabled") == "auto":
            filled[half] = {**part, "enabled": half == word}
    dtype = made.param_dtype or mixed_dtype(word)
    return replace(cards, parallel=changed(made, param_dtype=dtype), deepspeed=filled), settings


def for_every_way(
    files: Sequence[Path | str], said: Mapping[str, Any], *, tool_version: str = "", one_card: bool
) -> Several:
    """What files say where the ways to share a training are compared, or where one card is asked for.

    Raises InspectorError as `together` does, and where the files share the training and one card is asked for.
    """
    if not files:
        return Several(None)
    report = read_config(files, tool_version=tool_version)
    kind = str(report.value("parallel.kind") or "unknown")
    if one_card and kind not in {"unknown", "single"}:
        where = report.told["parallel.kind"].where
        raise InspectorError(f"{where} shares the training by {kind}, and a card alone is asked for",
                             hint="--gpus 8: ways to share it; or inspector simulate finetune --config")  # fmt: skip
    if report.launchers:
        return together(files, said, tool_version=tool_version, gpus=2)
    settings, at = settings_of(report, {name: value for name, value in said.items() if value is not None})
    return Several(None, settings, at, not_understood=_unread(report), model=model_of(report))


def _unread(report: ConfigReport) -> tuple[str, ...]:
    return tuple(f"{one.where}: {one.key}: {one.why}" for one in report.not_read if one.matters is not False)
