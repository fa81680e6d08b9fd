"""A pasted command line of a server: ``vllm serve``, ``docker run``, a compose or a Kubernetes fragment's arguments."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.serving.pasted_files import of_file
from inspector.serving.pasted_shell import put_in, the_command
from inspector.serving.pasted_yaml import of_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

_BEGINS: tuple[tuple[str, str], ...] = (
    (r"vllm[./]entrypoints[\w.]*|\bvllm\s+serve\b|vllm/vllm-openai|vllm-openai", "vllm"),
    (r"sglang[./]launch_server|\bsglang\s+serve\b|lmsysorg/sglang", "sglang"),
    (r"llama-server|llama\.cpp|ggml-org/llama|llama-cli", "llama.cpp"),
    (r"\bollama\s+(?:run|serve)\b|ollama/ollama", "ollama"),
)
_DOCKER_VALUED = frozenset(
    {
        "-v", "--volume", "-p", "--publish", "-e", "--env", "--name", "--gpus", "--ipc", "--shm-size", "--network",
        "--runtime", "--restart", "--entrypoint", "--mount", "--env-file", "--device", "-w", "--workdir", "--user",
        "-u", "--ulimit", "--cpus", "--memory", "-m", "--platform", "--hostname", "-h", "--label", "-l",
        "--add-host", "--net",
    }
)  # fmt: skip
"""Options of ``docker run`` (and podman) that take a word; what follows the image is the server's."""
_IMAGE = re.compile(r"(?:vllm-openai|sglang|ollama/ollama|llama\.cpp)\S*?:(?:v|\S*-(?=b\d))?(b?\d+(?:\.\d+)*)")
"""The version that an image's tag names: ``vllm/vllm-openai:v0.9.1``, ``llama.cpp:server-cuda-b4719``."""
_OFFICIAL = re.compile(r"(?:docker\.io/)?vllm/vllm-openai(?:[:@]|$)")
"""The image that vLLM's makers build: it has FlashInfer, which others and old wheels have not."""
_VARIABLES = {
    "ollama": {
        "OLLAMA_CONTEXT_LENGTH": "--num-ctx", "OLLAMA_NUM_PARALLEL": "--num-parallel",
        "OLLAMA_KV_CACHE_TYPE": "--kv-cache-type", "OLLAMA_FLASH_ATTENTION": "--flash-attention",
    },
    "vllm": {
        "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "--allow-long-max-model-len",
        "VLLM_USE_FLASHINFER_SAMPLER": "--flashinfer-sampler",
        "VLLM_USE_V2_MODEL_RUNNER": "--v2-model-runner",
    },
    "sglang": {"SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN": "--allow-longer-context"},
}  # fmt: skip
"""What engines read from the environment and what of it counts, as options of our own settings."""
_LAST_OF_V0 = "0.10.0 V0"
_ENDS = frozenset({"&&", "||", "|", ";", "&", ">", ">>", "2>&1", "&>", "&>>"})
"""What a shell does after the server's words."""
_MODEL = ("--model", "--model-path", "-m", "--hf-repo", "-hf", "--model_id")
_LONGEST = 200_000


@dataclass(frozen=True, slots=True)
class Pasted:
    """What a command line asks for: the engine, the model as it names it, the engine's words, the image's version.

    ``official`` is whether the image is the one that vLLM's makers build.
    """

    engine: str
    model: str
    words: tuple[str, ...]
    version: str = ""
    official: bool = False


def is_line(text: str) -> bool:
    """Whether a text is a server's whole line, pasted as one word."""
    return " " in text.strip() and _names_a_server(text)


def _names_a_server(text: str) -> bool:
    return any(re.search(pattern, text) for pattern, _ in _BEGINS)


def read_pasted(text: str | Sequence[str]) -> Pasted:
    """Read a command line as typed, or as a shell has split it; or a fragment of YAML or JSON with ``args``.

    Raises InspectorError where no engine or no model is in it.
    """
    plain = text if isinstance(text, str) else shlex.join(text)
    if len(plain) > _LONGEST:
        raise InspectorError("this is longer than any command line", hint="paste the server's own line")
    words = _words(text)
    joined = " ".join(words)
    engine = next((name for pattern, name in _BEGINS if re.search(pattern, joined)), "")
    if not engine and any(word.startswith("--mem-fraction-static") for word in words):
        engine = "sglang"
    engine = engine or (
        "vllm" if any(re.match(r"--(?:model|max-model-len|model_id)\b", word) for word in words) else ""
    )
    if not engine:
        raise InspectorError(
            "no server of an engine that is known is in this line",
            hint="vllm serve, sglang.launch_server, llama-server",
        )
    rest = _after_the_program(words, engine)
    rest = rest[: next((place for place, word in enumerate(rest) if word in _ENDS), len(rest))]
    model, rest = _model(rest, engine)
    official = engine == "vllm" and any(_OFFICIAL.match(word) for word in words)
    return Pasted(engine, model, (*rest, *_said_by_environment(words, engine)), _version(words, engine), official)


def _said_by_environment(words: list[str], engine: str) -> list[str]:
    """Options that are variables of the environment, before the program or behind docker's ``-e``."""
    found = []
    for word in words:
        name, _, value = word.removeprefix("--env=").removeprefix("-e").strip().partition("=")
        if value and (option := _VARIABLES.get(engine, {}).get(name)):
            found += [option, value]
    return found


def _version(words: list[str], engine: str) -> str:
    """What the image's tag says; the last release that had V0 where a vLLM without a tag is told to run it."""
    found = next((match[1] for word in words if (match := _IMAGE.search(word))), "")
    first = any(re.fullmatch(r"(--env=|-e)?VLLM_USE_V1=0", word) for word in words)
    if engine == "vllm" and first:
        return f"{found} V0" if found else _LAST_OF_V0
    return found


def _words(text: str | Sequence[str]) -> list[str]:
    """The words of a line; a line that is one word of it (``sh -c "vllm serve ..."``) is split too."""
    found: list[str] = []
    left = list(reversed(_outer_words(text)))
    while left:
        word = left.pop()
        inner = _split(word) if is_line(word) else [word]
        if inner == [word]:
            found.append(word)
        else:
            left += reversed(inner)
    return put_in(found)


def _outer_words(text: str | Sequence[str]) -> list[str]:
    """The words of a line; of YAML's or JSON's lists the items, of YAML's text each line's."""
    if not isinstance(text, str):
        return [word for part in text for word in (_of_shell(part) if "\n" in part else [part])]
    stripped = text.strip()
    if stripped.startswith("["):
        try:
            found = json.loads(stripped)
        except ValueError:
            found = None
        if isinstance(found, list):
            return [str(item) for item in found]
    if (found := of_file(text)) is not None:
        return found
    if re.search(r"(?m)^\s*-\s+\S|^\s*(?:command|args|image|cmd|model|engine_kwargs)\s*:", text):
        return of_yaml(text, _names_a_server)
    return _of_shell(text)


def _of_shell(text: str) -> list[str]:
    return _split(the_command(text, _names_a_server))


def _split(text: str) -> list[str]:
    joined = re.sub(r"\\\s*\n", " ", text)
    try:
        return shlex.split(joined, comments=True)
    except ValueError as error:
        raise InspectorError(f"this is no command line: {error}", hint="close its quotes") from error


def _after_the_program(words: list[str], engine: str) -> list[str]:
    """What follows the server's name, or the image of a container."""
    for index, word in enumerate(words):
        if re.search(r"(?:^|/)(?:docker|podman|nerdctl)$", word):
            return _after_the_image(words[index + 1 :], engine)
    marks = {
        "vllm": r"^vllm$|^serve$|api_server$|vllm\.entrypoints[\w.]*$|vllm-openai(?::\S+)?$",
        "sglang": r"launch_server$|^sglang$|^serve$|lmsysorg/sglang(?::\S+)?$",
        "llama.cpp": r"llama-(?:server|cli)$|ggml-org/llama\S*$|^server$",
        "ollama": r"^ollama$|^run$|^serve$|ollama/ollama(?::\S+)?$",
    }[engine]
    last = max((index for index, word in enumerate(words) if re.search(marks, word)), default=-1)
    return words[last + 1 :]


def _after_the_image(words: list[str], engine: str) -> list[str]:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            if word in _DOCKER_VALUED and rest:
                rest.pop(0)
        elif word not in {"run", "exec", "container"}:
            return _after_the_program(rest, engine) if any("serve" in part for part in rest[:4]) else rest
    return []


def _model(words: list[str], engine: str) -> tuple[str, list[str]]:
    """The model that is named, and the words without it. Raises InspectorError for none."""
    rest: list[str] = []
    model, left = "", list(words)
    while left:
        word = left.pop(0)
        name, glued, value = word.partition("=")
        if name in _MODEL:
            model = value if glued else left.pop(0) if left else ""
            continue
        # A word before any option is the model of `vllm serve MODEL` and `ollama run MODEL`.
        if not word.startswith("-") and not model and not rest and engine in {"vllm", "ollama", "sglang"}:
            model = word
            continue
        rest.append(word)
    if not model:
        plain = {"ollama": "ollama run MODEL", "llama.cpp": "llama-server -m MODEL"}.get(engine, "vllm serve MODEL")
        where = "its options are in that file: name it" if "--config" in rest else f"{plain}, or --model MODEL"
        raise InspectorError("the line names no model", hint=where)
    if "$" in model:
        raise InspectorError(f"the line's model is a variable, {model:.60}", hint="write its name in that place")
    return model, rest
