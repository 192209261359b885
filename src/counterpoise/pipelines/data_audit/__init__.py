"""Stage data_audit; see README.md."""
