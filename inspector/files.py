"""Reading what a user points at and writing what they asked for, with every failure as one clear line."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import stat
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from pathlib import Path

MAX_JSON_BYTES = 20_000_000

MAX_JSON_VALUES = 200_000
"""Values in a JSON text, by its commas and brackets: 20 MB of the smallest ones would be gigabytes of objects."""


_MODEL_ENDINGS = {".safetensors", ".gguf", ".bin", ".pt", ".pth", ".ckpt"}
_MODEL_FILES = {"config.json", "adapter_config.json", "model_index.json", "model.safetensors.index.json"}
"""What a page named by mistake would destroy."""


def exists(path: Path) -> bool:
    """Whether there is something at a path; a name too long or with a null byte is none."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def read_bytes(path: Path, *, limit: int) -> bytes:
    """The bytes of a file.

    Raises InspectorError when it is missing, unreadable, or larger than ``limit`` bytes.
    """
    try:
        if stat.S_ISFIFO(mode := path.stat().st_mode) or stat.S_ISCHR(mode):
            # A pipe or a device in a stranger's folder never ends, or never begins.
            raise InspectorError(f"{path} is no regular file")
        with path.open("rb") as stream:
            data = stream.read(limit + 1)  # one more tells a file of just that size from a larger one
    except FileNotFoundError:
        raise InspectorError(f"no such file: {path}") from None
    except IsADirectoryError:
        raise InspectorError(f"{path} is a directory, not a file") from None
    except OSError as error:
        raise InspectorError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > limit:
        raise InspectorError(f"{path} is larger than {limit:,} bytes", hint="is this the right file?")
    return data


def read_text(path: Path, *, limit: int = MAX_JSON_BYTES) -> str:
    """The text of a file.

    Raises InspectorError when it is missing, unreadable, no text, or larger than ``limit`` bytes.
    """
    data = read_bytes(path, limit=limit)
    try:
        return data.decode("utf-8-sig")  # some editors on Windows begin a file with a byte order mark
    except UnicodeDecodeError:
        raise InspectorError(f"{path} is not text") from None


def read_json_object(path: Path, *, limit: int = MAX_JSON_BYTES, values: int = MAX_JSON_VALUES) -> dict[str, Any]:
    """The JSON object in a file. Raises InspectorError as `read_text` and `json_object`, saying where it breaks."""
    return json_object(read_text(path, limit=limit), str(path), values=values)


def json_object(text: str, name: str, *, values: int = MAX_JSON_VALUES) -> dict[str, Any]:
    """The JSON object in a text; ``name`` is for the error.

    Raises InspectorError when there is none, or it has over so many ``values``.
    """
    # Counted before it is parsed: afterwards the memory is taken.
    if sum(map(text.count, ",[{")) > values:
        raise InspectorError(f"{name} has over {values:,} values", hint="is this the right file?")
    try:
        data = json.loads(text)
    except RecursionError:
        raise InspectorError(f"{name} is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise InspectorError(f"{name} is not JSON: {error.msg} at line {error.lineno}") from None
    except ValueError as error:  # an integer of thousands of digits
        raise InspectorError(f"{name} is not usable JSON: {error}") from None
    if not isinstance(data, dict):
        raise InspectorError(f"{name} holds a JSON {type(data).__name__}, not an object")
    return data


def check_place(path: Path) -> None:
    """Raise InspectorError, before any work is done for it, when a file cannot be written there or must not be."""
    if path.is_file() and (path.suffix in _MODEL_ENDINGS or path.name in _MODEL_FILES):
        raise InspectorError(f"{path} is a model's file and is not written over", hint="name another file")
    # The nearest that is there: those below it would be made.
    folder = next((each for each in path.absolute().parents if exists(each)), path)
    if path.is_dir():
        wrong = errno.EISDIR
    elif not folder.is_dir():
        wrong = errno.ENOTDIR
    elif not os.access(folder, os.W_OK | os.X_OK):
        wrong = errno.EACCES
    else:
        return
    raise InspectorError(f"cannot write {path}: {os.strerror(wrong)}")


def write_output(path: Path, data: str | bytes) -> None:
    """Write where a user asked for it, as `write_bytes`: to the file a link leads to, leaving the link.

    A device or a pipe, such as ``/dev/null``, is written into: a rename would put a file in its place.
    """
    data = data.encode("utf-8") if isinstance(data, str) else data
    check_place(path)
    try:
        place = path.resolve()
        if not place.exists() or place.is_file() or place.is_dir():
            write_bytes(place, data, shown=path)
            return
        with place.open("wb") as stream:
            stream.write(data)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise _cannot_write(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Write a whole text file or none, as `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes, *, shown: Path | None = None) -> None:
    """Write a whole file or none: to a temporary file beside it, then renamed. Makes the folders on the way.

    Raises InspectorError, naming the path or what is ``shown`` for it, when the folder cannot be made or written, or
    the disk is full.
    """
    # Beside it, as a rename is one step on one file system only; cut, as a name may have 255 bytes and no more.
    temporary = path.with_name(f".{path.name[:80]}.{secrets.token_hex(6)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as stream:  # x: never into a file or a link that someone else put there
            stream.write(data)
        temporary.replace(path)
    except OSError as error:
        raise _cannot_write(shown or path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()  # after the rename there is none


def _cannot_write(path: Path, error: OSError | RuntimeError) -> InspectorError:
    number = error.errno if isinstance(error, OSError) else errno.ELOOP
    hint = "make room, or choose another place" if number in {errno.ENOSPC, errno.EDQUOT} else ""
    return InspectorError(f"cannot write {path}: {os.strerror(number) if number else error}", hint=hint)
