"""What acts without a person at the keyboard: worker, watch, drills, and the runbook for the person who comes."""
