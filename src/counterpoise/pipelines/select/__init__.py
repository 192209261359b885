"""Stage `select`; see README.md."""
