"""Stage pretrain; see README.md."""
