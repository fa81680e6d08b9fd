"""Pages to read: one self-contained HTML file for a dry run, a served model or the ledger, in the decks' look."""

from collections.abc import Callable

from inspector.render.pages.explain import explain_html
from inspector.render.pages.finetune import finetune_html
from inspector.render.pages.generate import generate_html
from inspector.render.pages.long_run import long_run_html
from inspector.render.pages.script import script_html
from inspector.render.pages.serving import serving_html
from inspector.render.pages.several_cards import several_cards_html
from inspector.render.pages.split import split_html
from inspector.render.pages.validate import validate_html

__all__ = [
    "PAGES", "explain_html", "finetune_html", "generate_html", "long_run_html", "script_html", "serving_html",
    "several_cards_html", "split_html", "validate_html",
]  # fmt: skip

PAGES: dict[str, Callable[..., str]] = {
    "simulate": finetune_html, "generate": generate_html, "script": script_html, "validate": validate_html,
    "split": split_html, "several_cards": several_cards_html, "explain": explain_html,
    "serving": serving_html, "long_run": long_run_html,
}  # fmt: skip
"""The page of a report, by its kind; the others have none."""
