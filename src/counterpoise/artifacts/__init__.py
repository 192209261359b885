"""The files of a run and their origin: lineage records beside the files, and locks."""
