#!/usr/bin/env python3
"""Makes tests/fixtures/gguf/tokenizers.json: small vocabularies as GGUF files have them, with the ids that llama.cpp gives for tricky texts.

    pip install gguf llama-cpp-python tokenizers
    python tools/make_gguf_fixtures.py

The vocabularies are trained without cutting texts into words first, so that merges cross the cuts and a wrong cut shows in the ids. The tests
write the GGUF files themselves; this script writes them with the gguf package, for llama.cpp to read.
"""

import json
import tempfile
from pathlib import Path

import gguf
import llama_cpp
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

FIXTURE = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "gguf" / "tokenizers.json"
CORPUS = [
    "I'll say it's 3 o'clock, we've 12 hats and 1234567 cats; I'd say they're WE'LL DON'T\n",
    "the hat  the cat   the end.\n\n\n  let x = foo(bar[0], 10_000);\r\n\tif (x == 42) { return; }\n",
    "CamelCaseWords HTTPServer iPhone don't can't 2024-11-20 12:34:56 $9.99 50% a+b=c //comment\n",
    "Naïve café owners in 東京 drew crabs 🦀 on the wall; это не шутка, ÀÉ, l'été, e.g. 你好，世界！\n",
    "!!! ??? ... --- ### \"quoted\" 'single' (paren) <tag> [x] {y} #hash @at ~tilde `tick`\n",
] * 3
TEXTS = [
    "", " ", "  ", "   ", "\n", "\n\n", "\n\n\n", "\t", "\r\n", " \n", "\n ", "\t\n \n", "a", " a", "  a", "a ", "a  ", "a   b", "\na", "a\n\nb",
    "the hat", " the  hat", "the\nhat", "the \n hat", "I'll", "I'LL", "it's", "IT'S", "we've we'Ve", "don't DON'T 'tis", "'s", "'", "''",
    "1", "12", "123", "1234", "12345678", "a1b22c333", "3.14159", "10_000", "2024-11-20", "$9.99", "50%", "1,234,567",
    "x == 42;", "foo(bar[0], 10);", "{ return; }\r\n", "// comment\n//", "a+b=c", "!!!", "?!?!", "...", "--- ###", "<tag>", "#hash @at",
    "CamelCase", "HTTPServer", "iPhone", "aBcDeF", "ALLCAPS lower", "hello_world", "e.g. i.e.", "\"quoted\"", "(paren)",
    "café", "naïve Naïve", "東京", "東京 tower", "你好，世界！", "🦀", "🦀🦀 crab", "это не шутка", "a\u00a0b", "tab\tbetween", "trailing \n",
    "<s>", "</s>", "a</s>b", "<think>", "a <think> b", "<think><think>", " <think>", "[INST] hi [/INST]", "[INST]  hi", "▁", "a▁b",
]  # fmt: skip
# llama.cpp's expressions take letters beyond ASCII for neither case, the model's own do not.
CASELESS = {"tekken"}
BYTE_LEVEL = ["gpt-2", "llama-bpe", "qwen2", "tekken", "smollm", "default"]
TEXT, UNKNOWN, CONTROL, USER, BYTE = 1, 2, 3, 4, 6


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False))
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    special = ["<s>", "</s>", "[INST]", "[/INST]"]
    kinds = [TEXT] * len(tokens) + [CONTROL] * len(special) + [USER]
    merges = [" ".join(merge) for merge in model["merges"]]
    return {"model": "gpt2", "tokens": tokens + special + ["<think>"], "kinds": kinds, "merges": merges, "bos": len(tokens), "eos": len(tokens) + 1}


def sentencepiece():
    tokenizer = Tokenizer(models.BPE())
    lines = [line.replace(" ", "▁") for line in CORPUS]
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=500, show_progress=False))
    model = json.loads(tokenizer.to_str())["model"]
    merged = ["".join(merge) for merge in model["merges"]]
    # Rare characters have no piece, so that they become bytes.
    letters = [token for token in model["vocab"] if len(token) == 1 and token not in "🦀世界шф\n\r\t"]
    pieces = list(dict.fromkeys(piece for piece in merged if set(piece) <= set(letters)))
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + pieces + letters + ["[INST]", "[/INST]", "<think>"]
    kinds = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [TEXT] * (len(pieces) + len(letters)) + [CONTROL, CONTROL, USER]
    scores = [0.0] * 259 + [-float(rank) for rank in range(len(pieces) + len(letters))] + [-1000.0] * 3
    return {"model": "llama", "tokens": tokens, "kinds": kinds, "scores": scores, "bos": 1, "eos": 2}


def write(path, vocabulary, settings):
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_tokenizer_model(vocabulary["model"])
    writer.add_token_list(vocabulary["tokens"])
    writer.add_token_types(vocabulary["kinds"])
    if "scores" in vocabulary:
        writer.add_token_scores(vocabulary["scores"])
    if "merges" in vocabulary:
        writer.add_token_merges(vocabulary["merges"])
    writer.add_bos_token_id(vocabulary["bos"])
    writer.add_eos_token_id(vocabulary["eos"])
    for key, value in settings.items():
        writer.add_string(f"tokenizer.ggml.{key}", value) if isinstance(value, str) else writer.add_bool(f"tokenizer.ggml.{key}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def ids(vocabulary, settings):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocabulary.gguf"
        write(path, vocabulary, settings)
        model = llama_cpp.Llama(model_path=str(path), vocab_only=True, verbose=False)
        texts = [text for text in TEXTS if settings.get("pre") not in CASELESS or text.isascii() or not text.lower() != text.upper()]
        plain = [[text, model.tokenize(text.encode(), add_bos=False, special=True)] for text in texts]
        return {"settings": settings, "alone": model.tokenize(b"the hat", add_bos=True, special=True), "ids": plain}


def main():
    vocabularies = [
        (byte_level(), [{"pre": pre} for pre in BYTE_LEVEL] + [{"pre": "gpt-2", "add_bos_token": True, "add_eos_token": True}]),
        (sentencepiece(), [{}, {"add_space_prefix": False, "add_bos_token": False}]),
    ]
    fixture = [{"vocabulary": vocabulary, "cases": [ids(vocabulary, s) for s in settings]} for vocabulary, settings in vocabularies]
    FIXTURE.parent.mkdir(parents=True, exist_ok=True)
    FIXTURE.write_text(json.dumps(fixture, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(f"{FIXTURE}: {FIXTURE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
