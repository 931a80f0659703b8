#!/usr/bin/env python3
"""Makes tests/fixtures/quant: numbers as ggml quantises them, and what gguf-py makes of the bytes.

    pip install numpy gguf llama-cpp-python safetensors
    python tools/make_quant_fixtures.py

`values` is what was quantised; for each format there are its bytes, by ggml's own library (llama-cpp-python carries it), and
`FORMAT.decoded`, by gguf-py. Everything is seeded.
"""

import ctypes
from pathlib import Path

import llama_cpp
import numpy as np
from gguf import GGMLQuantizationType, quants
from safetensors.numpy import save_file

FORMATS = ["Q4_0", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]
BLOCK = 256
OUT = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "quant"


def values():
    """Three blocks as weights are; in the last there are zeros, an outlier, numbers of one sign and numbers that are all equal."""
    rng = np.random.default_rng(7)
    numbers = (rng.standard_normal(3 * BLOCK) * 0.02).astype(np.float32)
    odd = numbers[2 * BLOCK :].reshape(-1, 32)
    odd[1] = 0
    odd[2, 5] *= 100
    odd[3] = abs(odd[3])
    odd[4] = -abs(odd[4])
    odd[5] = 0.125
    return numbers


def library():
    folder = Path(llama_cpp.__file__).parent / "lib"
    ctypes.CDLL(str(folder / "libggml-base.so"), mode=ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(str(folder / "libggml-base.so"))
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    return library


def main():
    ggml, numbers = library(), values()
    tensors = {"values": numbers}
    for name in FORMATS:
        kind = GGMLQuantizationType[name]
        length, size = quants.GGML_QUANT_SIZES[kind]
        coded = np.zeros(len(numbers) // length * size, np.uint8)
        written = ggml.ggml_quantize_chunk(kind.value, numbers.ctypes.data, coded.ctypes.data, 0, len(numbers) // BLOCK, BLOCK, None)
        assert written == len(coded), name
        tensors[name] = coded
        tensors[f"{name}.decoded"] = quants.dequantize(coded, kind)
    OUT.mkdir(parents=True, exist_ok=True)
    save_file(tensors, OUT / "blocks.safetensors")


if __name__ == "__main__":
    main()
