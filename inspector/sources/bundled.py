"""The models that ship with the package: their configs and their skeletons, found by name."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError, closest
from inspector.skeleton.json_form import loads

if TYPE_CHECKING:
    from inspector.skeleton import Skeleton

DATA = Path(__file__).parent.parent / "data"
CONFIGS = DATA / "models"
SKELETONS = DATA / "skeletons"
DEFAULT_MODEL = "meta-llama/Llama-3.1-8B"


@lru_cache(maxsize=1)
def model_ids() -> tuple[str, ...]:
    """The ids of the bundled models, in alphabetical order."""
    return tuple(sorted(path.stem.replace("--", "/", 1) for path in CONFIGS.glob("*--*.json")))


def find(name: str) -> str | None:
    """The bundled id a name means: an id, its part after the slash, or a unique ending, in any case of letters.

    Raises InspectorError when the name is the ending of several; returns None when it is the ending of none.
    """
    wanted = name.strip().lower()
    ids = model_ids()
    # The narrowest meaning first: an id in full is never the ending of another.
    for means in (
        lambda model: model == wanted,
        lambda model: model.partition("/")[2] == wanted,
        lambda model: wanted and model.endswith(wanted),
    ):
        matches = [model for model in ids if means(model.lower())]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise InspectorError(f"{name!r} could mean {_listed(matches)}", hint="write more of the name")
    return None


def nearest(name: str, count: int = 5) -> list[str]:
    """The bundled ids most like a name, best first."""
    wanted = name.strip().lower()
    by_name = {model.lower(): model for model in model_ids()}
    short = {model.partition("/")[2]: model for model in by_name}
    # The whole id before the part after its slash: the nearer of both comes first.
    close = closest(wanted, by_name, most=count, cutoff=0.5)
    close += [short[key] for key in closest(wanted.rpartition("/")[2], short, most=count, cutoff=0.5)]
    return [by_name[key] for key in dict.fromkeys(close)][:count]


def unknown_model(name: str) -> InspectorError:
    """The error for a name that is no bundled model and no path."""
    close = nearest(name)
    hint = f"did you mean {_listed(close)}?" if close else "`inspector models` lists the bundled ones"
    return InspectorError(f"no bundled model, folder or config file is named {name!r}", hint=hint)


def skeleton_path(model_id: str) -> Path:
    """Where a bundled model's skeleton is kept."""
    return SKELETONS / f"{model_id.replace('/', '--', 1)}.json"


def load_bundled(model_id: str) -> Skeleton:
    """The skeleton of a bundled model, by its exact id; a note says so when another transformers is installed."""
    skeleton = shipped_skeleton(model_id)
    with suppress(PackageNotFoundError):
        if (found := f"transformers {version('transformers')}") != skeleton.built_with:
            note = f"as {skeleton.built_with} makes it, with which it was bundled; {found} is installed"
            return replace(skeleton, notes=(*skeleton.notes, note))
    return skeleton


def shipped_skeleton(model_id: str) -> Skeleton:
    """The skeleton of a bundled model as it was shipped, by its exact id."""
    return loads(skeleton_path(model_id).read_text(encoding="utf-8"))


def bundled_config(model_id: str) -> dict[str, Any]:
    """The ``config.json`` of a bundled model, by its exact id."""
    path = CONFIGS / f"{model_id.replace('/', '--', 1)}.json"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return config


def _listed(names: list[str], most: int = 6) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} or {len(names) - most} more"
