"""The table of runs read: defaults, words, limits and cards, each mistake with its line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from inspector.errors import InspectorError, closest
from inspector.files import exists
from inspector.fit.checks.limits import FIGURES, Limit, parse_limit
from inspector.fit.checks.named_runs import Run
from inspector.fit.checks.toml_lines import Statement, line_of
from inspector.fit.checks.words import (
    KINDS,
    WHAT,
    Kind,
    card_option,
    check_options,
    kind_of,
    known_words,
    own_word,
    script_words,
)
from inspector.gpus import card_of_size, find_gpu

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MOST_RUNS = 200
_OF_A_RUN = frozenset({"limits", "fits", "today", "simulate"})
_NOT_OF_SCRIPTS = frozenset({"trainable", "weights", "cache"})


class Reader:
    """Reads the content of one file; ``prefix`` is the path of its table in it."""

    def __init__(self, path: Path, found: tuple[Statement, ...], prefix: tuple[str, ...]) -> None:
        self.path, self.found, self.prefix = path, found, prefix

    def at(self, *keys: str) -> str:
        """``pyproject.toml:12``."""
        line = line_of(self.found, (*self.prefix, *keys))
        return f"{self.path.name}:{line}" if line else self.path.name

    def wrong(self, keys: Sequence[str], said: str, hint: str = "") -> InspectorError:
        """A mistake at a path of keys."""
        return InspectorError(f"{self.at(*keys)}: {said}", hint=hint)

    def runs(self, ours: dict[str, Any]) -> tuple[Run, ...]:
        """Every run, with the defaults that stand above them all."""
        said = ours.get("runs")
        if not isinstance(said, dict) or not said:
            raise self.wrong(["runs"] if "runs" in ours else [], "no run is named",
                             '[tool.inspector.runs.train] with model = "llama-3.2-1b"')  # fmt: skip
        if len(said) > MOST_RUNS:
            raise self.wrong(["runs"], f"{len(said)} runs, and at most {MOST_RUNS} are taken")
        defaults = self._defaults({key: value for key, value in ours.items() if key != "runs"})
        return tuple(self._run(name, value, defaults) for name, value in said.items())

    def _defaults(self, said: dict[str, Any]) -> dict[str, Any]:
        known = set().union(*(known_words(kind) for kind in KINDS)) | {"model"}
        found = {}
        for key, value in said.items():
            word = own_word(key)
            if word not in known:
                close = closest(word, known)
                hint = f"did you mean {close[0].replace('_', '-')}?" if close else "runs stand in [tool.inspector.runs]"
                raise self.wrong([key], f"no default is named {key!r}", hint)
            if word in found:
                raise self.wrong([key], f"{word} is said a second time")
            found[word] = value
        return found

    def _run(self, name: str, said: object, defaults: dict[str, Any]) -> Run:
        keys = ("runs", name)
        if not isinstance(said, dict) or not said:
            raise self.wrong(keys, f"the run {name!r} says nothing", 'model = "llama-3.2-1b"')
        written = {own_word(key): key for key in said}
        if len(written) < len(said):
            twice = next(key for key in said if written[own_word(key)] != key)
            raise self.wrong((*keys, twice), f"{own_word(twice)} is said a second time")
        words = {own_word(key): value for key, value in said.items()}
        what = [word for word in WHAT if word in words]
        if len(what) > 1 and what != ["model", "config"]:
            raise self.wrong((*keys, written[what[1]]), f"{' and '.join(what)} are each a whole run", "keep one")
        if not what and "model" not in defaults:
            raise self.wrong(keys, f"the run {name!r} has no model, no config and no script", 'model = "llama-3.2-1b"')
        try:
            kind = kind_of(words)
        except InspectorError as error:
            raise self.wrong((*keys, written.get("simulate", "")), error.message, error.hint) from None
        words = {key: value for key, value in defaults.items() if self._applies(key, kind, words)} | words
        known = known_words(kind) | set(FIGURES) | _OF_A_RUN | set(WHAT)
        for word in words:
            if word not in known:
                raise self._unknown((*keys, written.get(word, word)), word, kind, known)
        limits = self._limits(keys, kind, words, written)
        if kind == "script" and (unknown := [each for each in limits if each.figure in _NOT_OF_SCRIPTS]):
            raise self.wrong((*keys, written.get("limits", unknown[0].figure)),
                             f"{unknown[0].text}: of a script {unknown[0].figure} is not known")  # fmt: skip
        cards = self._cards((*keys, written.get("fits", "fits")), words.get("fits", ()))
        options = self._options(keys, kind, words, written, cards)
        named = {word: self._named(keys, word, words, written) for word in WHAT}
        return Run(name, kind, "".join(named["model"]), named["config"], named["script"], options, limits, cards,
                   self._today((*keys, "today"), words.get("today", {})), self.at(*keys))  # fmt: skip

    def _options(
        self, keys: Sequence[str], kind: Kind, words: Mapping[str, Any], written: Mapping[str, str],
        cards: Sequence[str],
    ) -> dict[str, Any]:  # fmt: skip
        """The command's own words, each alone and all together such as it takes; the first card is the run's own."""
        options = {word: value for word, value in words.items() if word in known_words(kind)}
        if cards and not {"gpu", "vram"} & set(options):
            options |= card_option(cards[0])
        for word, value in options.items():
            with _Said(self, (*keys, written[word]) if word in written else (word,)):
                check_options(kind, {word: value})
        with _Said(self, keys, f"the run {keys[-1]!r}: "):
            check_options(kind, options, together="config" not in words)
        return options

    def _applies(self, word: str, kind: Kind, said: Mapping[str, Any]) -> bool:
        """Whether a default is one of this run: it takes such a word, and says nothing itself that goes before it."""
        if word == "model":
            return not set(WHAT) & set(said)
        other = {"gpu": "vram", "vram": "gpu"}.get(word)
        return word in known_words(kind) and word not in said and (other is None or other not in said)

    def _unknown(self, keys: Sequence[str], word: str, kind: Kind, known: frozenset[str]) -> InspectorError:
        for other in KINDS:
            if word in known_words(other):
                return self.wrong(keys, f"{keys[-1]!r} is of {other}, and this run is of {kind}",
                                  f'say simulate = "{other}"' if other != "script" else "leave it out")  # fmt: skip
        close = closest(word, known)
        hint = f"did you mean {close[0].replace('_', '-')}?" if close else f"the words are those of inspector's {kind}"
        return self.wrong(keys, f"no setting is named {keys[-1]!r}", hint)

    def _limits(
        self, keys: Sequence[str], kind: Kind, words: Mapping[str, Any], written: Mapping[str, str]
    ) -> tuple[Limit, ...]:
        """Limits as sentences in ``limits``, or by the name of their figure."""
        said = words.get("limits", [])
        lines: list[tuple[str, object]] = []
        if isinstance(said, dict):
            lines += [("limits", _sentence(own_word(name), value)) for name, value in said.items()]
        else:
            lines += [("limits", each) for each in (said if isinstance(said, list) else [said])]
        # Of generation, cache is a setting: what is kept of it is limited in a sentence.
        named = set(FIGURES) - known_words(kind)
        lines += [(name, _sentence(name, words[name])) for name in FIGURES if name in named & set(words)]
        found = []
        for word, line in lines:
            with _Said(self, (*keys, written[word])):
                if not isinstance(line, str):
                    raise InspectorError(f"a limit is a text, not {line!r}", hint='"peak <= 15 GiB"')
                found.append(parse_limit(line))
        return tuple(found)

    def _cards(self, keys: Sequence[str], said: object) -> tuple[str, ...]:
        names = [said] if isinstance(said, str) else said
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) and name.strip() for name in names):
            raise self.wrong(keys, f"fits is a card's name, or several, not {said!r}", 'fits = ["T4", "16GiB"]')
        with _Said(self, keys):
            for name in names:
                _ = card_of_size(name) if "vram" in card_option(name) else find_gpu(name)
        return tuple(dict.fromkeys(cast("list[str]", names)))

    def _today(self, keys: Sequence[str], said: object) -> dict[str, str]:
        if not isinstance(said, dict):
            raise self.wrong(keys, "today is what --update writes", "leave it out")
        return {str(name): str(value) for name, value in said.items()}

    def _named(
        self, keys: Sequence[str], word: str, words: Mapping[str, Any], written: Mapping[str, str]
    ) -> tuple[str, ...]:
        """The model, the files or the script; a file that is named must be there."""
        if word not in words:
            return ()
        where = (*keys, written[word]) if word in written else (word,)
        said = [words[word]] if isinstance(words[word], str) else words[word]
        if not isinstance(said, list) or not said or not all(isinstance(each, str) and each.strip() for each in said):
            raise self.wrong(where, f"{word} is a text, not {words[word]!r}")
        if word == "model" and len(said) > 1:
            raise self.wrong(where, "a run has one model")
        if word == "config":
            for name in said:
                if not exists(self.path.parent / name):
                    raise self.wrong(where, f"no such file: {name}", "files are named from where this one lies")
        if word == "script":
            with _Said(self, where):
                said = script_words(said)
        return tuple(said)


class _Said:
    """What is wrong inside is told with its line."""

    def __init__(self, reader: Reader, keys: Sequence[str], before: str = "") -> None:
        self.reader, self.keys, self.before = reader, keys, before

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, InspectorError):
            raise self.reader.wrong(self.keys, f"{self.before}{error.message}", error.hint) from None


def _sentence(figure: str, value: object) -> object:
    """A limit that is said by its figure's name: what has no sign is the most, of a margin the least."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return value
    plain = value.lstrip()[:1] not in {"<", ">", "=", "≤", "≥"}
    return f"{figure} {('>= ' if figure == 'margin' else '<= ') if plain else ''}{value}"
