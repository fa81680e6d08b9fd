"""Graphics cards: what the driver lets a program have, what the card can compute, and where each figure is from."""

from inspector.gpus.cards import Basis, Gpu, card_of_size, catalogue, find_card, find_gpu, shared
from inspector.gpus.other_makers import Accelerator, accelerators, find_accelerator

__all__ = ["Accelerator", "Basis", "Gpu", "accelerators", "card_of_size", "catalogue", "find_accelerator", "find_card",
           "find_gpu", "shared"]  # fmt: skip
