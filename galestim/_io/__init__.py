"""Files: written whole or not at all, and read no further than what they hold allows."""
