"""Pages that are made from the package itself, so that they cannot differ from it."""
