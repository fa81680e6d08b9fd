import difflib
import random

from inspector.errors import closest
from inspector.sources.bundled import model_ids


def test_close_words_are_those_of_difflib():
    chance = random.Random(1)  # noqa: S311 -- nothing secret
    words = lambda most: ["".join(chance.choices("abcq4-é", k=chance.randrange(9))) for _ in range(most)]  # noqa: E731
    for most, cutoff in [(1, 0.6), (3, 0.5), (2, 0.85)] * 150:
        word, known = words(1)[0], words(chance.randrange(9))
        assert closest(word, known, most, cutoff) == difflib.get_close_matches(word, known, most, cutoff)


def test_close_models_are_those_of_difflib():
    for word in ("llama-3.1-8b", "qwen/qwen25-7b", "mixtral", "x" * 400, ""):
        assert closest(word, model_ids(), 5, 0.5) == difflib.get_close_matches(word, model_ids(), 5, 0.5)
