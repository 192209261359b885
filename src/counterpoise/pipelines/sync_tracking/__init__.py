"""Stage sync_tracking; see README.md."""
