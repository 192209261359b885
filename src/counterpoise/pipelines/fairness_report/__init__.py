"""Stage fairness_report; see README.md."""
