"""Stage peers; see README.md."""
