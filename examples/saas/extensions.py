"""The extensions, each made once and given to the app in its factory."""

from __future__ import annotations

from flask_login import LoginManager
from flask_wtf import CSRFProtect

from flask_partnerstack import PartnerStack

partnerstack = PartnerStack()
csrf = CSRFProtect()

login_manager = LoginManager()
login_manager.login_view = "accounts.log_in"
login_manager.login_message = "Please log in first."
