"""Where the line runs between a model that has no run on shapes and a mistake of ours."""

from __future__ import annotations

import linecache
import re
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.architecture.at_odds import at_odds
from inspector.architecture.error_origin import OF_THE_MODEL, is_of_the_model, package_of
from inspector.errors import CannotSimulateError, InspectorError, in_one_line
from inspector.simulate.program.checkpoints import end_checkpoints

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@contextmanager
def of_the_model(doing: str, config: Mapping[str, Any] | object | None = None) -> Iterator[None]:
    """What the model's own code refuses is the user's input: one line with what it said. Anything else stays as it is.

    Args:
        doing: what fails then, such as "the training step of this llama model does not run on token ids without data".
        config: the model's, for fields that are at odds with each other.

    Raises:
        CannotSimulateError: for what the model's code raised, PEFT's around it, or torch on their behalf.
    """
    try:
        yield
    except BaseException as error:
        end_checkpoints(error)
        # One of ours says already what was wrong, and in better words.
        if isinstance(error, InspectorError) or not isinstance(error, Exception) or not is_of_the_model(error):
            raise
        if config is not None and (fields := at_odds(error, config)):
            raise CannotSimulateError(f"{doing}: {fields}", hint="mend the config.json") from error
        said, hint = in_its_words(error)
        raise CannotSimulateError(f"{doing}: {said}", hint=hint) from error


_OF_VALUES = re.compile(
    r"no data!|data-(in)?dependent|meta tensors?\b|no fake impl|on meta\b|unimplemented by default", re.IGNORECASE
)
_BARE = (AssertionError, AttributeError, IndexError, KeyError, TypeError, UnboundLocalError)
"""What Python says of a line of code, not the author of a model of its user's input."""


def in_its_words(error: BaseException) -> tuple[str, str]:
    """What stopped a model's code, in one line, and what to do about it, "" where nothing is known.

    An error that Python or an operator raised says little without the line that it was raised for, so that is named.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    said, place = in_one_line(error), _line(error)
    if _OF_VALUES.search(said):
        return f"its code looks at the values of a tensor{place}, and shapes have none", ""
    if "more than 1 value per channel" in said:
        return said, "a batch norm has nothing to average in a batch of one: --batch-size 2"
    if isinstance(error, _BARE) and place:
        told = "" if isinstance(error, AssertionError) and not str(error) else f"{said[:120]}, "
        return f"{told}it stops{place}", ""
    return said, ""


def _line(error: BaseException) -> str:
    """The line of the model's code that an error came through last: `` at `assert a == b` (modeling_led.py)``."""
    for frame, number in reversed(list(traceback.walk_tb(error.__traceback__))):
        if package_of(frame) in OF_THE_MODEL and ".integrations" not in str(frame.f_globals.get("__name__")):
            code = linecache.getline(frame.f_code.co_filename, number).strip()
            return f" at `{code[:90]}` ({Path(frame.f_code.co_filename).name})" if code else ""
    return ""
