"""What Prometheus asks for. Needs the extra ``prometheus``."""
