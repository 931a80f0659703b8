#!/usr/bin/env python3
"""Makes tests/fixtures: tiny random models of every family, with what Hugging Face transformers computes from them.

    pip install torch transformers tokenizers safetensors
    python tools/make_fixtures.py [--stories stories.valid.jsonl] [--only NAME ...]

Everything is seeded. Weights are drawn until greedy text is lively (many different tokens) and far from ties, so that a test that
compares texts fails for wrong numbers and not for the last bit. The reference is eager attention in f32 on the weights as stored.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
import transformers
from jinja2.exceptions import TemplateError, UndefinedError
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen3Config

from fixture_templates import CONVERSATIONS, STYLES

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEXT_TOKENS = 277
TOKENS = TEXT_TOKENS + len(SPECIALS)
GREEDY_TOKENS = 48
MIN_MARGIN = 1e-2
MIN_DISTINCT = 20
# Large enough that a test notices when it is not the one that is used.
LARGE_EPS = 1e-3

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
CORPUS = [
    "Once upon a time there was a tricorn hat that nobody wanted to wear.",
    "The hat had three corners: two of them stayed at home, and the third one travelled to the clouds and back.",
    "Every morning the hat and the cloud told each other the story of the day, and the other two corners listened.",
    "Naïve café owners in 東京 drew crabs 🦀 on the wall; the hat thought that this was the best thing there is.",
]
SEQUENCES = {
    "long": ("The hat told the cloud a story: crabs 🦀 in a café drew the three corners of the wall, and nobody listened.", 40, [0, 1, 7, 19, 30, 39]),
    "short": ("Once upon the cloud, café", 13, [0, 2, 5, 8, 10, 12]),
}

COMMON = dict(max_position_embeddings=256, bos_token_id=TEXT_TOKENS, eos_token_id=TEXT_TOKENS + 2, pad_token_id=None)


def llama():
    return LlamaConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
                       vocab_size=TOKENS, tie_word_embeddings=True, attention_bias=True, mlp_bias=True, rms_norm_eps=LARGE_EPS, **COMMON)  # fmt: skip


def llama_rope3():
    # With a head of 8 the wavelengths are 6, 63, 628 and 6283: one kept, one blended, two divided.
    rope = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
    return LlamaConfig(hidden_size=48, intermediate_size=96, num_hidden_layers=5, num_attention_heads=6, num_key_value_heads=2,
                       vocab_size=288, rope_parameters=rope, **COMMON)  # fmt: skip


def mistral():
    return MistralConfig(hidden_size=48, intermediate_size=80, num_hidden_layers=4, num_attention_heads=6, num_key_value_heads=3,
                         vocab_size=300, sliding_window=16, **COMMON)  # fmt: skip


def qwen2():
    return Qwen2Config(hidden_size=48, intermediate_size=96, num_hidden_layers=4, num_attention_heads=6, num_key_value_heads=2,
                       vocab_size=320, tie_word_embeddings=True, use_sliding_window=True, sliding_window=24, max_window_layers=2,
                       rope_parameters=dict(rope_type="default", rope_theta=1e6), **COMMON)  # fmt: skip


def qwen3():
    return Qwen3Config(hidden_size=32, intermediate_size=64, num_hidden_layers=5, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
                       vocab_size=TOKENS, tie_word_embeddings=True, rms_norm_eps=LARGE_EPS,
                       rope_parameters=dict(rope_type="default", rope_theta=1e6), **COMMON)  # fmt: skip


# name: (configuration, stored format, largest shard)
MODELS = {
    "llama": (llama, torch.float32, None),
    "llama-rope3": (llama_rope3, torch.bfloat16, "160KB"),
    "mistral": (mistral, torch.float16, None),
    "qwen2": (qwen2, torch.bfloat16, None),
    "qwen3": (qwen3, torch.float32, None),
}


def make_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=TEXT_TOKENS, initial_alphabet=sorted(alphabet), show_progress=False, special_tokens=[])
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    assert tokenizer.get_vocab_size() == TOKENS
    return tokenizer


def draw(config, dtype, seed):
    """A random model, in f32 but with weights that `dtype` can hold; its activations neither vanish nor explode and all norms and biases matter."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter.uniform_(0.6, 1.4)
            elif name.endswith("bias"):
                parameter.normal_(std=0.3)
            elif "embed_tokens" in name or "lm_head" in name:
                parameter.normal_(std=1.0 if "embed_tokens" in name else 0.4)
                # Rows beyond the tokenizer, as models pad their vocabulary: their logit is 0, which is never the highest.
                parameter[TOKENS:] = 0
            elif "q_proj" in name or "k_proj" in name:
                parameter.normal_(std=1.5 / parameter.shape[1] ** 0.5)
            else:
                parameter.normal_(std=2.0 / parameter.shape[1] ** 0.5)
            # Only the parameters: `model.to(dtype)` would round the rotary frequencies too.
            parameter.copy_(parameter.to(dtype))
    return model.eval()


@torch.no_grad()
def greedy(model, ids):
    """The continuation, and the smallest lead of a chosen token over the second."""
    tokens, margin = list(ids), float("inf")
    for _ in range(GREEDY_TOKENS):
        logits = model(torch.tensor([tokens])).logits[0, -1]
        best = logits.topk(2)
        margin = min(margin, (best.values[0] - best.values[1]).item())
        if margin < MIN_MARGIN or best.indices[0] >= TEXT_TOKENS:
            return None
        tokens.append(best.indices[0].item())
    continuation = tokens[len(ids) :]
    return (continuation, margin) if len(set(continuation)) >= MIN_DISTINCT else None


def tidy_config(folder, name):
    """Keeps the fields that matter, and for llama-rope3 writes them as transformers 4 did."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for field in ["transformers_version", "initializer_range", "use_cache", "attention_dropout", "pretraining_tp", "pad_token_id"]:
        config.pop(field, None)
    if name == "llama-rope3":
        rope = config.pop("rope_parameters")
        config["rope_theta"] = rope.pop("rope_theta")
        config["rope_scaling"] = rope
        config["torch_dtype"] = config.pop("dtype", "bfloat16")
    path.write_text(json.dumps(config, indent=1) + "\n")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [TEXT_TOKENS, TEXT_TOKENS + 2]}) + "\n")


def rounded(value):
    return float(f"{value:.7g}")


def make_model(name, tokenizer):
    build, dtype, shard_size = MODELS[name]
    ids = {key: tokenizer.encode(text).ids[:length] for key, (text, length, _) in SEQUENCES.items()}
    folder = FIXTURES / name
    for seed in range(10_000):
        model = draw(build(), dtype, seed)
        continuations = {}
        for key in SEQUENCES:
            assert len(ids[key]) == SEQUENCES[key][1], (key, len(ids[key]))
            continuations[key] = greedy(model, ids[key])
            if continuations[key] is None:
                break
        else:
            break
    else:
        raise SystemExit(f"{name}: no seed gives lively text")

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model.to(dtype).save_pretrained(folder, **({"max_shard_size": shard_size} if shard_size else {}))
    tidy_config(folder, name)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": SPECIALS[0], "eos_token": SPECIALS[2], "chat_template": CHAT_TEMPLATE}, indent=1) + "\n"
    )

    # From the files, so that it is the files that are described.
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    sequences = []
    for key, (_, _, positions) in SEQUENCES.items():
        with torch.no_grad():
            logits = model(torch.tensor([ids[key]])).logits[0]
        continuation, margin = greedy(model, ids[key])
        assert (continuation, margin) == continuations[key]
        rows = [{"position": position, "logits": [rounded(value) for value in logits[position].tolist()]} for position in positions]
        sequences.append({"name": key, "text": tokenizer.decode(ids[key]), "ids": ids[key], "rows": rows, "greedy": continuation,
                          "greedy_text": tokenizer.decode(continuation), "smallest_margin": rounded(margin)})  # fmt: skip
        print(f"{name:12} {key:6} seed {seed} margin {margin:.4f} distinct {len(set(continuation))} max {logits.abs().max():.2f}")
    (folder / "expected.json").write_text(json.dumps({"seed": seed, "sequences": sequences}, separators=(",", ":")) + "\n")


def make_templates(tokenizer):
    styles = {}
    for name, (template, tokens) in STYLES.items():
        chat = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template, **tokens)
        cases = []
        for index, conversation in enumerate(CONVERSATIONS):
            if name not in conversation.get("styles", STYLES):
                continue
            arguments = {key: value for key, value in conversation.items() if key not in ("messages", "variables", "styles")}
            arguments |= {"conversation": conversation["messages"]} | conversation.get("variables", {})
            for add_generation_prompt in (False,) if "continue_final_message" in conversation else (True, False):
                case = {"conversation": index, "add_generation_prompt": add_generation_prompt}
                try:
                    case["expected"] = chat.apply_chat_template(**arguments, tokenize=False, add_generation_prompt=add_generation_prompt)
                except UndefinedError:  # in the words of Jinja's Python
                    case["error"] = ""
                except TemplateError as error:  # what `raise_exception` raises
                    case["error"] = str(error)
                cases.append(case)
        styles[name] = {"tokens": tokens, "template": template, "cases": cases}
    conversations = [{key: value for key, value in conversation.items() if key != "styles"} for conversation in CONVERSATIONS]
    written = json.dumps({"conversations": conversations, "styles": styles}, indent=1, ensure_ascii=False)
    (FIXTURES / "templates.json").write_text(written + "\n")


def pick_stories(path):
    """The first prompt at or above each of eight lengths, so that short and long ones are there."""
    prompts = [json.loads(line)["prompt"] for line in path.read_text().splitlines()]
    prompts.sort(key=len)
    chosen = [prompts[i * (len(prompts) - 1) // 7] for i in range(8)]
    lines = [json.dumps({"prompt": prompt}, ensure_ascii=False) for prompt in chosen]
    (FIXTURES / "stories_prompts.jsonl").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stories", type=Path, help="stories.valid.jsonl of erikhyrkas/snakes, to pick stories_prompts.jsonl anew")
    parser.add_argument("--only", nargs="*", choices=list(MODELS), default=list(MODELS), help="models to make; none for templates alone")
    arguments = parser.parse_args()
    FIXTURES.mkdir(parents=True, exist_ok=True)
    transformers.logging.disable_progress_bar()
    tokenizer = make_tokenizer()
    for name in arguments.only:
        make_model(name, tokenizer)
    make_templates(tokenizer)
    if arguments.stories:
        pick_stories(arguments.stories)


if __name__ == "__main__":
    main()
