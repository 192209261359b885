"""Stage weighted_svd; see README.md."""
