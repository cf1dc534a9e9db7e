"""The HTTP API: the store's methods for programs in any language, and for people's tools.

Every worker process has a store and one long-lived searcher of its own; what they share is the catalog. Nothing here
is imported before `vecrollback serve`, because it needs the packages of the extra `server`.
"""
