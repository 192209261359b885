"""Stage repair; see README.md."""
