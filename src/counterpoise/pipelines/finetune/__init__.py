"""Stage finetune; see README.md."""
