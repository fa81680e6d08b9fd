"""The one door to what differs from card to card: a trace asks through it, and what was asked and answered is kept.

Another card's step takes the same events if, and only if, that card answers every question of the trace the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    Questions = Mapping[tuple[Callable[..., Hashable], tuple[Hashable, ...]], Hashable]
    """From a rule and its arguments to what it said."""

Said = TypeVar("Said")


@dataclass(frozen=True, slots=True)
class Chip:
    """All that kernels are chosen by: the compute capability, ``(7, 5)`` for a T4, and the multiprocessors."""

    capability: tuple[int, int]
    multiprocessors: int

    def answers_alike(self, questions: Questions) -> bool:
        """Whether this chip says the same to every question."""
        return not self.answers_otherwise(questions)

    def answers_otherwise(self, questions: Questions) -> set[Callable[..., Hashable]]:
        """The rules by which this chip says something else to some question."""
        return {rule for (rule, arguments), said in questions.items() if rule(self, *arguments) != said}


class Device:
    """A chip that is asked during a trace, and remembers by what."""

    def __init__(self, capability: tuple[int, int], multiprocessors: int) -> None:
        self._chip = Chip(capability, multiprocessors)
        self._said: dict[tuple[Callable[..., Hashable], tuple[Hashable, ...]], Hashable] = {}

    def ask(self, rule: Callable[..., Said], *arguments: Hashable) -> Said:
        """What a rule says of this chip: a function of a module, pure, of a `Chip` and of the arguments."""
        said = rule(self._chip, *arguments)
        self._said[rule, arguments] = said
        return said

    @property
    def questions(self) -> Questions:
        """What was asked so far, and what was said."""
        return dict(self._said)
