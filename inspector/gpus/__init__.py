"""Graphics cards: what the driver lets a program have, what the card can compute, and where each figure is from."""

from inspector.gpus.cards import Basis, Gpu, card_of_size, catalogue, find_gpu, shared

__all__ = ["Basis", "Gpu", "card_of_size", "catalogue", "find_gpu", "shared"]
