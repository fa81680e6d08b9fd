"""Pages to read: one self-contained HTML file for a dry run or for the ledger, in the decks' look."""

from inspector.render.pages.finetune import finetune_html
from inspector.render.pages.generate import generate_html
from inspector.render.pages.validate import validate_html

__all__ = ["finetune_html", "generate_html", "validate_html"]
