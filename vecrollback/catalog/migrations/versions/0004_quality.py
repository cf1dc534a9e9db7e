"""What is expected of answers, and what came of it: golden queries, outcomes of gates, rollouts."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the tables, empty, and to an alias the number of the rollout that runs."""
    op.create_table(
        "golden",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("text", sa.String, nullable=False),
        sa.Column("expected", sa.JSON, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("created_by", sa.String, nullable=False),
    )
    op.create_table(
        "gate_outcome",
        sa.Column("number", NUMBER, primary_key=True),
        sa.Column("pair", sa.String, nullable=False, index=True),
        sa.Column("snapshot", sa.Integer, nullable=False),
        sa.Column("move", sa.BigInteger, index=True),
        sa.Column("passed", sa.Boolean, nullable=False),
        sa.Column("outcomes", sa.JSON, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("at", sa.String, nullable=False),
    )
    _rollouts()


def _rollouts() -> None:
    op.add_column("alias", sa.Column("trial", sa.BigInteger))
    op.create_table(
        "rollout",
        sa.Column("number", NUMBER, primary_key=True),
        sa.Column("alias", sa.String, nullable=False),
        sa.Column("pair", sa.String, nullable=False),
        sa.Column("baseline", sa.String, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("share", sa.Float, nullable=False),
        sa.Column("shadow", sa.Float, nullable=False),
        sa.Column("salt", sa.String, nullable=False),
        sa.Column("policy", sa.JSON, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("started_at", sa.String, nullable=False),
        sa.Column("started_by", sa.String, nullable=False),
        sa.Column("ended_at", sa.String),
        sa.Column("ended_by", sa.String, nullable=False),
        sa.Column("end_reason", sa.String, nullable=False),
    )
    op.create_table(
        "observation",
        sa.Column("rollout", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("measure", sa.String, primary_key=True),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("total", sa.Float, nullable=False),
        sa.Column("squares", sa.Float, nullable=False),
        sa.Column("lowest", sa.Float, nullable=False),
        sa.Column("highest", sa.Float, nullable=False),
        sa.Column("bins", sa.JSON, nullable=False),
    )
    op.create_table(
        "rollout_sample",
        sa.Column("number", NUMBER, primary_key=True),
        sa.Column("rollout", sa.BigInteger, nullable=False, index=True),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("at", sa.String, nullable=False),
    )
