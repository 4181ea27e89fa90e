"""Apps whose sessions are asynchronous: the session inside of one is joined, by ``run_sync``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from collections.abc import Callable
from collections.abc import Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.asyncio import create_async_engine

from flask_partnerstack import Entry
from flask_partnerstack import track_conversion
from flask_partnerstack.errors import InvalidConversion
from tests.kit import XID

from .conftest import House
from .conftest import let_sqlalchemy_begin

pytest.importorskip("aiosqlite", reason="aiosqlite is in the test extra")

Story = Callable[[AsyncEngine], Coroutine[Any, Any, Any]]


@asynccontextmanager
async def engine_of(house: House, *, recipe: bool) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(house.url.set(drivername="sqlite+aiosqlite"))
    if recipe:
        let_sqlalchemy_begin(engine.sync_engine)
    try:
        yield engine
    finally:
        await engine.dispose()


def play(house: House, story: Story, *, recipe: bool = True) -> Any:
    """Let what the story does happen on an asynchronous engine of the house's database."""

    async def run() -> Any:
        async with engine_of(house, recipe=recipe) as engine:
            return await story(engine)

    return asyncio.run(run())


async def track(within: AsyncSession | AsyncConnection, customer_key: str) -> Entry | None:
    """Record as the documents have it."""
    return await within.run_sync(
        lambda inside: track_conversion(customer_key, xid=XID, session=inside)
    )


@pytest.mark.parametrize("recipe", [True, False])
def test_the_session_in_an_asynchronous_one_is_joined(legacy: House, recipe: bool) -> None:
    """Committed, it is recorded and said; rolled back, it never was; the second finds the first."""

    async def story(engine: AsyncEngine) -> None:
        async with AsyncSession(engine) as session:
            await track(session, "gone")
            await session.rollback()
            assert await track(session, "acme") == await track(session, "acme")
            await session.commit()

    play(legacy, story, recipe=recipe)
    assert (legacy.entry("gone"), legacy.recorded) == (None, ["acme"])
    assert legacy.entry("acme") is not None


def test_the_connection_in_an_asynchronous_one_is_joined(legacy: House) -> None:
    """It is said when it is back in its pool."""

    async def story(engine: AsyncEngine) -> None:
        async with engine.connect() as conn:
            await track(conn, "acme")
            await conn.commit()

    play(legacy, story)
    assert legacy.recorded == ["acme"]


def test_a_savepoint_in_an_asynchronous_session(legacy: House) -> None:
    """With the recipe it takes its conversion along; without, it is refused with the way out."""

    async def story(engine: AsyncEngine) -> None:
        async with AsyncSession(engine) as session:
            savepoint = await session.begin_nested()
            await track(session, "gone")
            await savepoint.rollback()
            await track(session, "kept")
            await session.commit()

    play(legacy, story)
    assert legacy.recorded == ["kept"]
    with pytest.raises(InvalidConversion, match="autocommit"):
        play(legacy, story, recipe=False)


def test_a_broken_constraint_in_an_asynchronous_session(legacy: House) -> None:
    """It comes out unchanged, as everywhere."""
    with legacy.db.engine.begin() as conn:
        conn.execute(text("CREATE UNIQUE INDEX once_a_click ON partnerstack_entry (xid)"))

    async def story(engine: AsyncEngine) -> None:
        async with AsyncSession(engine) as session:
            await track(session, "acme")
            with pytest.raises(IntegrityError, match="xid"):
                await track(session, "globex")

    play(legacy, story)
