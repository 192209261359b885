"""Stage read_pixels; see README.md."""
