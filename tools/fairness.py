#!/usr/bin/env python3
"""What other clients of one device cost a client that writes.

Starts a cloud and a device with four slots on loopback. A writer streams a text alone, beside three others that do the same, and while another
client sends one long prompt after the other. The three alternate in one run; printed are the writer's time to first token and between tokens, the
worst wait for a token, and, of the four writers, by how much the slowest took longer than the quickest.

    cargo build --release -p tricorn-cli && python3 tools/fairness.py target/release/tricorn
"""

import json
import statistics
import sys
import threading
import time
import urllib.request

from endpoint import endpoint

ROUNDS = 5
TOKENS = 128
LONG = "The hat told the cloud a story about a letter that was lost in the snow, and the cloud listened. " * 75


def post(base, prompt, tokens, stream):
    # A bias against the end of the text: every writer writes as much.
    body = {"model": "demo", "prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": stream, "logit_bias": {"2": -100}}
    request = urllib.request.Request(base + "/completions", json.dumps(body).encode(), {"content-type": "application/json"})
    return urllib.request.urlopen(request, timeout=120)


def write(base, prompt, out):
    """The times from the request to each event that carries text."""
    begin = time.perf_counter()
    with post(base, prompt, TOKENS, True) as events:
        out.extend((time.perf_counter() - begin) * 1e3 for line in events if line.startswith(b"data: {") and b'"text":""' not in line)


def beside(base, name, number, others):
    """The writer's times while `others` run, and how long each other that writes took."""
    writer, threads = [], [threading.Thread(target=other) for other in others]
    for thread in threads:
        thread.start()
    write(base, f"{name} {number}: once upon a time", writer)
    for thread in threads:
        thread.join()
    return writer


def main(binary):
    found = {"alone": [], "beside three writers": [], "beside long prompts": []}
    spread, prompts = [], []
    with endpoint(binary, slots=4) as base:
        for number in range(ROUNDS + 1):
            found["alone"].append(beside(base, "a", number, []))
            times = [[] for _ in range(3)]
            others = [lambda index=index: write(base, f"b{index} {number}: once upon a time", times[index]) for index in range(3)]
            found["beside three writers"].append(beside(base, "b", number, others))
            ends = [found["beside three writers"][-1][-1]] + [writer[-1] for writer in times]
            spread.append(max(ends) / min(ends))
            done = threading.Event()

            def long_prompts():
                count = 0
                while not done.is_set():
                    with post(base, f"{number} {count} {LONG}", 1, False) as answer:
                        prompts.append(json.load(answer)["usage"]["prompt_tokens"])
                    count += 1

            thread = threading.Thread(target=long_prompts)
            thread.start()
            time.sleep(0.05)
            found["beside long prompts"].append(beside(base, "c", number, []))
            done.set()
            thread.join()
    print(f"{'':22} {'first token':>12} {'between tokens':>15} {'longest wait':>13}   ms, medians of {ROUNDS} rounds")
    for name, rounds in found.items():
        # The first round opens the sessions.
        rounds = rounds[1:]
        first = statistics.median(writer[0] for writer in rounds)
        between = statistics.median((writer[-1] - writer[0]) / (TOKENS - 1) for writer in rounds)
        longest = statistics.median(max(b - a for a, b in zip(writer, writer[1:])) for writer in rounds)
        print(f"{name:22} {first:12.1f} {between:15.2f} {longest:13.1f}")
    print(f"slowest of the four writers over the quickest: {statistics.median(spread[1:]):.2f}")
    print(f"long prompts: {len(prompts)} of {statistics.median(prompts):.0f} tokens")


if __name__ == "__main__":
    main(sys.argv[1])
