"""Which tensors llama.cpp puts on the card: the last layers, then the output; experts where they are sent.

Source: llama.cpp src/llama-model.cpp (``load_tensors``): the token embedding stays with the host, a tied one is copied
to the card as the output. Since pull request 18148 of 2025-12-17 the output is the first of the layers that ``-ngl``
counts, before it was the last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.skeleton.skeleton import in_tower

if TYPE_CHECKING:
    from inspector.precision import Scheme
    from inspector.serving.llamacpp.settings import LlamaCppSettings
    from inspector.skeleton import Skeleton

ALIGN = 128
"""A buffer of CUDA begins each tensor at a multiple (ggml-cuda.cu, ``get_alignment``)."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Bytes on the card and on the host: of each layer, of its experts alone, of embedding and of output.

    ``downs`` are of the experts' down projections; ``output_first`` is whether ``-ngl 1`` is the output.
    """

    layers: tuple[int, ...]
    experts: tuple[int, ...]
    embedding: int
    output: int
    downs: tuple[int, ...] = ()
    output_first: bool = False

    @property
    def whole(self) -> int:
        """The model's bytes, a tied embedding once."""
        return sum(self.layers) + self.embedding + (self.output if self.output != self.embedding else 0)

    def repeating(self, count: int) -> int:
        """How many of so many layers are no output."""
        return min(max(count - 1, 0) if self.output_first else count, len(self.layers))

    def on_card(self, count: int, off: tuple[int, ...]) -> int:
        """Bytes on the card of ``count`` layers, the output counted as one, less what is ``off`` of each."""
        first = len(self.layers) - self.repeating(count)
        outside = count > (0 if self.output_first else len(self.layers))
        return sum(self.layers[first:]) - sum(off[first:]) + (self.output if outside else 0)


OUTPUT_FIRST = 7470
"""The build from which on the output is first, a few either way: that pull request was merged three days after --fit's
(b7407)."""


def placed(skeleton: Skeleton, scheme: Scheme) -> Placed:
    """A model's bytes by place, each tensor to the next 128 bytes."""
    scheme = scheme.for_model(skeleton)
    facts = skeleton.facts
    layers, experts, downs = ([0] * facts.num_layers for _ in range(3))
    embedding = output = 0
    for tensor in skeleton.own_tensors:
        module = skeleton.module_of(tensor)
        if not tensor.is_parameter or in_tower(tensor.name):
            continue
        size = sum(piece.nbytes for piece in scheme.pieces(module, tensor))
        number = re.search(r"\.(\d+)$", module.layer or "")
        if number and int(number[1]) < facts.num_layers:
            kept = -(-size // ALIGN) * ALIGN
            layers[int(number[1])] += kept
            experts[int(number[1])] += kept if module.part == "expert" else 0
            downs[int(number[1])] += kept if module.part == "expert" and "down" in tensor.name else 0
        elif tensor.owner == facts.input_embeddings:
            embedding += size
        elif module.part == "embedding":
            embedding += size  # positions and types lie beside it
        else:
            output += size
    tied = not any(t.owner == facts.output_embeddings and t.tied_to is None for t in skeleton.tensors)
    return Placed(tuple(layers), tuple(experts), embedding, output + (embedding if tied else 0), tuple(downs))


def experts_on_host(settings: LlamaCppSettings, there: Placed) -> tuple[int, ...]:
    """Bytes of each layer's experts with the host: ``--cpu-moe``, ``--n-cpu-moe N`` (the first N), ``-ot`` "exps=CPU".

    Raises InspectorError for an ``-ot`` that is no pattern of one's own with a place.
    """
    layers = len(there.layers)
    found = [
        settings.cpu_moe or (number < settings.n_cpu_moe and not settings.override_tensor) for number in range(layers)
    ]
    if not settings.override_tensor:
        return tuple(size * here for size, here in zip(there.experts, found, strict=True))
    for rule in settings.override_tensor.split(","):
        pattern, _, place = rule.rpartition("=")
        if not pattern:
            raise InspectorError(f"-ot {rule[:60]!r} names no place", hint='write it as -ot "exps=CPU"')
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise InspectorError(f"-ot {pattern[:60]!r} is no pattern: {error}", hint='such as "exps=CPU"') from error
        if place.upper() == "CPU" and len(pattern) < 200:
            for number in range(layers):
                found[number] |= bool(compiled.search(f"blk.{number}.ffn_gate_exps.weight"))
    return tuple(size * here for size, here in zip(there.experts, found, strict=True))
