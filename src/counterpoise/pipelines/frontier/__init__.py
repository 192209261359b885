"""Stage `frontier`: every head under every penalty of a grid."""
