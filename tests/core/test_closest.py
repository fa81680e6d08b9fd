import difflib

from hypothesis import given
from hypothesis import strategies as st

from inspector.errors import closest
from inspector.sources.bundled import model_ids

words = st.text("abcq4-é", max_size=12)


@given(words, st.lists(words, max_size=8), st.integers(1, 4), st.sampled_from([0.5, 0.6, 0.85]))
def test_close_words_are_those_of_difflib(word, known, most, cutoff):
    assert closest(word, known, most, cutoff) == difflib.get_close_matches(word, known, most, cutoff)


def test_close_models_are_those_of_difflib():
    for word in ("llama-3.1-8b", "qwen/qwen25-7b", "mixtral", "x" * 400, ""):
        assert closest(word, model_ids(), 5, 0.5) == difflib.get_close_matches(word, model_ids(), 5, 0.5)
