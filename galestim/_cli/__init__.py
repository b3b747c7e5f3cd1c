"""Commands of the command line, and the recipes and models that they read."""
