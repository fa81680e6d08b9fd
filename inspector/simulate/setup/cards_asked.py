"""What can be typed of several cards, put together with configuration files. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from inspector.errors import InspectorError
from inspector.simulate.setup.asked_files import together
from inspector.simulate.setup.parallel import ParallelSetup, changed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inspector.simulate.setup.parallel import Offload, Wrap
    from inspector.simulate.setup.readers.several import Several
    from inspector.simulate.setup.words import Dtype

WhichRanks = Literal["all", "first", "last", "heaviest"]


@dataclass(frozen=True, slots=True)
class CardsAsked:
    """What can be said of several cards.

    ``gpus`` are cards in all, ``nodes`` the machines they are in; ``parallel`` is as
    `inspector.simulate.setup.parallel.read` takes it. ``config`` are files of a trainer, accelerate or DeepSpeed, and
    ``tool_version`` the trainer's version. ``rank`` is ``all`` that differ, the ``first``, the ``last`` or the
    ``heaviest``. ``parallel_option`` is any other field of `inspector.simulate.setup.parallel.ParallelSetup`,
    ``name=value``.
    """

    gpus: int | None = None
    parallel: str | None = None
    nodes: int | None = None
    offload: Offload | None = None
    config: Sequence[Path | str] | Path | str = ()
    tool_version: str = ""
    rank: WhichRanks | None = None
    wrap: Wrap | None = None
    quant_storage: Dtype | None = None
    parallel_option: Sequence[str] | Mapping[str, object] | None = None

    def together(self, said_beside: Mapping[str, Any] | None = None) -> Several:
        """Files and options as one; ``said_beside`` are the settings that are typed. Raises InspectorError."""
        if self.rank is not None and self.rank not in get_args(WhichRanks):
            raise InspectorError(
                f"rank {self.rank!r} is not known", hint=f"choose from {', '.join(get_args(WhichRanks))}"
            )
        files = (self.config,) if isinstance(self.config, (str, Path)) else tuple(self.config)
        said = together(files, said_beside or {}, tool_version=self.tool_version, parallel=self.parallel or "",
                        gpus=self.gpus, nodes=self.nodes, offload=self.offload)  # fmt: skip
        more = {name: value for name in ("wrap", "quant_storage") if (value := getattr(self, name)) is not None}
        more |= _fields(self.parallel_option or ())
        if said.parallel is None:
            if more or self.rank is not None:
                names = ", ".join([*more, *(["rank"] if self.rank else [])])
                raise InspectorError(f"{names}: for several cards alone", hint="--gpus 8 --parallel fsdp2")
            return said
        return replace(said, parallel=changed(said.parallel, **more)) if more else said


CARDS = tuple(item.name for item in fields(CardsAsked))


def apart(options: Mapping[str, Any]) -> tuple[CardsAsked, dict[str, Any]]:
    """What is said of several cards, and the rest of the options."""
    rest = dict(options)
    return CardsAsked(**{name: rest.pop(name) for name in CARDS if name in rest}), rest


_TYPES = {item.name: item.type for item in fields(ParallelSetup)}

_ELSEWHERE = {"strategy", "world_size", "nodes", "replicas", "shards", "tp", "ep", "cp", "offload", "deepspeed"}
"""What has an option, or a file, of its own."""


def _fields(said: Sequence[str] | Mapping[str, object]) -> dict[str, Any]:
    """``name=value`` by the fields of `ParallelSetup`, each of its type. Raises InspectorError."""
    pairs = said.items() if hasattr(said, "items") else [part.partition("=")[::2] for part in said]
    found: dict[str, Any] = {}
    for name, value in pairs:
        kind = str(_TYPES.get(name, ""))
        if not kind or name in _ELSEWHERE:
            known = ", ".join(sorted(set(_TYPES) - _ELSEWHERE))
            raise InspectorError(f"--parallel-option knows no {name!r}", hint=f"one of {known}")
        text = str(value).lower()
        if kind == "bool":
            if text not in {"true", "false", "yes", "no", "1", "0"}:
                raise InspectorError(f"--parallel-option {name} is true or false, not {value!r}")
            found[name] = text in {"true", "yes", "1"}
        elif kind == "int":
            if not text.isdecimal():
                raise InspectorError(f"--parallel-option {name} is a whole number, not {value!r}")
            found[name] = int(text)
        else:
            found[name] = str(value)
    return found
