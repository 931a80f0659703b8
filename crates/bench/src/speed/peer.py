"""Drives llama.cpp through llama-cpp-python for `tricorn bench engine`: one JSON object a line in, one a line out.

A command that fails is answered with {"error": TEXT}. Only calls of llama_decode are timed; nothing is tokenised or sampled.
"""

import json
import sys
import time


class Engine:
    def load(self, model, threads):
        try:
            import llama_cpp
        except ImportError as error:
            return {"missing": str(error)}
        self.api, self.path, self.threads = llama_cpp, model, threads
        # A reference must stay, or the callback is freed.
        self.silent = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(self.silent, None)
        llama_cpp.llama_backend_init()
        self.models, self.contexts = {}, {}
        self.model(True)
        return {"version": llama_cpp.__version__}

    def model(self, repack):
        """The model, with weights in llama.cpp's own layouts or as they are in the file."""
        if repack not in self.models:
            params = self.api.llama_model_default_params()
            params.n_gpu_layers = 0
            params.use_extra_bufts = repack
            model = self.api.llama_model_load_from_file(self.path.encode(), params)
            if not model:
                raise RuntimeError("llama.cpp does not load the model")
            self.vocab = self.api.llama_vocab_n_tokens(self.api.llama_model_get_vocab(model))
            self.models[repack] = model
        return self.models[repack]

    def open(self, context, repack, ubatch, flash, kv):
        """Makes the context of these settings the current one; each has its own cache."""
        key = (context, repack, ubatch, flash)
        if key not in self.contexts:
            api = self.api
            params = api.llama_context_default_params()
            params.n_ctx, params.n_batch, params.n_ubatch = context, max(context, ubatch), ubatch
            params.n_threads = params.n_threads_batch = self.threads
            params.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else api.LLAMA_FLASH_ATTN_TYPE_DISABLED
            params.type_k = params.type_v = getattr(api, "GGML_TYPE_" + kv)
            params.no_perf = True
            handle = api.llama_init_from_model(self.model(repack), params)
            if not handle:
                raise RuntimeError(f"llama.cpp makes no context of {context} positions with a {kv} cache, flash attention {flash}")
            self.contexts[key] = handle
        self.context = self.contexts[key]
        self.batch = self.api.llama_batch_init(context, 0, 1)
        return {}

    def work(self, rows, starts, logits):
        """Calls of `rows` rows at each of the positions `starts`; the positions before the first are filled when they are not held."""
        memory = self.api.llama_get_memory(self.context)
        held = self.api.llama_memory_seq_pos_max(memory, 0) + 1
        if held < starts[0]:
            self.call(memory, held, starts[0] - held, 1)
        return {"seconds": [self.call(memory, start, rows, logits) for start in starts]}

    def call(self, memory, start, rows, logits):
        batch = self.batch
        batch.n_tokens = rows
        for row in range(rows):
            batch.token[row] = (start + row) * 7919 % self.vocab
            batch.pos[row] = start + row
            batch.n_seq_id[row] = 1
            batch.seq_id[row][0] = 0
            batch.logits[row] = row >= rows - logits
        self.api.llama_memory_seq_rm(memory, 0, start, -1)
        began = time.perf_counter()
        status = self.api.llama_decode(self.context, batch)
        self.api.llama_synchronize(self.context)
        seconds = time.perf_counter() - began
        if status != 0:
            raise RuntimeError(f"llama_decode failed with {status}")
        return seconds


def main():
    engine = Engine()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(engine, command.pop("do"))(**command)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


main()
