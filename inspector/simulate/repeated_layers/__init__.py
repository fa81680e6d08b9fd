"""Models of many layers of few sorts, traced with a few: which (`words`), what they say (`rules`), when not to."""
