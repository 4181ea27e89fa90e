"""The sandbox: a fake PartnerStack, tested as a server and as an app."""
