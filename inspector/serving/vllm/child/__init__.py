"""A process of its own that is there to be changed: vLLM on a card that is not there, run by the path of its file."""
