#!/usr/bin/env python3
"""Makes tests/fixtures/grad: losses and gradients of the tiny models, as PyTorch computes them.

    pip install torch transformers safetensors
    python tools/make_grad_fixtures.py

For each model there are two cases: every parameter trained, and LoRA (Hu et al. 2021) on every
projection of every layer with all else frozen. The loss is the mean cross-entropy over the target
positions of two sequences of different length; eager attention in f32 on the weights as stored.

Whole gradients would take megabytes. Of each there are its norm, its products with three waves over
all elements, and a sample of its elements; crates/grad/tests/gradients/pytorch.rs computes the same
from ours. Adapters start from waves too, so that they need not be stored.
"""

import json
import math
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from torch import nn
from transformers import AutoModelForCausalLM

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
MODELS = ["llama", "llama-rope3", "mistral", "qwen2", "qwen3"]
PROJECTIONS = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
]
# The first row whose next token is a target, by sequence of expected.json.
FIRST_TARGET = {"long": 15, "short": 0}
WAVES = [0.37, 1.13, 2.71]
SAMPLES = 48
ALPHA = 5.0


def rank(layer):
    return 2 + layer % 3


def wave(count, frequency, phase):
    """`sin(frequency * i + phase)` for `i` from 0 on, in f64."""
    return torch.sin(frequency * torch.arange(count, dtype=torch.float64) + phase)


class Lora(nn.Module):
    """`y = W x + b + (alpha / r) B A x`."""

    def __init__(self, base, rank, phase):
        super().__init__()
        self.base = base
        self.scale = ALPHA / rank
        down = 0.3 * wave(rank * base.in_features, 0.7, phase)
        up = 0.3 * wave(base.out_features * rank, 1.3, phase)
        self.a = nn.Parameter(down.reshape(rank, base.in_features).float())
        self.b = nn.Parameter(up.reshape(base.out_features, rank).float())

    def forward(self, x):
        return self.base(x) + self.scale * (x @ self.a.T @ self.b.T)


def sequences(name):
    expected = json.loads((FIXTURES / name / "expected.json").read_text())["sequences"]
    return [(sequence["ids"], FIRST_TARGET[sequence["name"]]) for sequence in expected]


def loss_of(model, cases):
    total, count = 0.0, 0
    for ids, first in cases:
        logits = model(torch.tensor([ids])).logits[0, first:-1]
        targets = torch.tensor(ids[first + 1 :])
        total = total + nn.functional.cross_entropy(logits, targets, reduction="sum")
        count += len(targets)
    return total / count


def summary(gradient):
    """Norm, products with the waves, and every `len / samples`-th element."""
    values = gradient.double().flatten()
    count = len(values)
    samples = min(SAMPLES, count)
    products = [torch.dot(values, wave(count, frequency, 0.0)) for frequency in WAVES]
    picked = [values[index * count // samples] for index in range(samples)]
    return torch.stack([values.norm(), *products, *picked]).float()


def add_lora(model):
    """Freezes the model and adds adapters; returns their parameters by PEFT's names."""
    model.requires_grad_(False)
    named = {}
    for layer, block in enumerate(model.model.layers):
        for index, path in enumerate(PROJECTIONS):
            parent, child = path.split(".")
            holder = getattr(block, parent)
            adapter = Lora(getattr(holder, child), rank(layer), layer + 0.1 * index)
            setattr(holder, child, adapter)
            prefix = f"base_model.model.model.layers.{layer}.{path}"
            named[f"{prefix}.lora_A.weight"] = adapter.a
            named[f"{prefix}.lora_B.weight"] = adapter.b
    return named


def make(name):
    cases = sequences(name)
    load = dict(dtype=torch.float32, attn_implementation="eager")
    model = AutoModelForCausalLM.from_pretrained(FIXTURES / name, **load).eval()
    loss = loss_of(model, cases)
    loss.backward()
    tensors = {key: summary(value.grad) for key, value in model.named_parameters()}

    model = AutoModelForCausalLM.from_pretrained(FIXTURES / name, **load).eval()
    adapters = add_lora(model)
    lora_loss = loss_of(model, cases)
    lora_loss.backward()
    tensors |= {key: summary(value.grad) for key, value in adapters.items()}

    case = {
        "loss": loss.item(),
        "lora_loss": lora_loss.item(),
        "alpha": ALPHA,
        "ranks": [rank(layer) for layer in range(len(model.model.layers))],
        "sequences": [{"tokens": ids, "first_target": first} for ids, first in cases],
    }
    assert all(math.isfinite(case[key]) for key in ("loss", "lora_loss"))
    path = FIXTURES / "grad" / f"{name}.safetensors"
    save_file(tensors, path, metadata={"case": json.dumps(case, separators=(",", ":"))})
    print(f"{name:12} loss {loss:.4f}, with adapters {lora_loss:.4f}, {path.stat().st_size} bytes")


def main():
    transformers.logging.disable_progress_bar()
    (FIXTURES / "grad").mkdir(exist_ok=True)
    for name in MODELS:
        make(name)


if __name__ == "__main__":
    main()
