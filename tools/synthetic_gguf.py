#!/usr/bin/env python3
"""Writes GGUF files of real shapes with random weights, to measure engines without downloading a model.

    pip install gguf numpy
    python3 tools/synthetic_gguf.py --shape 1.1b --quant q4_k_m --out 1.1b-q4_k_m.gguf
    tricorn bench engine --model 1.1b-q4_k_m.gguf --peer llama-cpp

The architecture is Llama's, metadata and tokenizer are complete, and any engine that reads GGUF loads the file; the text is noise. Codes are
uniform and scales such that a row of weights has the norm 1, so activations stay of order one. Tensors are made and written one at a time:
memory stays below the largest of them, whatever the file's size.
"""

import argparse
import sys
from dataclasses import dataclass

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q


@dataclass(frozen=True)
class Shape:
    """The sizes that decide how fast a Llama is."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    vocab: int = 32_000
    context: int = 4_096

    @property
    def head_dim(self):
        return self.hidden // self.heads


SHAPES = {
    "1.1b": Shape(hidden=2048, intermediate=5632, layers=22, heads=32, kv_heads=4),  # TinyLlama
    "3b": Shape(hidden=3072, intermediate=8192, layers=28, heads=24, kv_heads=8),  # Llama 3.2 3B, with 32,000 tokens
    "7b": Shape(hidden=4096, intermediate=11008, layers=32, heads=32, kv_heads=32),  # Llama 2 7B
}

FILE_TYPES = {
    "f32": (Q.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (Q.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bf16": (Q.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "q8_0": (Q.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
    "q4_0": (Q.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0),
    "q4_k": (Q.Q4_K, gguf.LlamaFileType.MOSTLY_Q4_K_S),
    "q4_k_m": (Q.Q4_K, gguf.LlamaFileType.MOSTLY_Q4_K_M),
    "q5_k": (Q.Q5_K, gguf.LlamaFileType.MOSTLY_Q5_K_S),
    "q6_k": (Q.Q6_K, gguf.LlamaFileType.MOSTLY_Q6_K),
}

# What multiplies one standard deviation to give the scale of a block: the codes' spread times the sub-scales' root mean square.
SPREAD_4, SPREAD_5, SPREAD_6, SPREAD_8 = (((1 << bits) ** 2 - 1) / 12 for bits in (4, 5, 6, 8))


def f16_bytes(values):
    return values.astype(np.float16).view(np.uint8)


def packed_k_scales(scales):
    """The 12 bytes of eight 6-bit scales and eight equal 6-bit minima (`get_scale_min_k4` of ggml-quants.c reads them)."""
    low, high = scales[:, :4], scales[:, 4:]
    first = low | ((high >> 4) << 6)
    return np.concatenate([first, first, (high & 15) | ((high & 15) << 4)], axis=1).astype(np.uint8)


def k_blocks(rng, blocks, deviation, codes, spread, middle):
    """Q4_K and Q5_K: a weight is `d * scale * (code - middle)`, since every minimum is `middle` times its scale."""
    scales = rng.integers(32, 64, size=(blocks, 8), dtype=np.uint8)
    d = deviation / np.sqrt(spread * np.mean(np.arange(32, 64.0) ** 2))
    head = np.tile(f16_bytes(np.array([d, middle * d])), (blocks, 1))
    return np.concatenate([head, packed_k_scales(scales), random_bytes(rng, blocks, codes)], axis=1)


def random_bytes(rng, blocks, count):
    return np.frombuffer(rng.bytes(blocks * count), dtype=np.uint8).reshape(blocks, count)


def signed(rng, blocks, value):
    """One f16 a block, of random sign: the codes below are not quite symmetric around zero."""
    return f16_bytes(value * rng.choice([-1.0, 1.0], size=(blocks, 1)))


def quantised(rng, quant, count, deviation):
    """Random blocks of `count` numbers with the given standard deviation."""
    blocks = count // gguf.GGML_QUANT_SIZES[quant][0]
    match quant:
        case Q.Q4_K:
            return k_blocks(rng, blocks, deviation, 128, SPREAD_4, 7.5)
        case Q.Q5_K:
            return k_blocks(rng, blocks, deviation, 160, SPREAD_5, 15.5)
        case Q.Q6_K:
            scales = rng.integers(64, 128, size=(blocks, 16), dtype=np.uint8)
            d = deviation / np.sqrt(SPREAD_6 * np.mean(np.arange(64, 128.0) ** 2))
            return np.concatenate([random_bytes(rng, blocks, 192), scales, signed(rng, blocks, d)], axis=1)
        case Q.Q8_0:
            return np.concatenate([signed(rng, blocks, deviation / np.sqrt(SPREAD_8)), random_bytes(rng, blocks, 32)], axis=1)
        case Q.Q4_0:
            return np.concatenate([signed(rng, blocks, deviation / np.sqrt(SPREAD_4)), random_bytes(rng, blocks, 16)], axis=1)
    raise ValueError(f"no random blocks of {quant.name}")


def tensor(rng, quant, rows, columns):
    """A random matrix whose rows have the norm 1, as the bytes of the file, `rows` x bytes of a row."""
    deviation = columns**-0.5
    if quant in (Q.F32, Q.F16, Q.BF16):
        values = rng.standard_normal((rows, columns), dtype=np.float32)
        values *= np.float32(deviation)
        if quant is Q.BF16:
            return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
        return values if quant is Q.F32 else values.astype(np.float16)
    return quantised(rng, quant, rows * columns, deviation).reshape(rows, -1)


def use_more_bits(layer, layers):
    """Which layers llama.cpp's `_M` mixes keep at 6 bits (`llama-quant.cpp`)."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def plan(shape, name):
    """All matrices: name, rows, columns, format."""
    base, _ = FILE_TYPES[name]
    kv = shape.kv_heads * shape.head_dim
    floats = base in (Q.F32, Q.F16, Q.BF16)
    yield "token_embd.weight", shape.vocab, shape.hidden, base
    for layer in range(shape.layers):
        mixed = Q.Q6_K if name == "q4_k_m" and use_more_bits(layer, shape.layers) else base
        yield f"blk.{layer}.attn_q.weight", shape.hidden, shape.hidden, base
        yield f"blk.{layer}.attn_k.weight", kv, shape.hidden, base
        yield f"blk.{layer}.attn_v.weight", kv, shape.hidden, mixed
        yield f"blk.{layer}.attn_output.weight", shape.hidden, shape.hidden, base
        yield f"blk.{layer}.ffn_gate.weight", shape.intermediate, shape.hidden, base
        yield f"blk.{layer}.ffn_up.weight", shape.intermediate, shape.hidden, base
        yield f"blk.{layer}.ffn_down.weight", shape.hidden, shape.intermediate, mixed
    yield "output.weight", shape.vocab, shape.hidden, base if floats or base is Q.Q8_0 else Q.Q6_K


def norms(shape):
    for layer in range(shape.layers):
        yield f"blk.{layer}.attn_norm.weight"
        yield f"blk.{layer}.ffn_norm.weight"
    yield "output_norm.weight"


def vocabulary(size):
    """A SentencePiece vocabulary: specials, bytes, characters, then syllables that merge from them, the shorter the likelier."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    characters = ["▁", *letters, *letters.upper(), *"0123456789", *".,;:!?'\"()[]-+*/=<>#%&@_\n"]
    pairs = [a + b for a in ["▁", *letters] for b in letters]
    triples = [pair + c for pair in pairs for c in letters]
    quadruples = [triple + d for triple in triples if triple.startswith("▁") for d in letters]
    pieces = (characters + pairs + triples + quadruples)[: size - 259]
    types = gguf.TokenType
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    kinds = [types.UNKNOWN, types.CONTROL, types.CONTROL, *[types.BYTE] * 256, *[types.NORMAL] * len(pieces)]
    scores = [0.0] * 259 + [-float(index) for index in range(len(pieces))]
    return tokens, scores, kinds


CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


def metadata(writer, shape, name, file_type):
    writer.add_name(f"synthetic {name}")
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(shape.vocab)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.intermediate)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    tokens, scores, kinds = vocabulary(shape.vocab)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)
    writer.add_chat_template(CHAT_TEMPLATE)


def stored(quant):
    """How the writer wants to be told of a format: floats by their NumPy type, everything else as bytes."""
    plain = {Q.F32: np.float32, Q.F16: np.float16}
    return (np.dtype(plain[quant]), None) if quant in plain else (np.dtype(np.uint8), quant)


def write(path, shape, name, seed):
    matrices = list(plan(shape, name))
    writer = gguf.GGUFWriter(path, "llama")
    metadata(writer, shape, name, FILE_TYPES[name][1])
    for tensor_name, rows, columns, quant in matrices:
        dtype, raw = stored(quant)
        block, size = gguf.GGML_QUANT_SIZES[quant]
        row_bytes = columns // block * size
        writer.add_tensor_info(tensor_name, (rows, columns if raw is None else row_bytes), dtype, rows * row_bytes, raw_dtype=raw)
    for norm in norms(shape):
        writer.add_tensor_info(norm, (shape.hidden,), np.dtype(np.float32), shape.hidden * 4)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    rng = np.random.Generator(np.random.SFC64(seed))
    for index, (_, rows, columns, quant) in enumerate(matrices):
        writer.write_tensor_data(tensor(rng, quant, rows, columns))
        if sys.stderr.isatty():
            print(f"\r{index + 1} of {len(matrices)} matrices", end="", file=sys.stderr, flush=True)
    for _ in norms(shape):
        writer.write_tensor_data(np.ones(shape.hidden, dtype=np.float32))
    writer.close()
    print(f"\r{path}: {shape.layers} layers, {name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--quant", choices=FILE_TYPES, required=True)
    parser.add_argument("--out", required=True, metavar="FILE")
    parser.add_argument("--layers", type=int, metavar="N", help="other than the shape's")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    shape = SHAPES[args.shape]
    if args.layers is not None:
        shape = Shape(**{**shape.__dict__, "layers": args.layers})
    write(args.out, shape, args.quant, args.seed)


if __name__ == "__main__":
    main()
