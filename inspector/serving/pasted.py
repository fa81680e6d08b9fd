"""A pasted command line of a server: ``vllm serve``, ``docker run``, a compose or a Kubernetes fragment's arguments."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.errors import InspectorError

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
_MODEL = ("--model", "--model-path", "-m", "--hf-repo", "-hf")
_LONGEST = 200_000


@dataclass(frozen=True, slots=True)
class Pasted:
    """What a command line asks for: the engine, the model as it names it, the engine's words, the cards."""

    engine: str
    model: str
    words: tuple[str, ...]
    cards: int = 0


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
    engine = engine or ("vllm" if any(word in {"--model", "--max-model-len"} for word in words) else "")
    if not engine:
        raise InspectorError(
            "no server of an engine that is known is in this line",
            hint="vllm serve, sglang.launch_server, llama-server",
        )
    rest = _after_the_program(words, engine)
    model, rest = _model(rest, engine)
    return Pasted(engine, model, tuple(rest), _cards(words))


def _words(text: str | Sequence[str]) -> list[str]:
    """The words of a line; of YAML's or JSON's lists the items, of YAML's text each line's."""
    if not isinstance(text, str):
        return [word for part in text for word in (_split(part) if "\n" in part else [part])]
    stripped = text.strip()
    if stripped.startswith("["):
        try:
            found = json.loads(stripped)
        except ValueError:
            found = None
        if isinstance(found, list):
            return [str(item) for item in found]
    if re.search(r"(?m)^\s*-\s+\S|^\s*(?:command|args|image)\s*:", text):
        return _of_yaml(text)
    return _split(text)


def _split(text: str) -> list[str]:
    joined = re.sub(r"\\\s*\n", " ", text)
    try:
        return shlex.split(joined, comments=True)
    except ValueError as error:
        raise InspectorError(f"this is no command line: {error}", hint="close its quotes") from error


def _of_yaml(text: str) -> list[str]:
    """The image and the items of ``command`` and ``args``, without a YAML library: lists, inline lists, one line."""
    words: list[str] = []
    taking = False
    for line in text.splitlines():
        key = re.match(r"\s*(?:-\s+)?([\w-]+)\s*:\s*(.*)$", line)
        item = re.match(r"\s*-\s+(.*)$", line)
        if key and not re.match(r"\s*-\s+[\"']?--", line):
            taking = key[1] in {"command", "args", "entrypoint"}
            value = key[2].strip()
            if key[1] == "image" or taking:
                words += _value(value)
        elif item and taking:
            words += _value(item[1].strip())
        elif taking and line.strip() and not line.strip().startswith("#"):
            words += _value(line.strip())
    return words


def _value(value: str) -> list[str]:
    if value in {"", "|", ">", ">-", "|-"}:
        return []
    if value.startswith("["):
        try:
            return [str(item) for item in json.loads(value.replace("'", '"'))]
        except ValueError:
            return _split(value.strip("[]").replace(",", " "))
    return _split(value.removesuffix("\\"))


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
        raise InspectorError("the line names no model", hint="vllm serve MODEL, or --model MODEL")
    return model, rest


def _cards(words: list[str]) -> int:
    for index, word in enumerate(words):
        value = word.partition("=")[2] or (words[index + 1] if index + 1 < len(words) else "")
        if word.split("=")[0] == "--gpus" and value.isdecimal():
            return int(value)
    return 0
