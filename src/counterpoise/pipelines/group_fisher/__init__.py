"""Stage group_fisher; see README.md."""
