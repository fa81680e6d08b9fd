"""The deck's sentences, one file a language, and numbers as that language writes them."""

from inspector.lesson.texts.reading import LANGUAGES, Texts, texts

__all__ = ["LANGUAGES", "Texts", "texts"]
