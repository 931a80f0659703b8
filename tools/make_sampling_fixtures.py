#!/usr/bin/env python3
"""Writes tests/fixtures/sampling.json: what the logits processors of transformers keep and change.

    pip install torch transformers
    python3 tools/make_sampling_fixtures.py

Cases in which rounding could decide (a probability at the very edge of top-p or min-p) are left out.
"""

import json
import pathlib

import torch
import transformers
from transformers import MinPLogitsWarper, RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

VOCAB = 40
MARGIN = 1e-4
OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/fixtures/sampling.json"


def edge(probabilities, top_p, min_p):
    """Whether a probability is so near a bound that rounding decides."""
    sums = probabilities.sort(descending=True).values.cumsum(0)
    near_p = (sums - top_p).abs().min() < MARGIN if top_p < 1 else False
    near_min = (probabilities / probabilities.max() - min_p).abs().min() < MARGIN if min_p > 0 else False
    return bool(near_p or near_min)


def case(generator, options):
    """One case; None where rounding could decide."""
    # Without top-p in quarters, so that some logits are equal: of equal ones at the edge of top-p any may be kept.
    steps = 4 if options["top_p"] == 1.0 else 1000
    logits = (torch.randn(1, VOCAB, generator=generator) * 3 * steps).round() / steps
    history = torch.randint(0, VOCAB, (1, 12), generator=generator)
    penalised = logits.clone()
    if options["repetition_penalty"] != 1.0:
        penalised = RepetitionPenaltyLogitsProcessor(options["repetition_penalty"])(history, penalised)
    scores = TemperatureLogitsWarper(options["temperature"])(history, penalised)
    if options["top_k"] > 0:
        scores = TopKLogitsWarper(options["top_k"])(history, scores)
    if edge(scores.softmax(-1)[0], options["top_p"], options["min_p"]):
        return None
    if options["top_p"] < 1:
        scores = TopPLogitsWarper(options["top_p"])(history, scores)
    if options["min_p"] > 0:
        scores = MinPLogitsWarper(options["min_p"])(history, scores)
    return {
        **options,
        "logits": [round(x, 4) for x in logits[0].tolist()],
        "history": history[0].tolist(),
        "penalised": [round(x, 5) for x in penalised[0].tolist()],
        "kept": [i for i, x in enumerate(scores[0].tolist()) if x != float("-inf")],
    }


def main():
    generator = torch.Generator().manual_seed(7)
    off = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
    wanted = [
        {"top_k": 1}, {"top_k": 5}, {"top_k": 39}, {"top_k": 5, "temperature": 0.3},
        {"top_p": 0.1}, {"top_p": 0.5}, {"top_p": 0.95}, {"top_p": 0.9, "temperature": 2.0},
        {"min_p": 0.05}, {"min_p": 0.3}, {"min_p": 0.9}, {"min_p": 0.1, "temperature": 3.0},
        {"repetition_penalty": 1.3}, {"repetition_penalty": 0.8, "top_k": 7},
        {"top_k": 12, "top_p": 0.8}, {"top_k": 12, "top_p": 0.8, "min_p": 0.1, "temperature": 1.7},
        {"top_k": 20, "top_p": 0.97, "min_p": 0.02, "temperature": 2.5, "repetition_penalty": 1.2},
    ]
    cases = []
    for options in wanted:
        found = 0
        while found < 3:
            made = case(generator, {**off, **options})
            if made:
                cases.append(made)
                found += 1
    head = {"transformers": transformers.__version__, "torch": torch.__version__}
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    OUT.write_text('{"made_with":' + json.dumps(head) + ',"cases":[\n' + lines + "\n]}\n")


if __name__ == "__main__":
    main()
