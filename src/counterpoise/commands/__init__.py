"""What the command line does beside running pipelines: init, export, plan, serve; and its sentences."""
