"""Goes through a file of FAISS, mapping also a small one: `python -m tests.support.mapped_faiss FILE`."""

from __future__ import annotations

from vecrollback.connectors import faiss_vectors

if __name__ == "__main__":
    faiss_vectors._MOST_READ = 0
    faiss_vectors.main()
