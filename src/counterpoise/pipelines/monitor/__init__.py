"""Watch the champion on labelled traffic."""
