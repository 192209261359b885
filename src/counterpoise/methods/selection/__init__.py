"""Choosing among models under a tolerance: what they decide, how they are judged, what is certified."""
