"""What an inference engine makes of a card: weights, cache blocks, tokens, requests, and whether it starts at all.

Engines' own rules as plain arithmetic, each with the source it was read in; no torch. Start at
`inspector.serving.answering.serve`.
"""

from inspector.serving.answering import serve
from inspector.serving.colocated import Colocated, colocated_bytes
from inspector.serving.report import ServingReport

__all__ = ["Colocated", "ServingReport", "colocated_bytes", "serve"]
