"""Every parameter of conf/, validated once."""
