"""The threads of one worker, by what their work may wait for.

A model that hangs keeps every thread that asks it. So whatever a balancer, a monitor or an operator needs, a rollback
before all, has threads that no model work can occupy, and who is asking is told on a thread of its own:

| pool | what runs there | what it may wait for |
|---|---|---|
| `token_reads` | the list of tokens, once a second | the catalog |
| `reads` | status, metrics, jobs, history, reports: whatever is only looked at | the catalog |
| `writes` | a row of the catalog: a job begun, cancelled or paused, a token, a tag, the audit | the catalog |
| `moves` | rollback, restore, approval, end of a canary, freeze | the catalog, searchers that acknowledge |
| `document_reads` | documents read, listed and counted | the files of the log |
| `document_writes` | documents written and deleted | the files of the log and its lock |
| `waits` | until queries find a change | the log, the live pair's model |
| `vector_queries` | searches by vectors | the index, a pair that is being opened |
| `embeds` | `POST /v1/embed` | the live pair's model |
| `readiness` | the query that proves a worker ready | the live pair's model |
| `inspections` | compare, map, gates | models, all rows of a pair |
| `operations` | what its caller waits for: promote, check, repair, snapshot, drill, ... | models, the whole store |

Queries by words have the threads of their batchers: keyword searches one of their own, the only one that asks no model.
Jobs, and the proof that follows a move, have a thread each.
"""

from __future__ import annotations

from vecrollback.serving.thread_pools import ThreadPool


class Pools:
    """The pools of one worker. Threads are started when they are first needed."""

    def __init__(self) -> None:
        self.token_reads = ThreadPool("reading tokens", threads=1, waiting=16)
        self.reads = ThreadPool("reading", threads=4, waiting=256)
        self.writes = ThreadPool("writing", threads=2, waiting=64)
        self.moves = ThreadPool("moving", threads=8, waiting=64)
        self.document_reads = ThreadPool("reading documents", threads=4, waiting=256)
        self.document_writes = ThreadPool("writing documents", threads=2, waiting=64)
        self.waits = ThreadPool("waiting", threads=8, waiting=256)
        self.vector_queries = ThreadPool("searching by vectors", threads=4, waiting=256)
        self.embeds = ThreadPool("embedding", threads=4, waiting=64)
        self.readiness = ThreadPool("readiness", threads=1, waiting=0)
        self.operations = ThreadPool("operations", threads=4, waiting=4)
        self.inspections = ThreadPool("inspections", threads=1, waiting=4)

    def close_pools(self) -> None:
        """Begin nothing that waits, and wait for nothing that runs."""
        for pool in vars(self).values():
            if isinstance(pool, ThreadPool):
                pool.close()
