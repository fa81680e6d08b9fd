"""Servers that are written down in no shell: Python, a Dockerfile, a Modelfile, a systemd unit; as words of a line."""

from __future__ import annotations

import ast
import json
import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_CALLS = {
    "LLM": ("vllm", "serve"), "AsyncEngineArgs": ("vllm", "serve"), "EngineArgs": ("vllm", "serve"),
    "Engine": ("sglang.launch_server",), "Llama": ("llama-server",),
}  # fmt: skip
"""Classes of vLLM, SGLang and llama-cpp-python that start an engine, and the line that starts the same."""
_MODELS = ("model", "model_path", "model_id", "model_tag")
_PYTHON = re.compile(rf"(?m)^\s*(?:from|import)\s+(?:vllm|sglang|llama_cpp)\b[\s\S]*?\b(?:{'|'.join(_CALLS)})\(")
_OF_LLAMA = {"n_ctx": "ctx_size", "n_gpu_layers": "n_gpu_layers", "n_ubatch": "ubatch_size", "n_batch": "batch_size"}


def of_file(text: str) -> list[str] | None:
    """The words that start the server of such a text, None for one in another form."""
    if _PYTHON.search(text):
        return _of_python(text)
    if re.search(r"(?m)^Exec(?:Start)?=", text):
        return _of_unit(text)
    if re.search(r"(?m)^FROM\s+\S", text):
        return _of_image(text) if re.search(r"(?m)^(?:CMD|ENTRYPOINT|RUN)\b", text) else _of_modelfile(text)
    return None


def of_options(said: Mapping[str, object], model: object = None) -> list[str]:
    """A mapping of vLLM's options, as ``--config`` and Ray's ``engine_kwargs`` have them, as its line."""
    named = model or next((said[key] for key in _MODELS if said.get(key)), "")
    return ["vllm", "serve", str(named), *_words({key: value for key, value in said.items() if key not in _MODELS})]


def _words(said: Mapping[str, object]) -> list[str]:
    words: list[str] = []
    for name, value in said.items():
        option = "--" + str(name).replace("_", "-")
        if isinstance(value, bool):
            words += [option] if value else [option, "false"]
        elif value is not None:
            words += [option, json.dumps(value) if isinstance(value, dict | list) else str(value)]
    return words


def _of_python(text: str) -> list[str] | None:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    known: dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                known[node.targets[0].id] = ast.literal_eval(node.value)
            except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                continue
    for node in ast.walk(tree):
        name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and name in _CALLS:
            return _of_call(node, name, known)
    return None


def _of_call(node: ast.Call, name: str, known: Mapping[str, object]) -> list[str]:
    said: dict[str, object] = {}
    variables: list[str] = []
    places = [("model", value) for value in node.args[:1]]
    for key, value in (*places, *((word.arg, word.value) for word in node.keywords if word.arg)):
        if isinstance(value, ast.Name) and value.id in known:
            said[key] = known[value.id]
            continue
        try:
            said[key] = ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            variables += ["--variable", f"{key}={ast.unparse(value):.60}"]
    model = next((str(said.pop(key)) for key in _MODELS if key in said), "")
    if name == "Llama":
        return ["llama-server", "-m", model, *_words({_OF_LLAMA[key]: said[key] for key in _OF_LLAMA if key in said})]
    place = [model] if name != "Engine" else ["--model-path", model]
    return [*_CALLS[name], *place, *_words(said), *variables]


def _of_unit(text: str) -> list[str]:
    """A systemd unit's environment and command; a quadlet's image too."""
    whole = re.sub(r"\\[ \t]*\n", " ", text)
    words = [word for line in re.findall(r"(?m)^Environment=(.*)$", whole) for word in _split(line)]
    words += re.findall(r"(?m)^Image=(\S+)$", whole)
    commands = re.findall(r"(?m)^(?:ExecStart=[-@:+!]*|Exec=)(.*)$", whole)
    return [*words, *(word for line in commands for word in _split(line))]


def _of_image(text: str) -> list[str]:
    """A Dockerfile's environment, base image, entry point and command."""
    whole = re.sub(r"\\[ \t]*\n", " ", text)
    words = [word for line in re.findall(r"(?m)^ENV\s+(\w+=.*)$", whole) for word in _split(line)]
    words += re.findall(r"(?m)^FROM\s+(\S+)", whole)[-1:]
    for key in ("ENTRYPOINT", "CMD"):
        for line in re.findall(rf"(?m)^{key}\s+(.*)$", whole)[-1:]:
            words += _listed(line)
    return words


def _of_modelfile(text: str) -> list[str]:
    """Ollama's own: its base, and the parameters that the runner takes."""
    model = re.findall(r"(?m)^FROM\s+(\S+)", text)[0]
    said = re.findall(r"(?mi)^PARAMETER\s+(num_ctx|num_gpu|num_batch)\s+(\d+)", text)
    return ["ollama", "run", model, *(word for name, value in said for word in (f"--{name.replace('_', '-')}", value))]


def _listed(line: str) -> list[str]:
    if line.strip().startswith("["):
        try:
            return [str(item) for item in json.loads(line)]
        except ValueError:
            return _split(line.strip("[] "))
    return _split(line)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
