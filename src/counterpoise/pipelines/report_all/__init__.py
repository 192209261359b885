"""Stage report_all; see README.md."""
