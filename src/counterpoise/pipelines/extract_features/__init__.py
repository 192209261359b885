"""Stage extract_features; see README.md."""
