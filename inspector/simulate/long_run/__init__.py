"""Thousands of steps of changing length through the allocator: from a few traced lengths, each step replayed."""
