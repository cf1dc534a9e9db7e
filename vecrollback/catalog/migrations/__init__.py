"""Bringing an older store to this format, by Alembic. Imported only when there is something to migrate."""

from __future__ import annotations

import sqlalchemy as sa

from vecrollback.catalog import schema
from vecrollback.storage import FileStore


def migrate(connection: sa.Connection, file_store: FileStore) -> None:
    """Apply the migrations between the format of the store in `file_store` and this one's, in the caller's transaction.

    The caller holds the lock "migrate". A process that lost the race finds nothing left to do.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "vecrollback.catalog:migrations")
    version = connection.scalar(sa.select(schema.store.c.format))
    if version == schema.FORMAT:
        return
    if connection.dialect.name == "postgresql":
        # a migration may read every file of the store between two statements
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout TO 0")
    config.attributes.update(connection=connection, file_store=file_store)
    command.stamp(config, f"{version:04d}", purge=True)
    command.upgrade(config, f"{schema.FORMAT:04d}")
    connection.execute(schema.store.update().values(format=schema.FORMAT))
