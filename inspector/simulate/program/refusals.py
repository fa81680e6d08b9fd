"""Where the line runs between a model that has no run on shapes and a mistake of ours."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from inspector.architecture.error_origin import is_of_the_model
from inspector.errors import CannotSimulateError, InspectorError, in_one_line

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def of_the_model(doing: str) -> Iterator[None]:
    """What the model's own code refuses is the user's input: one line with what it said. Anything else stays as it is.

    Args:
        doing: what fails then, such as "the training step of this llama model does not run on token ids without data".

    Raises:
        CannotSimulateError: for what the model's code raised, PEFT's around it, or torch on their behalf.
    """
    try:
        yield
    # These say already what was wrong, and in better words.
    except InspectorError:
        raise
    except Exception as error:
        if not is_of_the_model(error):
            raise
        raise CannotSimulateError(f"{doing}: {in_one_line(error)}") from error
