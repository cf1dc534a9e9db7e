"""Answering queries: the searcher, the pairs it holds open, and the masks that keep deleted documents out."""
