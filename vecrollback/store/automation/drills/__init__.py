"""Drills: the whole rollback rehearsed with real searchers and real files, beside what serves.

Without chaos it runs on a scratch alias of the store itself and changes nothing that serves. With chaos, something is
broken on purpose in a copy of the store, where the real rollback has to come to the right verdict.
"""

from vecrollback.store.automation.drills.chaos import CHAOS
from vecrollback.store.automation.drills.run import overdue, run_drill
from vecrollback.store.automation.operated_store import StoreOpener

__all__ = ["CHAOS", "StoreOpener", "overdue", "run_drill"]
