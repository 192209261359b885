"""Every parameter that conf/ may say, validated once."""
