"""Stage fetch; see README.md."""
