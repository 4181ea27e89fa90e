"""Complete programs that use Flask-PartnerStack. Each runs as it is."""
