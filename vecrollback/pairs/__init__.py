"""A pair on disk: its vectors, its snapshots and their manifests, bundles of them, and what may be deleted."""
