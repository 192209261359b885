"""Generated data in the file layouts of real data sets, for tests and the smoke environment."""
