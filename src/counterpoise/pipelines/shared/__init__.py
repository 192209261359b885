"""What several stages share: arrays of the catalog, heads and networks in checkpoints, predictions."""
