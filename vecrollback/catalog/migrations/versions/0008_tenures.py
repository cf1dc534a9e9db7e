"""Which pairs served when, so that a rollback need not read the history; a pair's newest report in one step."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the table with what the history says."""
    op.create_table(
        "tenure",
        sa.Column("alias", sa.String, primary_key=True),
        sa.Column("pair", sa.String, primary_key=True),
        sa.Column("first_epoch", sa.BigInteger, nullable=False),
        sa.Column("last_epoch", sa.BigInteger, nullable=False),
        sa.Column("began", sa.String, nullable=False),
    )
    op.create_index("ix_tenure_alias_last_epoch", "tenure", ["alias", "last_epoch"])
    op.create_index("ix_report_pair_number", "report", ["pair", "number"], if_not_exists=True)
    _fill(op.get_bind())


def _fill(connection: sa.Connection) -> None:
    history = sa.table("history", *map(sa.column, ("number", "alias", "epoch", "target", "at")))
    alias = sa.table("alias", sa.column("name"))
    tenure = sa.table("tenure", *map(sa.column, ("alias", "pair", "first_epoch", "last_epoch", "began")))
    rows: dict[tuple[str, str], dict[str, object]] = {}
    serving: dict[str, str] = {}
    # of aliases that are there: a drill's are forgotten, but for their moves
    query = sa.select(history).where(history.c.alias.in_(sa.select(alias.c.name))).order_by(history.c.number)
    for move in connection.execute(query):
        pair = move.target.rpartition("@")[0]
        if serving.get(move.alias) == pair:
            rows[move.alias, pair]["last_epoch"] = move.epoch
        else:
            rows[move.alias, pair] = {
                "alias": move.alias,
                "pair": pair,
                "first_epoch": move.epoch,
                "last_epoch": move.epoch,
                "began": move.at,
            }
        serving[move.alias] = pair
    if rows:
        connection.execute(tenure.insert(), list(rows.values()))
