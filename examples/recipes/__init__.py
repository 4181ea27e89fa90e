"""Short answers to "how do I …"; each is explained in docs/recipes, and tested in tests/recipes."""
