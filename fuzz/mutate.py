"""Mutation that keeps JSON whole: chance on bytes alone hardly ever gets past a JSON parser to what reads the object.

Of the inputs that are JSON, most are parsed, changed at one place and written again; every other input, and some of
these, are left to libFuzzer's own mutations of bytes.
"""

from __future__ import annotations

import json
import random
from typing import Any

import atheris

from inspector.sources.safetensors import PREFIX

BYTES_ALONE = 0.3
"""The share of JSON inputs that libFuzzer mutates as bytes."""

ODD = (
    None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", "a", "../x", "/", "\x1b[31m", "\u202e", "\ud800", "a" * 300, "1" * 5000, "F32", "bf16", "model.safetensors",
    [], {}, [[]], [None], {"": {}},
)  # fmt: skip
"""Values that a careless reader trips over."""


def mutated(name: str, data: bytes, most: int, seed: int) -> bytes:
    """The next input of a target after ``data``, of at most ``most`` bytes."""
    chance = random.Random(seed)  # noqa: S311 -- nothing secret
    found = None if chance.random() < BYTES_ALONE else _parsed(name, data)
    if found is None:
        return bytes(atheris.Mutate(data, most))
    for _ in range(chance.choice((1, 1, 2, 4))):
        found = _changed(found, chance)
    text = json.dumps(found).encode("utf-8", "surrogatepass")
    made = len(text).to_bytes(PREFIX, "little") + text + data[-16:] if name == "safetensors" else text
    return made if len(made) <= most else bytes(atheris.Mutate(data, most))


def _parsed(name: str, data: bytes) -> Any:
    if name == "safetensors":
        data = data[PREFIX : PREFIX + int.from_bytes(data[:PREFIX], "little")]
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, (dict, list)) else None


def _changed(found: Any, chance: random.Random) -> Any:
    """The same object with one thing in it replaced, taken away, doubled, moved or renamed."""
    places = list(_places(found))
    if not places:
        return found
    holder, key = chance.choice(places)
    value = chance.choice([*ODD, chance.choice(places)[0], holder[key]])
    match chance.randrange(5):
        case 0 if isinstance(holder, dict):
            holder[chance.choice(["", "a", "\n", *map(str, holder)])] = holder[key]
        case 1 if len(holder) > 1:
            del holder[key]
        case 2 if isinstance(holder, list):
            holder.insert(key, holder[key])
        case 3 if isinstance(holder[key], int) and not isinstance(holder[key], bool):
            holder[key] += chance.choice((-1, 1, 7, 2**20))
        case _:
            holder[key] = json.loads(json.dumps(value))  # a copy: a list put into itself has no end
    return found


def _places(found: Any) -> list[tuple[Any, Any]]:
    """Every (dict or list, key or index) in an object, without recursion: hostile nesting is deep."""
    places, waiting = [], [found]
    while waiting and len(places) < 20_000:
        holder = waiting.pop()
        for key in holder if isinstance(holder, dict) else range(len(holder)):
            places.append((holder, key))
            if isinstance(holder[key], (dict, list)):
                waiting.append(holder[key])
    return places
