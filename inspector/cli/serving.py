"""`inspector serving`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from inspector.cli.headed import HeadedCommand
from inspector.cli.options import (
    answer,
    answer_page,
    json_option,
    model_argument,
    one_form,
    output_option,
    vocabulary_options,
)
from inspector.files import read_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_BYTES = 1_000_000
"""Of a fragment of YAML."""
_VALUED = {
    "--engine", "--gpu", "--vram", "--engine-version", "--resize-vocab", "--pad-to-multiple-of", "-o", "--output",
}  # fmt: skip
_OWN = {*_VALUED, "--json", "-h", "--help", "--trust-remote-code"}


class ServingCommand(HeadedCommand):
    """A command that leaves an engine's own options to the engine's own table."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Ours to click, the others as they stand to ``words``; after ``--`` a pasted command line."""
        own, words = split_words(args)
        rest = super().parse_args(ctx, own)
        ctx.params["words"] = words
        return rest


def split_words(args: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Our own words and the model, and the engine's."""
    own: list[str] = []
    words: list[str] = []
    rest, model = list(args), False
    while rest:
        word = rest.pop(0)
        name = word.partition("=")[0]
        if word == "--":
            return [*own], (*words, "--", *rest)
        if name in _OWN:
            own += [word, rest.pop(0)] if word in _VALUED and rest else [word]
        elif word.startswith("-") and len(word) > 1:
            words.append(word)
            # What follows a name is its value, unless it is all that is left for a model to be.
            if "=" not in word and rest and not _is_name(rest[0]):
                words.append(rest.pop(0))
        elif model:
            words.append(word)
        else:
            own.append(word)
            model = True
    return own, tuple(words)


WRITTEN = (".yaml", ".yml", ".sh", ".bash", ".slurm", ".sbatch", ".service", ".container", ".py", ".txt", "Dockerfile")
"""Endings of files that a server's line may stand in."""


def _is_name(word: str) -> bool:
    return word.startswith("-") and not word[1:2].isdigit()


@click.command("serving", cls=ServingCommand)
@model_argument
@click.option("--engine", default="", metavar="NAME", help="vllm (default), sglang, llama.cpp, ollama, transformers.")
@click.option("--gpu", default="", metavar="CARD", help="The card. Default: RTX 4090.")
@click.option("--vram", default="", metavar="SIZE", help="A card by its memory, such as 24GiB.")
@click.option(
    "--engine-version", default="", metavar="VERSION", help='Whose rules count, such as 0.10.2 or "0.8.5 V0".'
)
@vocabulary_options
@output_option
@json_option
def command(
    model: str, *, engine: str, gpu: str, vram: str, engine_version: str, output: Path | None, as_json: bool,
    words: tuple[str, ...] = (),
) -> int:  # fmt: skip
    """Say whether an inference engine starts with a model, how many tokens it holds, how many requests.

    All other options are the engine's own, as on its command line:
      vLLM: --max-model-len --gpu-memory-utilization --tensor-parallel-size --kv-cache-dtype
        --quantization --max-num-seqs --max-num-batched-tokens --enforce-eager --enable-lora ...
        --ask-engine asks vLLM itself, too, where it is installed or INSPECTOR_VLLM names its Python
      SGLang: --mem-fraction-static --tp --context-length --chunked-prefill-size --kv-cache-dtype ...
      llama.cpp: -c -ngl -ub -ctk -ctv -fa -np -ot --cpu-moe --n-cpu-moe --swa-full, and --scheme q4_k_m
      ollama: --num-ctx --num-parallel --num-gpu --kv-cache-type, and --scheme
      transformers: --prompt-len --max-new-tokens --batch-size (a dry run; imports torch)
    Behind -- a server's whole line is read, docker's too; so is the file that it stands in: a script,
      compose, Kubernetes, a unit, a Dockerfile, a Modelfile, vLLM's --config, Python.
    One that is not understood is named on the page and not counted.
    Exit code 0 when it starts, 1 when it does not or when that lies within the range.

    \b
    Examples:
      inspector serving llama-3.1-8b --engine vllm --gpu "RTX 4090" --max-model-len 32768
      inspector serving qwen3-30b-a3b --gpu H100 --quantization fp8 --tensor-parallel-size 2
      inspector serving qwen3-14b --engine sglang --tp 4 --mem-fraction-static 0.85 --gpu "RTX 4090"
      inspector serving model.gguf --engine llama.cpp -c 32768 -ngl 99 -ub 512 -ctk q8_0 --gpu "RTX 3060"
      inspector serving --gpu L40S -- vllm serve meta-llama/Llama-3.1-8B --max-model-len 32768
      inspector serving gemma-3-27b-it --gpu H200 --engine-version 0.10.2 -o serving.html
    """  # noqa: D301
    from inspector.serving.answering import serve, serve_line
    from inspector.serving.pasted import is_line

    one_form(output, as_json=as_json)
    if words[:1] == ("--",):
        report = serve_line(words[1:], engine=engine, gpu=gpu, vram=vram, engine_version=engine_version)
    elif is_line(model):
        report = serve_line(model, engine=engine, gpu=gpu, vram=vram, engine_version=engine_version)
    elif model.endswith(WRITTEN) or Path(model).name.startswith(("Modelfile", "Dockerfile", "Containerfile")):
        text = read_bytes(Path(model).expanduser(), limit=MOST_BYTES).decode("utf-8", "replace")
        report = serve_line(text, engine=engine, gpu=gpu, vram=vram, engine_version=engine_version)
    else:
        report = serve(model, engine=engine or "vllm", gpu=gpu, vram=vram, engine_version=engine_version, words=words)
    if output is None:
        answer(report, as_json=as_json)
    else:
        answer_page(report, output, words)
    return 0 if report.fits else 1
