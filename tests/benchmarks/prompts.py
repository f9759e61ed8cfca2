"""Prompts of random token ids: the same for every engine that takes them."""

import random

_FIRST_ORDINARY_TOKEN = 300  # below are control tokens and single bytes


def random_prompt(tokens, vocabulary, seed):
    generator = random.Random(seed)
    return [generator.randrange(_FIRST_ORDINARY_TOKEN, vocabulary)
            for _ in range(tokens)]
