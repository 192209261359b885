"""What a table says before any model is trained: who is in it, what is missing, what repeats, what gives groups away.

Plain functions of frames, which open no files (but `files_of`, of images): a run calls them on its own rows, and a gate
that watches retraining on a new partition beside the rows of the training before it.
"""

from counterpoise.data.audit.counts import cells, group_shares, label_rates, missing
from counterpoise.data.audit.drift import drift
from counterpoise.data.audit.duplicates import duplicates, files_of, row_ids
from counterpoise.data.audit.proxies import TOGETHER, bins, proxies, strongest

__all__ = [
    "TOGETHER",
    "bins",
    "cells",
    "drift",
    "duplicates",
    "files_of",
    "group_shares",
    "label_rates",
    "missing",
    "proxies",
    "row_ids",
    "strongest",
]
