"""Measured runs, of published sets and of a user's own, beside what the simulator predicts for them."""

from inspector.validation.ledger import Ledger, validate

__all__ = ["Ledger", "validate"]
