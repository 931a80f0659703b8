"""Checks that Hugging Face transformers loads directories that Tricorn wrote, and computes the same.

For every directory given, which `cargo run -p tricorn-model --example dense_copy -- MODEL OUT` wrote
with its logits: transformers must load all of it, and the logits must agree to 1e-4 of the largest.
A directory whose layers have different shapes must be refused, not misread.

    python tools/check_dense.py OUT...
"""

import json
import pathlib
import sys

import torch
import transformers

TOLERANCE = 1e-4
SHAPES = ("num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size")


def load(path):
    return transformers.AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )


def check(path):
    config = json.loads((path / "config.json").read_text())
    if any(isinstance(config[field], list) for field in SHAPES):
        try:
            load(path)
        except Exception as error:
            return f"refused, as it must be: {type(error).__name__}"
        raise SystemExit(f"{path}: transformers takes layers of different shapes for equal ones")
    model, info = load(path)
    wrong = {kind: found for kind, found in info.items() if found}
    if wrong:
        raise SystemExit(f"{path}: transformers found {wrong}")
    expected = json.loads((path / "logits.json").read_text())
    with torch.no_grad():
        found = model.eval()(torch.tensor([expected["tokens"]])).logits[0]
    ours = torch.tensor(expected["logits"]).reshape(found.shape)
    error = ((found - ours).abs().max() / found.abs().max()).item()
    if not error <= TOLERANCE:
        raise SystemExit(f"{path}: logits differ by {error:.1e}")
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    return f"logits agree to {error:.1e}, tokenizer of {len(tokenizer)} tokens"


for argument in sys.argv[1:]:
    print(f"{argument}: {check(pathlib.Path(argument))}")
