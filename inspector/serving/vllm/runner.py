"""Which of its runners vLLM takes for a model, and whose sampler that has: by release, card and installation.

Sources: vLLM config/vllm.py (``use_v2_model_runner``; until 0.28 ``_is_default_v2_model_runner_model``),
engine/arg_utils.py (``_is_v1_supported_oracle``), v1/sample/ops/topk_topp_sampler.py, requirements/cuda.txt.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inspector.serving.versions import runner_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inspector.gpus import Gpu
    from inspector.serving.versions import Runner

_FIRST, _THEN = {"Qwen3ForCausalLM"}, {"LlamaForCausalLM", "MistralForCausalLM"}
_MIXTURES = {"DeepseekV2ForCausalLM", "GraniteMoeForCausalLM", "Qwen2MoeForCausalLM"}
EVERY_MODEL, DENSE, PACKED_TOO, NAMED, QWEN_ALONE = (0, 29), (0, 25), (0, 24), (0, 23), (0, 21)
"""Since when the second model runner has every model, every dense one that is no hybrid, packed weights too, three
families of 16 bits, one (pull requests 53183, 44443, 44446 and 42667, then the notes of 0.23, 39337)."""
OLDER_CARDS = (0, 10, 2)
"""From here on V1 runs on cards below 8.0 (pull requests 23614 and 24022), which had V0 before."""
WHEELS = (0, 11, 1)
"""From here on the wheels ask for FlashInfer (pull request 26443), which before the official image had alone; and its
sampler, which had been taken where it was there, is no default any more (pull request 26859)."""
ADAPTED = (0, 9)
"""The first release that samples by the FlashInfer of its time (pull request 15777)."""
AGAIN, SECOND_HAS_IT = (0, 21), (0, 23)
"""From when its sampler is the default again, and the second runner's too (pull requests 40376 and 42472)."""


def engine_runner(said: str, version: tuple[int, ...], card: Gpu) -> Runner:
    """V0 or V1: what is said, else V1 where that runs on the card."""
    named = re.search(r"\bv[01]\b(?!\.)", said.lower())
    if not named and (0, 8) <= version < OLDER_CARDS and card.capability < (8, 0):
        return "V0"
    return runner_of(said)


def is_second(version: tuple[int, ...], names: Iterable[str], *, mixture: bool, hybrid: bool, packed: bool) -> bool:
    """Whether V1's second model runner runs a model.

    Args:
        version: vLLM's.
        names: the config's ``architectures``.
        mixture: it has experts.
        hybrid: it has recurrent layers.
        packed: its weights are quantized.
    """
    if version >= EVERY_MODEL:
        return True
    if version < QWEN_ALONE or (packed and version < PACKED_TOO):
        return False
    chosen = set(_FIRST)
    if version >= NAMED:
        chosen |= _THEN
    if version >= PACKED_TOO:
        chosen |= _MIXTURES
    return bool(chosen & set(names)) or (version >= DENSE and not mixture and not hybrid)


def samples_by_flashinfer(
    wanted: bool | None, version: tuple[int, ...], card: Gpu, *, image: bool, second: bool
) -> bool:
    """Whether FlashInfer's sampler is taken.

    ``wanted`` is ``VLLM_USE_FLASHINFER_SAMPLER`` where it is set, ``image`` whether it is the official image.
    """
    if wanted is False or version < ADAPTED or card.capability < (7, 5):
        return False
    if wanted is None and version >= WHEELS:
        return version >= (SECOND_HAS_IT if second else AGAIN)
    return wanted is True or image
