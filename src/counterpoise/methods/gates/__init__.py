"""Unbiased sub-networks of frozen networks (Nahon et al., "Problem surgeon: fantastic weights and how to find them",
ECCV 2024; FFW): gates, the information about a bias that they are to close out, and what they are compared with.
"""
