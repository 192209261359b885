"""Bases: what is frozen, and what a head on it sees (DESIGN.md, "A base").

A base answers `view(x)`: features [n, q] of rows, and the margin [n] that a head on them adds to.
"""
