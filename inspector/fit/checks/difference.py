"""What a commit cost: two JSON documents of the same run, by kind, by line of the script, and what changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from inspector.errors import InspectorError
from inspector.fit.checks.documents import FORMATS, RunDocument, read_documents
from inspector.fit.checks.moved_lines import paired
from inspector.reporting import TableReport

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class SizeChange:
    """Bytes of one thing before and after. ``name`` is after's, ``was`` before's where a line moved; else equal."""

    name: str
    was: str
    before: int
    after: int

    @property
    def more(self) -> int:
        """How many bytes more it takes, below zero less."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class WordChange:
    """A setting, or a library's version, that is another now; "" where one run has none."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class RunChange:
    """A run before and after.

    ``figures`` are all there are; ``kinds``, ``lines`` and ``modules`` those that changed at the peak, the largest
    change first. ``settings`` and ``versions`` are those that changed, the card and what is run among the settings.
    """

    name: str
    what: str
    form: str
    gpu: str
    figures: tuple[SizeChange, ...]
    kinds: tuple[SizeChange, ...]
    lines: tuple[SizeChange, ...]
    modules: tuple[SizeChange, ...]
    settings: tuple[WordChange, ...]
    versions: tuple[WordChange, ...]

    @property
    def same(self) -> bool:
        """Whether no byte changed."""
        return not any(each.more for each in self.figures) and not self.kinds and not self.lines and not self.modules


@dataclass(frozen=True)
class RunsDifference(TableReport):
    """Every run that both files have; ``gone`` and ``new`` are the names of those that one has alone."""

    kind: ClassVar[str] = "diff_runs"

    before: str
    after: str
    runs: tuple[RunChange, ...]
    gone: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether nothing changed in memory."""
        return not self.gone and not self.new and all(run.same for run in self.runs)


def diff_runs(before: Path | str, after: Path | str) -> RunsDifference:
    """Compare two JSON documents of `inspector simulate`, `run` or `check`.

    Args:
        before: the file of the run before.
        after: the file of the same run now; of a check, runs are paired by their names.

    Raises:
        InspectorError: for a file that is no such document, or two of another kind.
    """
    old, new = read_documents(Path(before)), read_documents(Path(after))
    if ("" in old) != ("" in new):
        raise InspectorError("one is the JSON of a check and the other of a single run", hint="compare two of a kind")
    runs = []
    for name in old:
        if name not in new:
            continue
        if old[name].form != new[name].form:
            kinds = " and of a ".join(FORMATS[each.form] for each in (old[name], new[name]))
            raise InspectorError(
                f"they are of a {kinds}{f', run {name}' if name else ''}", hint="compare two of a kind"
            )
        runs.append(changed(name, old[name], new[name]))
    gone, added = (tuple(name for name in one if name not in other) for one, other in ((old, new), (new, old)))
    return RunsDifference(str(before), str(after), tuple(runs), gone, added)


def changed(name: str, old: RunDocument, new: RunDocument) -> RunChange:
    """What two documents of a run say otherwise."""
    beside = {"run": (old.what, new.what), "card": (old.gpu, new.gpu), "verdict": (old.verdict, new.verdict),
              "ended with": (old.failed, new.failed)}  # fmt: skip
    settings = [WordChange(word, *pair) for word, pair in beside.items() if pair[0] != pair[1]]
    return RunChange(
        name,
        new.what,
        FORMATS[new.form],
        new.gpu,
        tuple(SizeChange(key, key, old.figures.get(key, 0), size) for key, size in new.figures.items()),
        _sizes([(key, key) for key in {**old.kinds, **new.kinds}], old.kinds, new.kinds),
        _sizes(paired(old.lines, new.lines), old.lines, new.lines),
        _sizes([(key, key) for key in {**old.modules, **new.modules}], old.modules, new.modules),
        (*settings, *_words(old.settings, new.settings)),
        _words(old.versions, new.versions),
    )


def _sizes(pairs: list[tuple[str, str]], old: Mapping[str, int], new: Mapping[str, int]) -> tuple[SizeChange, ...]:
    made = [SizeChange(now or was, was or now, old.get(was, 0), new.get(now, 0)) for was, now in pairs]
    return tuple(sorted((each for each in made if each.more), key=lambda each: (-abs(each.more), each.name)))


def _words(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[WordChange, ...]:
    return tuple(
        WordChange(name, old.get(name, ""), new.get(name, ""))
        for name in {**old, **new} if old.get(name) != new.get(name)
    )  # fmt: skip
