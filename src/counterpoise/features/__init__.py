"""Features of frozen backbones: how they are extracted, and the cache that keeps them."""
