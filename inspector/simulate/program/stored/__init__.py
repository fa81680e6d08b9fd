"""Checkpoints that are quantized already: the layers of each format put in place, and loaded."""
