"""The deck's sentences: complete in every language, with the same gaps, and numbers as the language writes them."""

import re
import tomllib

import pytest

from inspector.lesson.texts import LANGUAGES, texts
from inspector.lesson.texts.reading import FOLDER


def flat(found, path=""):
    """Every sentence with its path; lists by their places."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield from flat(value, f"{path}.{key}")
    elif isinstance(found, list):
        for place, value in enumerate(found):
            yield from flat(value, f"{path}[{place}]")
    else:
        yield path, found


def sentences(language):
    return dict(flat(tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))))


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_every_sentence_is_there_with_the_same_gaps(language):
    english, other = sentences("en"), sentences(language)
    assert english.keys() == other.keys()
    for path, sentence in english.items():
        assert set(re.findall(r"{(\w+)}", sentence)) == set(re.findall(r"{(\w+)}", other[path])), path
        # A heading of a table may be empty, in both.
        assert bool(other[path].strip()) == bool(sentence.strip()), path
    # A sentence that was not translated has words; what both languages share are symbols, names and gaps.
    words = {path: re.findall(r"[A-Za-z]{4,}", re.sub(r"{\w+}", "", english[path])) for path in english}
    same = [path for path in english if english[path] == other[path] and len(words[path]) > 2]
    assert not same, same


def test_numbers_are_written_as_the_language_does():
    assert texts("en").gb(16_060_522_496) == "16.1\N{NO-BREAK SPACE}GB"
    assert texts("de").gb(16_060_522_496) == "16,1\N{NO-BREAK SPACE}GB"
    assert texts("de").short(8_030_261_248) == "8,03\N{NO-BREAK SPACE}Mrd."
    assert texts("de").number(27_262_976) == "27.262.976"
    assert texts("en").size(4_000_000) == "4.0\N{NO-BREAK SPACE}MB"
    with pytest.raises(KeyError):
        texts("en")("no.such.sentence")
