"""A paired comparison that may be looked at after every query, and stopped, without being fooled by chance.

A gambler bets on differences d in [-1, 1] that are said to have a mean of at least m: after each one the stake is
multiplied by 1 - b (d - m), with a bet b that knows only the differences before it. If the claim is true the stake
grows to 1/alpha or more, at any time, with probability alpha at most (Ville's inequality). So a stake of 1/alpha
refutes the claim. The bet follows the mean and the variance seen so far (Waudby-Smith and Ramdas, "Estimating means of
bounded random variables by betting", 2024), which is what makes it quick where most differences are nought.
"""

from __future__ import annotations

from collections.abc import Sequence

from vecrollback.records import Verdict

ERROR = 0.05
"""Probability of a wrong `pass`, and of a wrong `fail`."""
MARGIN = 0.05
"""Worse by less than this counts as not worse: no number of queries shows that two are equal."""


def refuted(differences: Sequence[float], mean: float, *, error: float = ERROR) -> bool:
    """Whether these differences, each in [-1, 1], show that their true mean is below `mean`.

    Args:
        differences: In the order in which they came, which must not depend on what they are.
        mean: What is claimed to be reached.
        error: Probability of refuting a true claim, over all moments at which one may look.

    Returns:
        True once it was shown, at any moment.
    """
    stake, total, squares = 1.0, 0.0, 1.0 / 4
    most = 0.9 / (1 - mean)  # a difference of 1 then leaves a tenth of the stake
    for count, value in enumerate(differences):
        shortfall = -total / (count + 1)
        variance = squares / (count + 1)
        bet = min(max(shortfall / (variance + shortfall * shortfall), 0.0), most)
        stake *= 1 - bet * (value - mean)
        if stake >= 1 / error:
            return True
        total += value - mean
        squares += (value - mean - total / (count + 1)) ** 2
    return False


def not_worse(differences: Sequence[float], *, margin: float = MARGIN, error: float = ERROR) -> Verdict:
    """What differences, new minus old, show.

    Args:
        differences: As for `refuted`.
        margin: Worse by less counts as not worse.
        error: Probability of a wrong verdict, of either kind.

    Returns:
        `fail` when the new one is worse, `pass` when it is not worse by `margin`, `unknown` while neither is shown.
    """
    if refuted(differences, 0.0, error=error):
        return "fail"
    return "pass" if refuted([-value for value in differences], margin, error=error) else "unknown"
