"""Counterpoise: fairness repair for pre-trained models, with the uncertainty printed beside every number.

The rooms, and what each may import (never upwards):

    pipelines                       Kedro stages: thin nodes around the rooms below
    methods   reporting   data      the papers' algorithms; tables, figures and reports; readers of data sets
    nn        fairness              networks and the head bank; metrics and statistics

`methods`, `nn` and `fairness` know neither Kedro nor MLflow, so they serve a notebook as well as a pipeline.
"""

__version__ = "0.1.0"
