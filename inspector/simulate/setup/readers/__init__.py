"""Configuration files of other tools: what they set, where they say it, and what in them is not understood."""
