"""Digests of the files that hold Lance tables: a table `file`, filled from the files as they are."""

import sqlalchemy as sa
from alembic import context, op

from vecrollback.storage.lance_table import LanceTable

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Trust the files of an older store as they are today; from now on a changed byte is found."""
    file = op.create_table(
        "file",
        sa.Column("owner", sa.String, primary_key=True),
        sa.Column("path", sa.String, primary_key=True),
        sa.Column("sha256", sa.String, nullable=False),
    )
    connection, file_store = op.get_bind(), context.config.attributes["file_store"]
    versions = {"documents": connection.scalar(sa.text("SELECT version FROM corpus"))}
    for name, version in connection.execute(sa.text("SELECT name, vectors_version FROM pair")):
        versions[f"vectors-{name}"] = version
    for owner, version in versions.items():
        table = LanceTable(file_store.inside(f"tables/{owner}.lance"))
        if version and table.exists():
            files = table.described(table.at(version)).files
            rows = [{"owner": owner, "path": path, "sha256": digest} for path, digest in files.items()]
            op.bulk_insert(file, rows)
