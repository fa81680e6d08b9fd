"""An adapter in GGUF: what it holds, and whether llama.cpp would load it on a base model.

Source: ``llama_adapter_lora_init_impl`` in llama.cpp's src/llama-adapter.cpp, ``get_scale`` in its header, and
tools/export-lora for merging. llama.cpp stops at the first fault; here all of them are told.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Final

from inspector.checkpoint.gguf_header import Announced, adapter_alpha, adapter_base, kind_of, ranks
from inspector.errors import InspectorError
from inspector.lenses.adapter_against_base import BaseAnswer, Finding, listed
from inspector.lenses.adapter_report import AdapterPart, AdapterReport
from inspector.units import MB

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from inspector.checkpoint import Checkpoint, FileTensor

LOADER: Final = "llama.cpp"
_STOPS = f"{LOADER} stops"
_HUB = "https://huggingface.co/"
_PLAIN = frozenset({"float32", "float16", "bfloat16"})


@dataclass(frozen=True)
class Base:
    """A base model by llama.cpp's names: its architecture, and each tensor's shape with the bytes it is stored in.

    Bytes are 0 where it is a config.
    """

    name: str
    architecture: str
    tensors: Mapping[str, tuple[tuple[int, ...], int]]
    files: int = 0


def gguf_adapter_report(stored: Checkpoint, base: str | None) -> AdapterReport:
    """What an adapter in GGUF holds, and llama.cpp's answer on a base.

    Args:
        stored: the adapter's file.
        base: the model to hold it against, as for any command; None for the one that it names, where that is bundled.

    Raises:
        InspectorError: where a ``base`` that was given cannot be found, or has no names in llama.cpp.
    """
    found, reason = _base(stored, base)
    findings = tuple(findings_on(stored, found))
    answer = BaseAnswer("", not_compared=reason, loader=LOADER)
    if found:
        answer = BaseAnswer(found.name, model=found.architecture, findings=findings, loader=LOADER)
    merging = _merging(stored, found) if answer.answer != "fails" else ("it is merged only once it loads",)
    sizes = set(ranks(stored.tensors).values())
    method = stored.metadata.get("adapter.type")
    alora = "adapter.alora.invocation_tokens" in stored.metadata
    return AdapterReport(
        name=stored.name,
        method=f"{str(method or 'unknown')[:40].upper()}{' (aLoRA)' if alora else ''}",
        base_model=adapter_base(stored.metadata),
        rank=sizes.pop() if len(sizes) == 1 else None,
        alpha=adapter_alpha(stored.metadata),
        modules=len(_pairs(stored)),
        parameters=sum(tensor.numel for tensor in stored.tensors),
        trained_parameters=sum(tensor.numel for tensor in stored.tensors),
        tensor_bytes=stored.tensor_bytes,
        file_bytes=stored.file_bytes,
        parts=tuple(_parts(stored)),
        merge_elements=None,
        notes=(*stored.notes, *_scales(stored), *merging),
        base=answer,
        findings=findings,
    )


def _base(stored: Checkpoint, base: str | None) -> tuple[Base | None, str]:
    """The base, or why there is none to hold it against."""
    if base is not None:
        return base_of(base), ""
    from inspector.sources.bundled import model_ids

    said = adapter_base(stored.metadata)
    wanted = said.removeprefix(_HUB).strip("/").lower()
    known = next((name for name in model_ids() if name.lower() == wanted), "")
    if not known:
        of = f"its base, {said[:80]}, is not at hand" if said else "it names no base"
        return None, f"not held against a base: {of}; --base MODEL says which"
    try:
        return base_of(known), ""
    except InspectorError as error:
        return None, f"not held against its base, {known}: {error}"


def base_of(reference: str) -> Base:
    """A base model by llama.cpp's names: of a GGUF file its tensors, of any other those that converting makes of it.

    Raises InspectorError when it cannot be found, is no model, or llama.cpp has no names for it.
    """
    from inspector.precision.gguf import gguf_architecture, gguf_shapes
    from inspector.sources.gguf_source import GgufSource
    from inspector.sources.resolve import locate

    source = locate(reference)
    if not isinstance(source, GgufSource):
        skeleton = source.skeleton
        shapes = {name: (shape, 0) for name, shape in gguf_shapes(skeleton).items()}
        return Base(source.name, gguf_architecture(skeleton), shapes)
    model = source.stored
    if kind_of(model.metadata, model.tensors) != "model":
        raise InspectorError(f"{source.where} is no base: {model.holds}", hint="give the model's own file to --base")
    tensors = {tensor.name: (tensor.shape, tensor.nbytes) for tensor in model.tensors}
    return Base(source.name, Announced(model.metadata).architecture, tensors, len(model.files))


def _pairs(stored: Checkpoint) -> dict[str, dict[str, FileTensor]]:
    """Both halves by the base tensor's name, ``lora_a`` and ``lora_b``."""
    found: dict[str, dict[str, FileTensor]] = {}
    for tensor in stored.tensors:
        owner, _, half = tensor.name.rpartition(".")
        if half in {"lora_a", "lora_b"}:
            found.setdefault(owner, {})[half] = tensor
    return found


def _parts(stored: Checkpoint) -> Iterator[AdapterPart]:
    groups: dict[str, list[FileTensor]] = {}
    for tensor in stored.tensors:
        last = tensor.name.rpartition(".")[2]
        groups.setdefault(last if last in {"lora_a", "lora_b"} else "not of a pair", []).append(tensor)
    for name, group in groups.items():
        yield AdapterPart(name, len(group), sum(each.numel for each in group), sum(each.nbytes for each in group))


def findings_on(stored: Checkpoint, base: Base | None) -> Iterator[Finding]:
    """What llama.cpp answers to each fault; without a base those that it finds on any."""
    yield from _header(stored, base)
    pairs = _pairs(stored)
    others = [tensor.name for tensor in stored.tensors if not tensor.name.endswith((".lora_a", ".lora_b"))]
    if norms := [name for name in others if name.endswith("_norm.weight")]:
        what = f"{LOADER} passes over {listed(norms)} without a word: it adapts matrices alone"
        yield Finding("silence", what, tensors=len(norms))
    if strange := [name for name in others if not name.endswith("_norm.weight")]:
        what = f"{_STOPS}: {listed(strange)} end neither in .lora_a nor in .lora_b"
        yield Finding("error", what, "convert the adapter anew (convert_lora_to_gguf.py)", len(strange))
    if lacking := [
        f"{name}.lora_{half}" for name, have in pairs.items() for half in "ab" if f"lora_{half}" not in have
    ]:
        what = f"{_STOPS}: a pair is missing one component, {listed(lacking)}"
        yield Finding("error", what, "convert the whole adapter anew", len(lacking))
    whole = {name: (have["lora_a"], have["lora_b"]) for name, have in pairs.items() if len(have) == 2}
    if base is not None and (absent := [name for name in pairs if name not in base.tensors]):
        untied = "; its embedding is its output" if absent == ["output.weight"] else ""
        what = f"{_STOPS}: {base.name} has no {listed(absent)}{untied}"
        yield Finding("error", what, "load it on the base that it was trained on", len(absent))
    yield from _shapes(whole, base)


def _header(stored: Checkpoint, base: Base | None) -> Iterator[Finding]:
    said, method = (stored.metadata.get(key) for key in ("general.type", "adapter.type"))
    architecture = Announced(stored.metadata).architecture
    again = "convert the adapter anew (convert_lora_to_gguf.py)"
    if said != "adapter":
        yield Finding("error", f"{_STOPS}: general.type is {str(said)[:40]!r}, it expects 'adapter'", again)
    if method != "lora":
        yield Finding("error", f"{_STOPS}: adapter.type is {str(method)[:40]!r}, it expects 'lora'", again)
    if base is not None and architecture != base.architecture:
        what = (
            f"{_STOPS}: the adapter is of the architecture {architecture[:40]!r}, {base.name} of {base.architecture!r}"
        )
        yield Finding("error", what, "load it on the base that it was trained on")


def _shapes(pairs: Mapping[str, tuple[FileTensor, FileTensor]], base: Base | None) -> Iterator[Finding]:
    wrong: dict[str, list[str]] = {}
    turned, experts = [], []
    for name, (a, b) in pairs.items():
        flipped = name.endswith("token_embd.weight")  # its A and B are written the other way round
        if not flipped and _at(a, 1) != _at(b, 0):
            turned.append(name)
        if base is None or name not in base.tensors:
            continue
        (*stack, rows, columns), made = _matrix(base.tensors[name][0]), (_at(b, 1), _at(a, 0))
        if flipped:
            made = (_at(a, 1), _at(b, 1))
        if made != (rows, columns):
            wrong.setdefault(f"{list(made)} in the file, {[rows, columns]} in {base.name}", []).append(name)
        elif stack and not flipped and a.shape[:-2] != tuple(stack):
            experts.append(name)
    for shapes, names in wrong.items():
        what = f"{_STOPS}: {listed(names)} has an incorrect shape ({shapes})"
        yield Finding("error", what, "load it on the base that it was trained on", len(names))
    if turned:
        what = f"{_STOPS}: lora_a is not transposed, its rank is not lora_b's: {listed(turned)}"
        yield Finding("error", what, "convert the adapter anew (convert_lora_to_gguf.py)", len(turned))
    if experts:
        what = f"{LOADER} does not compare how many experts there are: {listed(experts)} has another number"
        yield Finding("silence", what, "what it computes there is not what was trained", len(experts))


def _at(tensor: FileTensor, place: int) -> int:
    """What ggml calls ``ne[place]``: sizes from the last of ours on, 1 where there are no more."""
    return tensor.shape[-1 - place] if place < len(tensor.shape) else 1


def _matrix(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (1,) * (2 - len(shape)) + shape


def _scales(stored: Checkpoint) -> Iterator[str]:
    alpha, sizes = adapter_alpha(stored.metadata), sorted(set(ranks(stored.tensors).values()) - {0})
    if not sizes:
        return
    if alpha is None:
        yield f"no alpha: {LOADER} adds each pair as it is, times the factor of --lora-scaled"
    elif len(sizes) == 1:
        scale = f"{alpha:g} / {sizes[0]} = {alpha / sizes[0]:g}"
        yield f"{LOADER} adds each pair times alpha / rank, {scale}, and the factor of --lora-scaled"
    else:
        yield f"{LOADER} adds each pair times alpha / rank, by its own rank of {sizes[0]} to {sizes[-1]}"


def _merging(stored: Checkpoint, base: Base | None) -> Iterator[str]:
    """What ``llama-export-lora`` makes of it."""
    pairs = _pairs(stored)
    if any(half.dtype not in _PLAIN for have in pairs.values() for half in have.values()):
        yield "llama-export-lora does not merge it: it takes no quantized adapters"
        return
    if base is not None and base.files > 1:
        yield "llama-export-lora does not merge it: it takes no base in several files"
        return
    said = "merging (llama-export-lora) writes the adapted tensors in float16, those of float32 as they are"
    sizes = [base.tensors[name] for name in pairs if name in base.tensors] if base is not None and base.files else []
    if base is None or len(sizes) < len(pairs) or not sizes:
        yield said
        return
    before = sum(nbytes for _, nbytes in sizes)
    after = sum(nbytes if nbytes == 4 * prod(shape) else 2 * prod(shape) for shape, nbytes in sizes)
    yield f"{said}: {before / MB:,.1f} MB of {base.name} become {after / MB:,.1f} MB"
