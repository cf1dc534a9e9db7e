"""When a machine may decide: triggers with their conditions, read from TOML and judged on what was measured.

The vocabulary is that of Argo Rollouts, Flagger and SageMaker: a metric is measured every `interval`; of its last
`count` measurements more than `failure_limit` failures make it fail; each is a success, a failure or inconclusive, and
missing data is inconclusive. After a move by a person comes the `bake` time.

Nothing here uses a store or a clock: the same code judges what a server measures, a recording, and a simulation.
"""

from vecrollback.switching.policy.model import Condition, Policy, Rule
from vecrollback.switching.policy.reading import load_policy, read_policy

__all__ = ["Condition", "Policy", "Rule", "load_policy", "read_policy"]
