"""All the numbers of the teaching page, gathered before any of it is drawn."""

from inspector.lesson.one_model import Lesson, Size, lesson

__all__ = ["Lesson", "Size", "lesson"]
