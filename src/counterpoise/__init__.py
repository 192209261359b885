"""Counterpoise: fairness repair for pre-trained models, with the uncertainty printed beside every number.

The rooms, and what each may import (never upwards):

    pipelines                       Kedro stages: thin nodes around the rooms below
    methods   reporting   data      the papers' algorithms; tables, figures and reports; readers of data sets
    nn        fairness              networks and the head bank; metrics and statistics

`methods`, `nn` and `fairness` know neither Kedro nor MLflow, so they serve a notebook as well as a pipeline.
"""

import os

# Large tensors on large pages: batches are rows picked at random, and with 4 KiB pages much of the time goes to finding
# them. torch reads this at its first allocation.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__version__ = "0.1.0"
