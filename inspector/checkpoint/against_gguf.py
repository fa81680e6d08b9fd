"""The tensors of a GGUF file beside what its own header announces, by llama.cpp's names: no model class is asked."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from inspector.checkpoint.findings import Finding, Findings
from inspector.checkpoint.gguf_header import TOWERS, Announced, is_computed, kind_of
from inspector.checkpoint.gguf_layout import BLOCK, FORMS, named, numberless, shapes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from inspector.checkpoint.checkpoint import Checkpoint, FileTensor

_QKV = {"attn_q", "attn_k", "attn_v"}
_HOW = "held against what the file's own header announces, by llama.cpp's names"


def gguf_findings(checkpoint: Checkpoint) -> Findings:
    """Missing, unexpected and misshapen tensors of one file, or of all splits of a model."""
    announced = Announced(checkpoint.metadata)
    kind = kind_of(checkpoint.metadata, checkpoint.tensors)
    if kind == "adapter":
        return _adapter(checkpoint.by_name)
    # Beside the language model, and told by name.
    own = {name: tensor for name, tensor in checkpoint.by_name.items() if not name.startswith(tuple(TOWERS))}
    if kind == "mmproj":
        strange = tuple(Finding(name, "neither of an encoder nor of a projector") for name in own if "." in name)
        sound = "its encoders have the blocks that its header announces, and nothing else is in the file"
        return Findings(True, tuple(_missing_towers(checkpoint)), strange, how=_HOW, sound=sound)
    blocks = announced.size("block_count")
    # Two sizes that every architecture has; a file that says neither announces nothing to compare with.
    if kind != "model" or (blocks is None and announced.size("embedding_length") is None):
        return Findings(compared=False)
    partly = "" if announced.architecture in FORMS else _partly(announced)
    return Findings(
        compared=True,
        missing=tuple(_missing(announced, own, blocks)),
        unexpected=tuple(_unexpected(announced, own, blocks)),
        misshapen=tuple(_misshapen(announced, own)),
        how=f"{_HOW}{partly and '; '}{partly}",
        sound=partly
        or f"every tensor of {announced.architecture} by its header is stored once, in its shape, and nothing else",
    )


def _partly(announced: Announced) -> str:
    """How far an architecture can be compared whose blocks are not known to the tensor."""
    if named(announced.architecture):
        return (
            f"of {announced.architecture} only the names of tensors, the number of blocks and few shapes were held "
            "against the header"
        )
    return f"{announced.architecture[:40]!r} is not known here: only the number of blocks was held against the header"


def _missing(announced: Announced, own: Mapping[str, FileTensor], blocks: int | None) -> Iterator[Finding]:
    known = announced.architecture in FORMS
    for name in ("token_embd.weight", "output_norm.weight") if known else ():
        if name not in own:
            yield Finding(name, "every model of this architecture has it")
    found: dict[int, set[str]] = {}
    for name in own:
        if block := BLOCK.match(name):
            found.setdefault(int(block[1]), set()).add(block[2])
    numbers = sorted(number for number in found if blocks is None or number < blocks)
    # T5 has no such blocks but those of its encoder and its decoder: llama.cpp's own names say which have them.
    names = named(announced.architecture)
    has_blocks = numbers or known or any(name.startswith("blk.#") for name in names)
    if blocks is not None and has_blocks:
        # In runs: a header may claim more blocks than there is time for.
        for last, following in pairwise([-1, *numbers, blocks]):
            gap = range(last + 1, following)
            if gap and not all(_is_empty(announced, number) for number in gap[:4096]):
                several = f"blk.{gap[0]}.* to blk.{gap[-1]}.*" if len(gap) > 1 else f"blk.{gap[0]}.*"
                yield Finding(several, f"the header announces {blocks:,} blocks")
    if known:
        for number in numbers:
            yield from _missing_in(announced, number, found[number])


def _is_empty(announced: Announced, number: int) -> bool:
    """Whether a block has no attention and no MLP, as some of Nemotron's (``deci``): nothing of it is stored."""
    return announced.size("attention.head_count", number) == 0 == announced.size("feed_forward_length", number)


def _missing_in(announced: Announced, number: int, found: set[str]) -> Iterator[Finding]:
    form = FORMS[announced.architecture]
    optional = _not_needed(announced, number, found)
    for kind in form.weights:
        if f"{kind}.weight" not in found and kind not in optional:
            yield Finding(f"blk.{number}.{kind}.weight", _expected(announced, f"blk.{number}.{kind}.weight"))
    for kind in form.biases:
        if f"{kind}.bias" not in found and kind not in optional:
            yield Finding(f"blk.{number}.{kind}.bias", _expected(announced, f"blk.{number}.{kind}.bias"))
    # A router and no experts to route to: gate and up may be one.
    if "ffn_gate_inp.weight" in found:
        fused = "ffn_gate_up_exps.weight" in found
        for kind in ("ffn_down",) if fused else ("ffn_gate", "ffn_up", "ffn_down"):
            single = re.compile(rf"{kind}\.\d{{1,6}}\.weight$")
            if f"{kind}_exps.weight" not in found and not any(single.match(name) for name in found):
                yield Finding(
                    f"blk.{number}.{kind}_exps.weight", _expected(announced, f"blk.{number}.{kind}_exps.weight")
                )


def _not_needed(announced: Announced, number: int, found: set[str]) -> set[str]:
    """Kinds that this block may do without: other tensors stand for them, or its sizes are zero."""
    optional: set[str] = set()
    if "attn_qkv.weight" in found:
        optional |= _QKV
    if {name.removesuffix(".weight") for name in found} >= _QKV:
        optional.add("attn_qkv")
    if "ffn_gate_inp.weight" in found:
        optional |= {"ffn_gate", "ffn_up", "ffn_down"}
    if announced.size("feed_forward_length", number) == 0:
        optional |= {"ffn_norm", "ffn_gate", "ffn_up", "ffn_down"}
    if announced.size("attention.head_count", number) == 0:
        optional |= {"attn_norm", "attn_output", *_QKV}
    if announced.size("attention.head_count_kv", number) == 0:
        optional |= _QKV
    if announced.architecture == "gemma4":
        optional.add("attn_v")  # where it is left out, the keys are the values
        shared = announced.size("attention.shared_kv_layers") or 0
        if number >= (announced.size("block_count") or 0) - shared:
            optional |= {"attn_k", "attn_k_norm"}
    return optional


def _expected(announced: Announced, name: str) -> str:
    shape = next(iter(shapes(announced, name)), None)
    return f"of shape {list(shape)}, is not stored" if shape else "is not stored"


def _unexpected(announced: Announced, own: Mapping[str, FileTensor], blocks: int | None) -> Iterator[Finding]:
    form, names = FORMS.get(announced.architecture), named(announced.architecture)
    for name in own:
        block = BLOCK.match(name)
        if block and blocks is not None and int(block[1]) >= blocks:
            yield Finding(name, f"a block beyond the {blocks:,} that the header announces")
        elif names and not is_computed(name) and numberless(name) not in names:
            yield Finding(name, f"llama.cpp's {announced.architecture} has no such tensor")
        elif form and block and name.endswith(".bias"):
            kind = block[2].removesuffix(".bias")
            if kind not in form.biases:
                reads = "; llama.cpp reads it where it is there" if kind in form.optional else ""
                yield Finding(name, f"a bias that the header does not announce{reads}")


def _misshapen(announced: Announced, own: Mapping[str, FileTensor]) -> Iterator[Finding]:
    for name, tensor in own.items():
        if (expected := shapes(announced, name)) and tensor.shape not in expected:
            yield Finding(name, f"stored as {list(tensor.shape)}, the header announces {list(expected[0])}")


def _missing_towers(checkpoint: Checkpoint) -> Iterator[Finding]:
    """Blocks of the encoders that the header of an mmproj announces and the file lacks."""
    for key, prefix in (("vision", "v"), ("audio", "a")):
        said = checkpoint.metadata.get(f"clip.{key}.block_count")
        pattern = re.compile(rf"^{prefix}\.blk\.(\d{{1,6}})\.")
        numbers = {int(match[1]) for name in checkpoint.by_name if (match := pattern.match(name))}
        # One less is usual: LLaVA's last layer is never run, and left out.
        if type(said) is int and said > 0 and len(numbers) < said - 1:
            why = f"the header announces {said:,} blocks, {len(numbers):,} are stored"
            yield Finding(f"{prefix}.blk.*", why)


def _adapter(tensors: Mapping[str, FileTensor]) -> Findings:
    """An adapter's pairs: each A has its B, of one rank (llama.cpp's ``llama_adapter_lora_init_impl``)."""
    missing, unexpected, misshapen = [], [], []
    for name, tensor in tensors.items():
        root, _, last = name.rpartition(".")
        if last not in {"lora_a", "lora_b"}:
            passed = ": llama.cpp passes over it" if name.endswith("_norm.weight") else ""
            unexpected.append(Finding(name, f"neither lora_a nor lora_b{passed}"))
        elif (other := f"{root}.{'lora_b' if last == 'lora_a' else 'lora_a'}") not in tensors:
            missing.append(Finding(other, f"{last} is stored without it"))
        elif (
            last == "lora_b"
            and (pair := tensors[other])
            and tensor.shape[-1:] not in {pair.shape[-2:-1], pair.shape[-1:]}
        ):
            misshapen.append(Finding(name, f"of rank {list(tensor.shape)[-1:]}, beside {list(pair.shape)}"))
    sound = "every A has its B, of the same rank, and nothing else is in the file"
    return Findings(
        True,
        tuple(missing),
        tuple(unexpected),
        tuple(misshapen),
        how="held to what llama.cpp wants: a B to each A",
        sound=sound,
    )
