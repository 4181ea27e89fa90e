"""The shop's customers."""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import String
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from .extensions import db


class User(db.Model):  # type: ignore[name-defined,misc]  # made at run time
    """Somebody who has signed up."""

    __tablename__ = "orders_user"

    id: Mapped[int] = mapped_column(primary_key=True)
    #: What PartnerStack knows the customer by, for ever.
    public_id: Mapped[str] = mapped_column(String(36), unique=True, default=lambda: str(uuid4()))
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(100))
