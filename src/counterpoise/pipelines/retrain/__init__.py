"""Retrain an experiment on the partitions that have arrived, and decide whether its model becomes champion."""
