"""Rules that decide from the probabilities of class and group together."""
