"""What a run leaves, and how one knows what it was made from: lineage records beside the files, and locks."""
