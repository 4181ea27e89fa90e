"""What the pages of docs/ show, run. ``tests/test_docs_examples.py`` compares the two."""
