"""Models of many identical layers, traced with a few of them: which (`fewer`), how far (`repeat`), and when not to."""
