"""Common methods for a fairer classifier, on frozen features or on a table's columns: what ours are measured against.

Two classes, 0 and 1; two groups or more. A module is a method, with a function `fit(peer, setup)`; `settings` has their
grid, `estimators` what they stand on, `run` fits them on every replicate.
"""
