"""Stage data_split; see README.md."""
