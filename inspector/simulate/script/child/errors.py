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

_HERE = str(Path(__file__).resolve().parents[3])
_HANDS_ON = ("shape_memory.py", "card_tracer.py")
"""Files through which an operator's arguments go unchanged: what the operator refuses is the script's."""

_OURS = "_inspector_alone_refused"
_EMULATED = "_inspector_says_what_the_card_would"


def emulated(error: Error) -> Error:
    """An error that we raise because the card, or PyTorch with one, would."""
    setattr(error, _EMULATED, True)
    return error


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
    """Whether the fault is in the simulation: the innermost frame that is not a library's is ours, and raised it."""
    if getattr(error, _EMULATED, False):
        return False
    if getattr(error, _OURS, False):
        return True
    if isinstance(error, AttributeError) and type(getattr(error, "obj", None)).__module__.startswith("inspector."):
        return True  # something of ours lacks what the real one has
    frames = traceback.extract_tb(error.__traceback__)
    for position in range(len(frames) - 1, -1, -1):
        file = frames[position].filename
        if not file.startswith(_HERE):
            if "site-packages" not in file and not file.startswith((sys.prefix, sys.base_prefix)):
                return False
            if "/torch/" not in file and "site-packages" in file:
                return False  # a library's own refusal
            continue
        if Path(file).name in _HANDS_ON and position < len(frames) - 1:
            continue  # it was an operator that refused, which ours only passed on
        if Path(file).name == "shape_memory.py" and frames[position].name == "run":
            continue
        return position == len(frames) - 1 or Path(file).name not in _HANDS_ON
    return False


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
        if not frame.filename.startswith(_HERE)
        and "importlib._bootstrap" not in frame.filename
        and frame.filename != "<frozen runpy>"
    ]
    said.stack = traceback.StackSummary.from_list(kept)
    for other in (said.__cause__, said.__context__):
        if other is not None:
            _clean(other, seen)
