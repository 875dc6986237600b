"""Formats of other tools, out and in: one module each."""
