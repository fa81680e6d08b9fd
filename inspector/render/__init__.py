"""Renderers: leaves that draw a report and compute nothing."""
