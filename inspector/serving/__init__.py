"""What an inference engine makes of a card: weights, cache blocks, tokens, requests, and whether it starts at all.

Engines' own rules as plain arithmetic, each with the source it was read in; no torch. Start at
`inspector.serving.answering.serve`.
"""

from inspector.serving.answering import serve
from inspector.serving.report import ServingReport

__all__ = ["ServingReport", "serve"]
