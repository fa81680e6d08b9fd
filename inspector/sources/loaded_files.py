"""Which of a folder's files are loaded, by their names alone: the same on the disk and on the hub.

The order is that of transformers (modeling_utils.py, ``_get_resolved_checkpoint_files``, and before it
``get_distributed_checkpoint_dir``), for parts of a diffusers pipeline that of diffusers, which takes an index first
(``ModelMixin.from_pretrained``). Where they take nothing, what is there is read all the same, and said so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
INDEX = ".safetensors.index.json"

_TRANSFORMERS = ("model.safetensors", "model" + INDEX, "pytorch_model.bin", "pytorch_model.bin.index.json")
DIFFUSERS = (
    "diffusion_pytorch_model" + INDEX, "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin",
)  # fmt: skip
_EXTRA = {"jev": ("head.safetensors", "readout.safetensors")}
"""Files that a class loads besides, where they are there (``PreTrainedConfig.extra_files``), by ``model_type``."""

_DISTRIBUTED = re.compile(r"shard-\d{5}-model-\d{5}-of-\d{5}\.safetensors")
_VARIANT = re.compile(
    r"(?:model|diffusion_pytorch_model)\.(?:safetensors\.index\.([\w-]+)\.json|([\w-]+)\.safetensors)"
    r"|diffusion_pytorch_model\.safetensors\.([\w-]+)\.index\.json"
)
# A shard of a variant is named by the variant's index: model.fp16-00001-of-00002.safetensors.
_SHARD = re.compile(r"-\d{5}-of-\d{5}")
_OF_TRAINING = re.compile(r"(?:training_args|optimizer|scheduler|rng_state|scaler|random_states)[\w.-]*")
_WEIGHTS = (".safetensors", ".gguf", ".h5", ".msgpack", *PICKLES)
_UNFINISHED = (".aria2", ".crdownload", ".incomplete", ".part", ".partial", ".download")
"""What downloaders call a file, or the list of its missing pieces, before it is whole."""

_MOST_LISTED = 8


@dataclass(frozen=True)
class Taken:
    """What is loaded of a folder.

    ``index`` names the index whose shards are loaded, or ``files`` are they; both are empty where there is nothing.
    ``unread`` is what is loaded and not opened here. ``notes`` say what is not as ``from_pretrained`` has it.
    """

    files: tuple[str, ...] = ()
    index: str = ""
    unread: str = ""
    notes: tuple[str, ...] = ()


def loaded_files(names: Collection[str], config: Mapping[str, Any] | None) -> Taken:
    """What is loaded of a folder with these files. Raises InspectorError for a config that names a file out of it.

    ``config`` is the content of its ``config.json``, None when it has none: then nothing is loaded by itself.
    """
    # macOS leaves ``._model.safetensors`` on other disks: properties of the file, and no file of weights.
    names = {name for name in names if not name.startswith(".")}
    if config is None:
        return _safetensors_at_all(names) if (found := _usual(names, {})) is None or found.unread else found
    explicit = config.get("transformers_weights")
    if shards := sorted(name for name in names if _DISTRIBUTED.fullmatch(name)):
        return Taken(unread=shards[0])
    if isinstance(explicit, str):
        return _taken(_explicit(explicit, names))
    found = _usual(names, config)
    return _safetensors_at_all(names) if found is None else found


def resolved(names: Collection[str], variant: str = "", orders: Iterable[str] = _TRANSFORMERS) -> str:
    """The file that transformers looks for first and finds among these names; empty when it finds none."""
    return next((name for usual in orders for name in _with_variant(usual, variant) if name in names), "")


def _usual(names: set[str], config: Mapping[str, Any]) -> Taken | None:
    """The files of the usual names, then those of a variant; None where there are none."""
    # A part of a pipeline is known by its class; of a folder that is neither, transformers' names go first.
    orders = (DIFFUSERS, _TRANSFORMERS) if "_class_name" in config else (_TRANSFORMERS, DIFFUSERS)
    if found := resolved(names, orders=orders[0]):
        extra = [name for name in _EXTRA.get(str(config.get("model_type")), ()) if name in names and name != found]
        taken = _taken(found)
        return Taken((*taken.files, *extra), taken.index, taken.unread) if extra and taken.files else taken
    if (found := resolved(names, orders=orders[1])) and ".bin" not in found:
        return Taken(*_read(found), notes=(_not_looked_for(found),))
    variants = sorted({variant for name in names if (variant := _variant_of(name))})
    if not variants:
        return None
    # fp16 first, the one that most repositories have.
    variant = "fp16" if "fp16" in variants else variants[0]
    found = next(name for order in orders if (name := resolved(names, variant, order)) and ".bin" not in name)
    return Taken(
        *_read(found),
        notes=(f'only variants are here: read is {variant}, which from_pretrained loads with variant="{variant}"',),
    )


def _safetensors_at_all(names: set[str]) -> Taken:
    """All safetensors that are parts of a model, where no loader looks for their names."""
    if indexes := sorted(name for name in names if name.endswith(INDEX)):
        return Taken(index=indexes[0], notes=(_not_looked_for(indexes[0]),))
    # Adapters and the original format of Mistral (consolidated) are other copies, not parts of the model.
    files = sorted(
        name for name in names if name.endswith(".safetensors") and not name.startswith(("adapter_", "consolidated"))
    )
    if not files:
        return Taken()
    why = f"neither model.safetensors nor model{INDEX} is here, which from_pretrained looks for: {_few(files)} read"
    return Taken(tuple(files), notes=(why,))


def _not_looked_for(name: str) -> str:
    return f"from_pretrained does not look for {name}, which was read"


def _taken(name: str) -> Taken:
    if name.endswith((".safetensors", ".json")) and ".bin." not in name:
        return Taken(*_read(name))
    return Taken(unread=name)


def _read(name: str) -> tuple[tuple[str, ...], str]:
    return ((name,), "") if name.endswith(".safetensors") else ((), name)


def _explicit(name: str, names: set[str]) -> str:
    """The file that a config names itself (``transformers_weights``), which is loaded before all others."""
    # As plain as the names of an index: nothing that could lead out of the folder.
    plain = not ("/" in name or "\\" in name or "\0" in name or name.startswith("."))
    if not plain or not name.endswith((".safetensors", INDEX, "adapter_model.bin")):
        raise InspectorError(
            f"transformers_weights is {name[:80]!r}, which is no safetensors file beside the config",
            hint="such a config is refused: it could point anywhere",
        )
    if name not in names:
        raise InspectorError(f"transformers_weights names {name[:80]}, which is not there", hint="download it")
    return name


def _with_variant(name: str, variant: str) -> tuple[str, ...]:
    """As ``_add_variant`` of transformers and of diffusers, and then the form that diffusers had before."""
    stem, _, suffix = name.rpartition(".")
    if not variant:
        return (name,)
    before = name.removesuffix(".index.json")
    old = (f"{before}.{variant}.index.json",) if before != name and name in DIFFUSERS else ()
    return (f"{stem}.{variant}.{suffix}", *old)


def _variant_of(name: str) -> str:
    """The variant that a file's name says; empty where it says none."""
    found = _VARIANT.fullmatch(name)
    return next(word for word in found.groups() if word) if found else ""


def left_alone(names: Iterable[str], read: Collection[str], *, on_hub: bool = False) -> tuple[str, ...]:
    """A note on the files of weights that lie beside those that are loaded, by name; none where there are none.

    ``on_hub`` says that they are of an id of the hub: with an adapter's config there, transformers loads another model
    (integrations/peft.py, ``maybe_load_adapters``).
    """
    names = [name for name in names if not name.startswith(".")]
    on_top = "adapter_config.json" in names and "config.json" in names
    rest = sorted(
        name
        for name in names
        if name not in read
        and (name.endswith((*_WEIGHTS, *_UNFINISHED)) or _is_index(name))
        and not _OF_TRAINING.fullmatch(name)
    )
    if not rest:
        return ()
    families: dict[str, list[str]] = {}
    for name in rest:
        families.setdefault(_SHARD.sub("", name) if _SHARD.search(name) else name, []).append(name)
    goes = _ON_HUB if on_top and on_hub else _ON_TOP if on_top else ""
    said = [_few(family) + _why(family[0], goes) for family in families.values()]
    more = f" and {len(said) - _MOST_LISTED:,} more" if len(said) > _MOST_LISTED else ""
    return (f"beside what is loaded: {', '.join(said[:_MOST_LISTED])}{more}",)


def _is_index(name: str) -> bool:
    return name.endswith(".json") and ".index." in name


_ON_TOP = ", which from_pretrained puts on top"
_ON_HUB = (
    ": from_pretrained of this id loads the base that adapter_config.json names and puts it on top; what is counted"
    " here it loads of a folder of these files"
)


def _why(name: str, goes: str) -> str:
    """What a file is, where its name says so; ``goes`` is where an adapter goes."""
    if name.endswith(_UNFINISHED):
        return " (a download that has not ended)"
    if name.startswith("adapter_"):
        return f" (an adapter{goes})"
    if name.endswith(PICKLES):
        return " (a pickle)"
    if variant := _variant_of(name):
        return f" (variant {variant})"
    return ""


def _few(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    return f"{names[0]} to {names[-1]} ({len(names):,} files)"


def unread_error(name: str, readable: str = "") -> InspectorError:
    """Why what is loaded is not opened here; ``readable`` says what lies beside it and is."""
    if _DISTRIBUTED.fullmatch(name):
        return InspectorError(
            f"{name} is of a distributed checkpoint, which transformers loads before any other file",
            hint="its tensors lie in slices: save it whole with save_pretrained",
        )
    return pickle_refused(name, readable if "can be read" in readable else "")


def pickle_refused(name: str, readable: str = "") -> InspectorError:
    """Why a pickle is not opened, or a list of them."""
    what = "is a pickle, which can run any code when it is opened"
    return InspectorError(
        f"{name} {'lists pickles, which can run any code when they are opened' if name.endswith('.json') else what}",
        hint=readable or "convert it once where you trust it: save_pretrained writes safetensors",
    )
