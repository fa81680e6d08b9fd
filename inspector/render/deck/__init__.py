"""The teaching deck: one HTML file that explains the memory of LoRA and QLoRA with a model's own numbers."""

from inspector.render.deck.handout import handout_html
from inspector.render.deck.page import deck_html
from inspector.render.deck.stories import STORIES

__all__ = ["STORIES", "deck_html", "handout_html"]
