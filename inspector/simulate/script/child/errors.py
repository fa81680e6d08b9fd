"""Whose an error is that ends the script, and how it is shown: the script's own frames, and none of ours."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Error = TypeVar("Error", bound=BaseException)

HERE = str(Path(__file__).resolve().parents[3])

_OURS = "_inspector_alone_refused"
_EMULATED = "_inspector_says_what_the_card_would"


def emulated(error: Error) -> Error:
    """An error that we raise because the card, or PyTorch with one, would."""
    setattr(error, _EMULATED, True)
    return error


def handed_on(function: Callable[..., Any], /, *args: object, **kwargs: object) -> Any:
    """Call what we stand in for with what the script gave: what it refuses is the script's, and this frame says so."""
    return function(*args, **kwargs)


def refused_at_once(error: TypeError) -> bool:
    """Whether a call came to no line of what was called: it takes other arguments. Asked where it was called."""
    trace = error.__traceback__
    return trace is None or trace.tb_next is None


def ours(error: BaseException) -> None:
    """Say that an error is one of ours, whatever its frames look like."""
    setattr(error, _OURS, True)


MOST_TRIED = 1 << 24
"""Elements of an input up to which a refused operator is tried on the host, for the words of its refusal."""


def in_its_words(
    func: Callable[..., object], args: Sequence[object], kwargs: dict[str, Any], error: Exception
) -> Exception:
    """What a real kernel says where a shape function refused: the same refusal in the words that people search for.

    Real kernels check sizes before they allocate or read anything, so tensors of one repeated element will do.
    """

    def real(value: object) -> Any:
        if isinstance(value, torch.Tensor):
            if value.numel() > MOST_TRIED:
                raise OverflowError
            return torch.zeros((), dtype=value.dtype, device=torch.device("cpu")).expand(value.shape)
        if isinstance(value, (list, tuple)):
            return [real(item) for item in value]
        return torch.device("cpu") if isinstance(value, torch.device) else value

    if getattr(error, _EMULATED, False):
        return error
    try:
        func(*(real(value) for value in args), **{name: real(value) for name, value in kwargs.items()})
        setattr(error, _OURS, True)  # a real kernel takes what ours refused
    except OverflowError:
        pass
    except Exception as said:  # noqa: BLE001 -- whatever the kernel raises is what is looked for
        if type(said) is not NotImplementedError and "Could not run" not in str(said):
            return emulated(type(error)(str(said))) if type(said) is not type(error) else emulated(said)
    return error


def is_ours(error: BaseException) -> bool:
    """Whether the fault is in the simulation.

    It is where the innermost frame of ours, with nothing of the script's below it, did anything else than hand on what
    it was given: to the function that it stands in for (`handed_on`), or to an operator (`in_its_words` has then said
    whose it is, as far as a real kernel could be asked).
    """
    if getattr(error, _EMULATED, False):
        return False
    if getattr(error, _OURS, False):
        return True
    if isinstance(error, AttributeError) and type(getattr(error, "obj", None)).__module__.startswith("inspector."):
        return True  # something of ours lacks what the real one has
    frames = [(frame.f_code.co_filename, frame.f_code.co_name) for frame, _ in traceback.walk_tb(error.__traceback__)]
    at = max((number for number, (file, _) in enumerate(frames) if file.startswith(HERE)), default=None)
    if at is None:
        return False
    below = [file for file, _ in frames[at + 1 :]]
    if any(not _is_library(file) for file in below):
        return False
    if below and "/torch/" not in below[-1] and "site-packages" in below[-1]:
        return False  # a library's own refusal
    file, name = frames[at]
    if name == handed_on.__name__:
        return False
    return not below or (Path(file).name, name) not in _PASSING_ON


_PASSING_ON = frozenset({
    ("shape_memory.py", "run"), ("shape_memory.py", "call"), ("card_tracer.py", "_done"),
    ("on_cards.py", "_operator"), ("tracer.py", "__torch_dispatch__"),
    ("autocast.py", "begin"),
})  # fmt: skip
"""Where operators, and what rooms below replace, are called with the script's own arguments."""


def _is_library(file: str) -> bool:
    return "site-packages" in file or file.startswith((sys.prefix, sys.base_prefix, "<frozen"))


def users_mistake(error: BaseException) -> InspectorError | None:
    """What we said that the user can mend, where a library has wrapped its own words around it."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        if isinstance(at, InspectorError):
            return at
        seen.add(id(at))
        at = at.__cause__ or at.__context__
    return None


def show(error: BaseException) -> None:
    """Print the traceback as Python would, from the script's first frame, without the frames that are ours."""
    said = traceback.TracebackException.from_exception(error, compact=True)
    _clean(said, set())
    for line in said.format():
        print(line, end="", file=sys.stderr)


def _clean(said: traceback.TracebackException, seen: set[int]) -> None:
    if id(said) in seen:
        return
    seen.add(id(said))
    kept = [
        frame
        for frame in said.stack
        if not frame.filename.startswith(HERE)
        and "importlib._bootstrap" not in frame.filename
        and frame.filename != "<frozen runpy>"
    ]
    said.stack = traceback.StackSummary.from_list(kept)
    for other in (said.__cause__, said.__context__):
        if other is not None:
            _clean(other, seen)
