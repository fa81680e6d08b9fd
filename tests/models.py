"""Choices among the bundled models, and how deep each is looked at."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from pathlib import Path

from inspector.architecture import build_config
from inspector.config_json import layer_count, with_layers
from inspector.skeleton.identical_layers import Run, fold
from inspector.sources.bundled import bundled_config, load_bundled, model_ids, shipped_skeleton


def distinct(models):
    """One of the models of equal skeletons: a base model and its instruct variant are the same to every library."""
    found = {}
    for model in models:
        skeleton = load_bundled(model)
        found.setdefault((skeleton.modules, skeleton.tensors), model)
    return sorted(found.values())


@dataclass(frozen=True)
class Depth:
    """A bundled model with its first ``layers`` decoder layers alone, or whole with None."""

    model: str
    layers: int | None = None

    def __str__(self):
        return f"{self.model}-{self.layers or 'all'}"

    def config(self):
        whole = bundled_config(self.model)
        return whole if self.layers is None else with_layers(whole, self.layers)

    def skeleton(self):
        """The bundled skeleton without the layers left out: nothing is built, so it stays what is shipped."""
        whole = load_bundled(self.model)
        if self.layers is None:
            return whole
        numbered = re.compile(rf"{re.escape(_stack(self.model)[0])}\.(\d+)(?:\.|$)")

        def stays(name):
            found = numbered.match(name)
            return found is None or int(found[1]) < self.layers

        return replace(
            whole,
            modules=tuple(module for module in whole.modules if stays(module.path)),
            tensors=tuple(tensor for tensor in whole.tensors if stays(tensor.name)),
        )


KEPT = Path(__file__).parent / "golden" / "depths.txt"
"""What `chosen_depths` says, for every worker to read before its first test; a test holds it to today's skeletons."""


def at_depths():
    """Each distinct model with every sort of layer it has, and the smallest of each type with layers of two digits."""
    return [depth for depth, _ in _kept()]


def of_other_names():
    """Those of `at_depths` of which no other has the same modules and tensors by name, class and dtype: not widths."""
    return [depth for depth, own in _kept() if own]


def _kept():
    for line in KEPT.read_text(encoding="utf-8").splitlines():
        model, layers, *like = line.split()
        yield Depth(model, None if layers == "all" else int(layers)), not like


def depths_text():
    """The lines of the kept file: model, layers, and what other line has the same names."""
    lines, first = [], {}
    for depth in chosen_depths():
        skeleton = depth.skeleton()
        modules = tuple((module.path, module.cls, module.base, module.keep) for module in skeleton.modules)
        tensors = tuple((tensor.name, tensor.dtype, tensor.role, tensor.tied_to) for tensor in skeleton.tensors)
        line = f"{depth.model} {depth.layers or 'all'}"
        like = first.setdefault((modules, tensors), line)
        lines.append(line if like == line else f"{line} like {like}")
    return "\n".join(lines) + "\n"


def chosen_depths():
    """Each distinct model with every sort of layer it has, and the smallest of each type with layers of two digits.

    Names and patterns tell layers 1 and 10 apart or do not; a layer beyond is like one of these.
    """
    chosen, depths, smallest = set(), set(), {}
    for model in model_ids():
        skeleton = _shipped(model)
        if (key := (skeleton.modules, skeleton.tensors)) not in chosen:
            chosen.add(key)
            depths.add(shortest(model))
            smallest.setdefault(skeleton.facts.model_type, []).append((len(skeleton.modules), model))
    return sorted(depths | {deep(min(each)[1]) for each in smallest.values()}, key=str)


def deep(model):
    """A model with its first twelve layers, or more where only those have every sort among them; whole with fewer."""
    count = max(12, _stack(model)[1])
    return Depth(model, count if count < layer_count(bundled_config(model)).count else None)


def shortest(model):
    """A model with as many of its first layers as have every sort among them, two at least."""
    return Depth(model, _stack(model)[1])


_shipped = functools.lru_cache(maxsize=1)(shipped_skeleton)


@functools.cache
def _stack(model):
    """The path of a model's decoder layers, and how many of the first have every sort among them, two at least."""
    count = layer_count(bundled_config(model)).count
    # Sliding and full attention have the same modules, but Gemma 3 keeps the frequencies of each outside the layers.
    types = getattr(build_config(bundled_config(model)).get_text_config(), "layer_types", None) or []
    first, ends = {}, {}
    for run in fold(_shipped(model)):
        if isinstance(run, Run):
            first.setdefault(run.stack, {}).setdefault(run.block, run.first + 1)
            ends[run.stack] = run.last + 1
    (stack,) = (stack for stack, end in ends.items() if end == count and "vision" not in stack)
    return stack, max(2, *first[stack].values(), *(types.index(kind) + 1 for kind in set(types)))
