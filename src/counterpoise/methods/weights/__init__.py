"""The second paper, with its baselines: repair a trained network on a small validation set (intra-processing).

Zhang, Gao and Huang, "Fairness-aware network altering" (ECCV 2022), after Savani et al. (NeurIPS 2020). Every method
takes a `Task`, the same rows and seeds for all, and returns `Repaired` models. One module per idea.
"""
