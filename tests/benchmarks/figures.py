"""Medians and ratios of what was measured in rounds.

A round is a dict from the name of an engine to what it measured: a dict with
"value" and, for Facet, "limit", the value that this machine allows.
"""

import statistics


def spread(values):
    """(median, least, greatest). REQUIRES: not empty."""
    return statistics.median(values), min(values), max(values)


def values_of(rounds, engine, field="value"):
    return [taken[engine][field] for taken in rounds
            if taken.get(engine, {}).get(field) is not None]


def ratios(rounds, ours, peer, more_is_better):
    """By how much `ours` is better than `peer`, one ratio for each round that
    has both: they are neighbours in time, so what else the machine did weighed
    on both alike."""
    found = []
    for taken in rounds:
        a = taken.get(ours, {}).get("value")
        b = taken.get(peer, {}).get("value")
        if a and b:
            found.append(a / b if more_is_better else b / a)
    return found


def fractions(rounds, engine, limited):
    """Of each round, the engine's value to the limit that the same machine had
    when `limited` was measured beside it."""
    return [taken[engine]["value"] / taken[limited]["limit"]
            for taken in rounds
            if taken.get(engine, {}).get("value") is not None
            and taken.get(limited, {}).get("limit")]


def best_peer(rounds, peers, more_is_better):
    """The peer with the best median; None where none measured anything."""
    medians = {peer: statistics.median(values_of(rounds, peer))
               for peer in peers if values_of(rounds, peer)}
    if not medians:
        return None
    return (max if more_is_better else min)(medians, key=medians.get)
