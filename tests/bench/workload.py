"""The requests that the limits benchmark and its simulation send: how long prompts and answers are."""

import random

MEAN_TOKENS = 800.0
"""What a request uses in the mean, prompt and answer together."""

_MAX_TOKENS = 1000
_MEAN_ANSWER = 390


def answer(chance: random.Random) -> tuple[int, int]:
    """Return the prompt's tokens and those of prompt and answer together: both parts lognormal, median 330."""
    prompt = int(chance.lognormvariate(5.8, 0.6))
    return prompt, prompt + int(min(_MAX_TOKENS, chance.lognormvariate(5.8, 0.6)))


def reservation(mode: str, prompt: int, actual: int) -> int:
    """Return what a gateway would reserve; ``exact`` knows the answer beforehand, to look at the limiter alone."""
    match mode:
        case "exact":
            return actual
        case "strict":
            return prompt + _MAX_TOKENS
        case "predict":
            return prompt + _MEAN_ANSWER
        case "none":
            return prompt
        case _:
            raise ValueError(f"unknown mode {mode}")
