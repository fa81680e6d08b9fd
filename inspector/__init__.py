"""Inspector: the truth about the memory of a language model."""
