"""Tests in a real browser: headless Chromium, over real servers on loopback."""
