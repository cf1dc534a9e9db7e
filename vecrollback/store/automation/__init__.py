"""What acts without a person at the keyboard: worker, guard, drills, and the runbook for the person who comes."""
