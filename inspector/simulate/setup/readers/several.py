"""Several files, and what was typed beside them, as one training: what goes first, and what excludes each other."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.simulate.setup.parallel import ParallelSetup, changed, read
from inspector.simulate.setup.readers.accelerate import is_accelerate, read_accelerate
from inspector.simulate.setup.readers.config_file import ConfigFile, read_config_file
from inspector.simulate.setup.readers.deepspeed import is_deepspeed, read_deepspeed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inspector.simulate.setup.readers.says import FileSays

MOST_FILES = 8
_AUTOCAST = frozenset({"autocast", "outputs_fp32"})
_IGNORED_BESIDE_A_FILE = frozenset({
    "gradient_accumulation_steps", "gradient_clipping", "zero_stage", "offload_optimizer_device",
    "offload_param_device", "offload_param_nvme_path", "offload_optimizer_nvme_path", "zero3_save_16bit_model",
    "mixed_precision",
})  # fmt: skip
"""``DeepSpeedPlugin._deepspeed_config_checks``."""


@dataclass(frozen=True, slots=True)
class Several:
    """What files and options say together.

    ``parallel`` is None for one card. ``settings`` are those of the fine-tuning that files set, ``set_at`` where, and
    ``deepspeed`` is a DeepSpeed config with its ``auto`` as it is. ``not_understood`` are lines about the rest.
    ``model`` is the one that a trainer's file names.
    """

    parallel: ParallelSetup | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    set_at: Mapping[str, str] = field(default_factory=dict)
    deepspeed: Mapping[str, Any] | None = None
    not_understood: tuple[str, ...] = ()
    model: str | None = None


def several(
    files: Sequence[Path | str | ConfigFile] = (),
    *,
    parallel: str = "",
    gpus: int | None = None,
    nodes: int | None = None,
    offload: str | None = None,
) -> Several:
    """What to train on. What is typed goes before what a file says; another way of sharing than a file's is refused.

    Args:
        files: of accelerate and DeepSpeed, by their content, or read already.
        parallel: a way as `inspector.simulate.setup.parallel.read` takes it.
        gpus: cards in all.
        nodes: machines.
        offload: ``params``, ``optimizer`` or ``none``.

    Raises:
        InspectorError: for a file that is neither, for what contradicts each other, and for a number missing.
    """
    if len(files) > MOST_FILES:
        raise InspectorError(f"--config names {len(files)} files, and at most {MOST_FILES} make one training")
    said = _in_order([_read(file if isinstance(file, ConfigFile) else read_config_file(Path(file))) for file in files])
    settings: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    at: dict[str, str] = {}
    words = ""
    for one in said:
        if one.parallel and words and one.parallel != words:
            raise InspectorError(f"{one.name} says {one.parallel}, another file {words}", hint="keep one of them")
        words = one.parallel or words
        settings |= one.settings
        fields |= one.fields
        at |= one.set_at
    found_gpus = next((one.gpus for one in said if one.gpus is not None), None)
    found_nodes = next((one.nodes for one in said if one.nodes is not None), None)
    made = _setup(words, found_gpus, found_nodes, fields, parallel, gpus, nodes, offload)
    deepspeed = next((one.deepspeed for one in reversed(said) if one.deepspeed is not None), None)
    return Several(made, settings, at, deepspeed, tuple(note for one in said for note in one.not_understood))


def _read(file: ConfigFile) -> FileSays:
    if is_accelerate(file):
        return _with_its_deepspeed(read_accelerate(file))
    if is_deepspeed(file):
        return read_deepspeed(file)
    raise InspectorError(
        f"{file.name} is a file of neither accelerate nor DeepSpeed", hint="accelerate's has a distributed_type, "
        "DeepSpeed's zero_optimization"
    )  # fmt: skip


def _with_its_deepspeed(said: FileSays) -> FileSays:
    """Accelerate's own section read as the DeepSpeed config that its plugin makes of it."""
    if said.deepspeed is None:
        return said
    of_it = read_deepspeed(ConfigFile(said.name, said.deepspeed, {}))
    # The plugin's precision is DeepSpeed's own: nothing is autocast, and no output converted.
    settings = {name: value for name, value in said.settings.items() if name not in _AUTOCAST}
    return replace(said, parallel=of_it.parallel, fields={**said.fields, **of_it.fields},
                   settings={**settings, **of_it.settings}, set_at={**of_it.set_at, **said.set_at})  # fmt: skip


def _in_order(said: list[FileSays]) -> list[FileSays]:
    """Accelerate's first; refused as accelerate refuses a DeepSpeed file beside fields of its own."""
    tools = [one.tool for one in said]
    for tool in set(tools):
        if tools.count(tool) > 1:
            raise InspectorError(f"--config names {tools.count(tool)} files of {tool}", hint="give one of them")
    ordered = sorted(said, key=lambda one: one.tool)
    if tools and {"accelerate", "deepspeed"} <= set(tools):
        launcher, engine = ordered
        if launcher.parallel and not launcher.parallel.startswith("zero"):
            raise InspectorError(f"{launcher.name} trains with {launcher.parallel}, {engine.name} is DeepSpeed's",
                                 hint="distributed_type: DEEPSPEED, or leave one out")  # fmt: skip
        own = sorted(_IGNORED_BESIDE_A_FILE & set(launcher.own_deepspeed_keys))
        if own:
            raise InspectorError(
                "When using `deepspeed_config_file`, the following accelerate config variables will be ignored: "
                f"{', '.join(own)} ({launcher.name})", hint=f"say them in {engine.name} alone"
            )  # fmt: skip
        settings = {
            name: value for name, value in launcher.settings.items() if name not in {"autocast", "outputs_fp32"}
        }
        ordered[0] = replace(launcher, settings=settings)
    elif tools == ["accelerate"] and ordered[0].own_deepspeed_keys and not ordered[0].parallel:
        raise InspectorError(
            f"{ordered[0].name} names a DeepSpeed file", hint="give that file too: --config ds_config.json"
        )
    return ordered


def _setup(
    words: str,
    found_gpus: int | None,
    found_nodes: int | None,
    fields: Mapping[str, Any],
    parallel: str,
    gpus: int | None,
    nodes: int | None,
    offload: str | None,
) -> ParallelSetup | None:
    count = gpus if gpus is not None else found_gpus
    machines = nodes if nodes is not None else found_nodes or 1
    chosen = parallel or words
    if not chosen:
        if (count or 1) == 1 and machines == 1 and offload in {None, "none"}:
            return None
        raise InspectorError(
            f"{count or 1} cards share a training in many ways", hint="say which: --parallel fsdp2, ..."
        )
    if count is None:
        raise InspectorError(f"{chosen} is for several cards, and how many is not said", hint="--gpus 8")
    made = read(chosen, count, nodes=machines)
    if parallel and words and made.strategy != read(words, count, nodes=machines).strategy:
        raise InspectorError(f"--parallel {parallel} and a --config that says {words} contradict each other",
                             hint="leave one of them out")  # fmt: skip
    said = dict(fields) if words else {}
    if offload is not None:
        said["offload"] = offload
    return changed(made, **said) if said else made
