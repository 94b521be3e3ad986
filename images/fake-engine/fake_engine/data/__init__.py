"""Option tables and model facts, as data with their sources."""
