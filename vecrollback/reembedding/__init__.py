"""From the log to the vectors table: builds a pair, catches it up, mends it, takes one over, and resumes after a crash."""
