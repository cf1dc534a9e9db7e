"""`faiss:FILE`: an index file of FAISS; `faiss:FOLDER`: what LangChain's `FAISS.save_local` wrote."""

from __future__ import annotations

from vecrollback.connectors.base import Connector, OpenOptions, ends_in, file_of
from vecrollback.connectors.faiss_vectors import FaissConnector
from vecrollback.connectors.langchain_faiss import LangchainFaissConnector
from vecrollback.connectors.sidecar import WithTexts


class FaissConnectorKind:
    """`faiss:FILE`, or a file that ends in `.faiss`. A folder is LangChain's, unless its texts stand elsewhere.

    Example:
        >>> kind = FaissConnectorKind()
        >>> kind.claims("docs.faiss"), kind.claims("faiss_index")
        (True, False)
    """

    form, texts_beside = "faiss:FILE", True

    def claims(self, place: str) -> bool:
        return ends_in(place, ".faiss")

    def open(self, place: str, options: OpenOptions) -> Connector:
        path = file_of(place.partition("#")[0], "faiss")
        if not path.is_dir():
            return WithTexts(FaissConnector(file_of(place, "faiss")), options.texts)
        if options.texts is not None:
            return WithTexts(FaissConnector(path / "index.faiss"), options.texts)
        return LangchainFaissKind().open(place, options)


class LangchainFaissKind:
    """`langchain-faiss:FOLDER`, or `faiss:FOLDER`; `#NAME` where the index is not called `index`."""

    form, texts_beside = "faiss:FOLDER", False

    def claims(self, _place: str) -> bool:
        return False  # a folder says nothing of what is in it

    def open(self, place: str, _options: OpenOptions) -> Connector:
        where, _, name = place.removeprefix("langchain-faiss:").partition("#")
        return LangchainFaissConnector(file_of(where, "faiss"), name or "index")
