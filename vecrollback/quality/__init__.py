"""Whether a pair may be trusted: check, audit, purity, golden queries, and the doctor for foreign indexes."""
