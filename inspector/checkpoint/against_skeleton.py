"""A checkpoint beside the skeleton its config builds: what is missing, unexpected, misshapen, or there twice.

Names are translated by transformers' own loading rules (``core_model_loading.rename_source_key`` with
``conversion_mapping.get_model_conversion_mapping``), which merge a checkpoint's single experts into fused ones.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from inspector.checkpoint.against_gguf import gguf_findings
from inspector.checkpoint.findings import Finding, Findings
from inspector.checkpoint.gguf_header import parameters
from inspector.checkpoint.stored_names import is_constant, is_part, method, mlx_expert, packed_layers, weight_of
from inspector.reporting import TableReport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.checkpoint import Checkpoint, FileTensor, Overhead
    from inspector.skeleton import Skeleton, Tensor


@dataclass(frozen=True)
class CheckpointReport(TableReport):
    """What a checkpoint stores, held against its skeleton. Sizes in bytes.

    ``constant_bytes`` are quantization constants (scales, zeros, indexes) beside the weights; ``parameters`` are
    logical, those of the skeleton, and of GGUF those of its tensors, which store each once. The four lists are empty
    for a checkpoint that loads without a word. ``holds`` says what a GGUF file holds that is no language model
    alone, ``verdict`` what the comparison came to.
    """

    kind: ClassVar[str] = "checkpoint"

    model: str
    format: str
    quantization: str
    files: int
    file_bytes: int
    num_tensors: int
    tensor_bytes: int
    constant_bytes: int
    parameters: int
    dtypes: tuple[tuple[str, int, int], ...]
    compared: bool
    missing: tuple[Finding, ...]
    unexpected: tuple[Finding, ...]
    misshapen: tuple[Finding, ...]
    redundant: tuple[Finding, ...]
    notes: tuple[str, ...]
    overhead: Overhead | None = None
    holds: str = ""
    verdict: str = ""

    @property
    def bits_per_parameter(self) -> float:
        """Stored bytes in bits, a logical parameter."""
        return 8 * self.tensor_bytes / self.parameters if self.parameters else 0.0


def compare_with_skeleton(checkpoint: Checkpoint, skeleton: Skeleton) -> CheckpointReport:
    """Hold a checkpoint against a skeleton; GGUF, which names its tensors otherwise, against its own header."""
    gguf = checkpoint.format == "gguf"
    findings = gguf_findings(checkpoint) if gguf else _findings(checkpoint, skeleton)
    counts: dict[str, int] = defaultdict(int)
    for tensor in checkpoint.tensors:
        counts[tensor.dtype] += 1
    owners = packed_layers(checkpoint)
    constants = [tensor for tensor in checkpoint.tensors if is_constant(tensor.name, owners)]
    found = dict.fromkeys((*checkpoint.notes, *skeleton.notes_on_files))
    return CheckpointReport(
        model=checkpoint.name,
        format=checkpoint.format,
        quantization=method(checkpoint) or skeleton.facts.quantization,
        files=len(checkpoint.files),
        file_bytes=checkpoint.file_bytes,
        num_tensors=len(checkpoint.tensors),
        tensor_bytes=checkpoint.tensor_bytes,
        constant_bytes=sum(tensor.nbytes for tensor in constants),
        parameters=parameters(checkpoint.tensors) if gguf else skeleton.num_parameters,
        dtypes=tuple((dtype, counts[dtype], nbytes) for dtype, nbytes in checkpoint.dtypes.items()),
        compared=findings.compared,
        missing=findings.missing,
        unexpected=findings.unexpected,
        misshapen=findings.misshapen,
        redundant=findings.redundant,
        notes=tuple(note for note in found if note != checkpoint.holds),
        overhead=checkpoint.overhead,
        holds=checkpoint.holds,
        verdict=findings.verdict,
    )


def _findings(checkpoint: Checkpoint, skeleton: Skeleton) -> Findings:
    # Read off the files themselves, an unknown architecture would only be held against itself.
    if skeleton.architecture == "unknown":
        return Findings(compared=False)
    stored = by_target(checkpoint, skeleton)
    expected = {tensor.name: tensor for tensor in skeleton.tensors if tensor.persistent}
    return Findings(
        compared=True,
        missing=tuple(_missing(expected, stored)),
        unexpected=tuple(_unexpected(skeleton, expected, stored)),
        misshapen=tuple(_misshapen(expected, stored)),
        redundant=tuple(_redundant(expected, stored)),
    )


def by_target(checkpoint: Checkpoint, skeleton: Skeleton) -> dict[str, list[FileTensor]]:
    """Stored tensors by the name transformers loads them into; without torch where all names already agree."""
    known = {tensor.name for tensor in skeleton.tensors}
    owners = packed_layers(checkpoint)
    names = {
        tensor.name: tensor.name if tensor.name in known else mlx_expert(weight_of(tensor.name, owners))
        for tensor in checkpoint.tensors
    }
    # Building the model to translate names takes seconds; most files have the names already.
    if not set(names.values()) <= known and checkpoint.config:
        names = _renamed(names, checkpoint.config, known)
    found: dict[str, list[FileTensor]] = defaultdict(list)
    for tensor in checkpoint.tensors:
        found[names[tensor.name]].append(tensor)
    return found


def _renamed(names: Mapping[str, str], config: Mapping[str, object], known: set[str]) -> dict[str, str]:
    """The names as transformers would rename them for the model of a config."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

    from inspector.architecture import build_model

    model = build_model(config)
    mapping = get_model_conversion_mapping(model)
    renamings = [item for item in mapping if isinstance(item, WeightRenaming)]
    converters = [item for item in mapping if isinstance(item, WeightConverter)]
    state = dict.fromkeys(known, True)
    targets = {
        weight: rename_source_key(weight, renamings, converters, model.base_model_prefix, state)[0]
        for weight in set(names.values())
    }
    return {name: targets[weight] for name, weight in names.items()}


def _missing(expected: Mapping[str, Tensor], stored: Mapping[str, list[FileTensor]]) -> list[Finding]:
    found = []
    # A tied pair may be stored under either name.
    through_another = {tensor.tied_to for name, tensor in expected.items() if tensor.tied_to and name in stored}
    for name, tensor in expected.items():
        if name in stored or name in through_another or (tensor.tied_to and tensor.tied_to in stored):
            continue
        found.append(Finding(name, f"{tensor.role} of shape {list(tensor.shape)} is not stored"))
    return found


def _unexpected(
    skeleton: Skeleton, expected: Mapping[str, Tensor], stored: Mapping[str, list[FileTensor]]
) -> list[Finding]:
    layers = skeleton.facts.num_layers
    buffers = {tensor.name for tensor in skeleton.tensors if not tensor.is_parameter}
    found: list[Finding] = []
    for target, tensors in stored.items():
        if target in expected:
            continue
        # Published with the model, loaded by serving engines only (DeepSeek-V3's layer 61).
        number = re.search(r"\blayers\.(\d+)\.", target)
        why = "the architecture has no such tensor"
        if target in buffers or target.endswith("inv_freq"):
            why = "a buffer that is computed, not loaded"
        # Six digits at most: int() refuses a stranger's thousands of them.
        elif number and layers and len(number[1]) < 7 and int(number[1]) >= layers:
            why = f"a layer beyond the {layers} of the config: multi-token prediction"
        found.extend(Finding(tensor.name, why) for tensor in tensors)
    return found


def _misshapen(expected: Mapping[str, Tensor], stored: Mapping[str, list[FileTensor]]) -> list[Finding]:
    """Weights whose elements do not add up; packed ones hold several in an element and are left out."""
    found = []
    for name, tensors in stored.items():
        if name not in expected:
            continue
        if any(is_part(tensor.name) for tensor in tensors):
            found += _mispacked(expected[name], tensors)
            continue
        # Several tensors for one weight are experts that loading stacks: their elements add up, their shapes differ.
        packed = len(tensors) > 1 or tensors[0].shape == expected[name].shape
        if sum(tensor.numel for tensor in tensors) != expected[name].numel or not packed:
            if len(tensors) == 1 and sorted(tensors[0].shape) == sorted(expected[name].shape):
                continue  # transposed on loading
            shapes = list(tensors[0].shape) if len(tensors) == 1 else f"{len(tensors)} tensors"
            found.append(Finding(name, f"stored as {shapes}, expected {list(expected[name].shape)}"))
    return found


def _mispacked(expected: Tensor, tensors: list[FileTensor]) -> list[Finding]:
    """MLX's words, where they hold no whole number of bits for each weight of a row, or their groups no whole rows.

    Source: mlx's ``mx.quantize``: ``32 // bits`` weights a word where that is whole, else whole rows of words.
    """
    words = [tensor for tensor in tensors if tensor.dtype == "uint32" and tensor.name.endswith(".weight")]
    scales = [tensor for tensor in tensors if tensor.name.endswith(".scales")]
    # Experts that are fused on loading have a pair for each of their parts.
    if len(words) != 1 or len(scales) != 1 or not expected.shape or 0 in expected.shape:
        return []
    (*rows, across), (*groups_of, groups) = words[0].shape or (0,), scales[0].shape or (0,)
    columns = expected.shape[-1]
    bits, left = divmod(32 * across, columns)
    sound = not left and bits in {2, 3, 4, 5, 6, 8} and groups and columns % groups == 0
    if sound and rows == groups_of == list(expected.shape[:-1]):
        return []
    stored = f"packed as {list(words[0].shape)} with scales {list(scales[0].shape)}"
    return [Finding(expected.name, f"{stored}, expected {list(expected.shape)} in 2 to 8 bits")]


def _redundant(expected: Mapping[str, Tensor], stored: Mapping[str, list[FileTensor]]) -> list[Finding]:
    return [
        Finding(name, f"tied to {tensor.tied_to}, yet stored again")
        for name, tensor in expected.items()
        if tensor.tied_to and name in stored and tensor.tied_to in stored
    ]
