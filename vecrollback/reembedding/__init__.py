"""From the log to the vectors table: builds a pair, catches it up, mends it, adopts one, resumes after a crash."""
