"""The models of pairs: which artefacts hold their files, and what they did when they were asked last."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict

import sqlalchemy as sa

from vecrollback.catalog.database import Database, now
from vecrollback.catalog.schema import kept_model, model_answer, pair, server_words
from vecrollback.errors import UnknownNameError
from vecrollback.records import KeptModel, ModelAnswer


class Models:
    """Rows of kept models and of answers, at most one of each for a pair. A switch reads them without any model."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, new: KeptModel, present: Callable[[], object]) -> None:
        """Record that the store keeps a pair's model; `present` raises unless its artefact is in place.

        Raises UnknownNameError for a pair that is gone.
        """
        with self._database.write() as connection:
            # Inside the transaction that a prune needs to set a file aside, as for a snapshot.
            present()
            add_kept_model(self._database, connection, new)

    def kept(self, name: str) -> KeptModel | None:
        """The kept model of a pair."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(kept_model).where(kept_model.c.pair == name)).one_or_none()
        return KeptModel(**row._mapping) if row else None

    def all_kept(self) -> dict[str, KeptModel]:
        """Pair -> its kept model."""
        with self._database.read() as connection:
            return {row.pair: KeptModel(**row._mapping) for row in connection.execute(sa.select(kept_model))}

    def drop(self, name: str) -> None:
        """Forget a pair's kept model; the artefact goes with the next prune, unless another pair has it."""
        with self._database.write() as connection:
            connection.execute(kept_model.delete().where(kept_model.c.pair == name))

    def note(self, answer: ModelAnswer) -> ModelAnswer | None:
        """Record what a pair's model just did; returns what it did before that. A pair that is gone is passed over."""
        values = asdict(answer)
        statement = self._database.insert(model_answer).values(**values)
        with self._database.write() as connection:
            before = find_answer(connection, answer.pair)
            if connection.scalar(sa.select(pair.c.name).where(pair.c.name == answer.pair)):
                connection.execute(statement.on_conflict_do_update(index_elements=["pair"], set_=values))
        return before

    def answer(self, name: str) -> ModelAnswer | None:
        """What a pair's model did when it was asked last; None when nobody asked yet."""
        with self._database.read() as connection:
            return find_answer(connection, name)

    def note_words(self, name: str, words: Mapping[str, str]) -> None:
        """Record what the server of a pair's model tells of it. A pair that is gone is passed over."""
        values = {"pair": name, "words": dict(words), "at": now()}
        statement = self._database.insert(server_words).values(**values)
        with self._database.write() as connection:
            if connection.scalar(sa.select(pair.c.name).where(pair.c.name == name)):
                connection.execute(statement.on_conflict_do_update(index_elements=["pair"], set_=values))

    def words(self) -> dict[str, dict[str, str]]:
        """Pair -> what the server of its model told of it last."""
        with self._database.read() as connection:
            return {row.pair: row.words for row in connection.execute(sa.select(server_words))}

    def answers(self) -> dict[str, ModelAnswer]:
        """Pair -> what its model did when it was asked last."""
        with self._database.read() as connection:
            return {row.pair: ModelAnswer(**row._mapping) for row in connection.execute(sa.select(model_answer))}


def find_answer(connection: sa.Connection, name: str) -> ModelAnswer | None:
    """The last answer of a pair's model, inside a transaction."""
    row = connection.execute(sa.select(model_answer).where(model_answer.c.pair == name)).one_or_none()
    return ModelAnswer(**row._mapping) if row else None


def add_kept_model(database: Database, connection: sa.Connection, new: KeptModel) -> None:
    """Write the row of a kept model inside a transaction that names its artefact. Raises UnknownNameError."""
    if connection.scalar(sa.select(pair.c.name).where(pair.c.name == new.pair)) is None:
        raise UnknownNameError(f"pair {new.pair!r} does not exist in this store", hint="`vecrollback pairs`")
    values = asdict(new)
    connection.execute(
        database.insert(kept_model).values(**values).on_conflict_do_update(index_elements=["pair"], set_=values)
    )
