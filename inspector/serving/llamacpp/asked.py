"""llama.cpp itself asked what a model takes: a header without weights, in a child that is ended before it loads.

Needs ``xllamacpp`` (``pip install 'llm-inspector[llamacpp]'``): its server prices the model first, without allocating,
and prints "memory breakdown" (common/fit.cpp, ``common_memory_breakdown_print``).
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.serving.llamacpp.gguf_header import write_header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.serving.llamacpp.settings import LlamaCppSettings
    from inspector.skeleton import Skeleton

SECONDS = 30
_ROW = re.compile(r"\|\s+- (\w+)[^|]*\|[^|=]*=\s*(\d+) \+\s*(\d+) \+\s*(\d+)")
_DONE = "fitting params to free memory took"
_CHILD = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_ubatch, params.n_parallel = (int(word) for word in sys.argv[2:5])
params.kv_unified, params.swa_full, params.verbosity = sys.argv[5] == "True", sys.argv[6] == "True", 4
if sys.argv[7] == "off":
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
xllamacpp.Server(params)
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What llama.cpp answers, in whole MiB of its CPU back end: the model, its caches, the compute buffer."""

    model_mib: int
    context_mib: int
    compute_mib: int
    version: str


def is_here() -> bool:
    """Whether the engine is installed."""
    return find_spec("xllamacpp") is not None


def ask(
    skeleton: Skeleton, config: Mapping[str, object], file_type: str, settings: LlamaCppSettings, context: int
) -> Asked:
    """Write a model's header and ask the engine about it.

    Args:
        skeleton: the model.
        config: its config.
        file_type: how its weights are stored, such as ``q4_k_m``.
        settings: micro-batch, slots and caches.
        context: tokens for all slots.

    Raises:
        InspectorError: where the engine is not installed, does not know the model, or says nothing in half a minute.
    """
    if not is_here():
        raise InspectorError("xllamacpp is not installed", hint="pip install 'llm-inspector[llamacpp]'")
    with tempfile.TemporaryDirectory(prefix="inspector-gguf-") as folder:
        path = Path(folder) / "header.gguf"
        write_header(skeleton, config, file_type, path)
        return ask_file(path, settings, context)


def ask_file(path: Path, settings: LlamaCppSettings, context: int) -> Asked:
    """The same of a file that is there; it is not loaded. Raises InspectorError as `ask`."""
    from importlib.metadata import version

    words = [
        str(path), str(context), str(settings.ubatch_size), str(settings.parallel), str(settings.kv_unified),
        str(settings.swa_full), settings.flash_attn,
    ]  # fmt: skip
    command = [sys.executable, "-c", _CHILD, *words]
    said: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as child:
        clock = threading.Timer(SECONDS, child.kill)
        clock.start()
        try:
            for line in child.stdout or ():
                said.append(line)
                if _DONE in line:
                    break
        finally:
            clock.cancel()
            child.kill()  # it would load the model now
    return read_breakdown("".join(said), version("xllamacpp"))


def read_breakdown(text: str, version: str) -> Asked:
    """The figures of the first breakdown, all devices together. Raises InspectorError where none is printed."""
    first = text.partition("projected to use")[0] or text
    rows = [[int(number) for number in found.groups()[1:]] for found in _ROW.finditer(first)]
    if not rows:
        why = next((line.strip()[-160:] for line in text.splitlines() if "error" in line.lower()), "it says no sizes")
        raise InspectorError(f"llama.cpp does not price this model: {why}", hint="our own rule counts for it")
    model, context, compute = (sum(column) for column in zip(*rows, strict=True))
    return Asked(model, context, compute, version)
