#!/usr/bin/env python3
"""Time to first token of a chat's second turn against that of a fresh prompt of only the new tokens' length.

Starts a cloud and a device with one slot on loopback, and asks for one token each: a chat's long first turn, its second turn, and a fresh
prompt as long as what the second turn adds. The three alternate in one run; what is printed are medians in milliseconds and their ratio.

    cargo build --release -p tricorn-cli && python3 tools/second_turn.py target/release/tricorn
"""

import json
import statistics
import sys
import time
import urllib.request

from endpoint import endpoint

ROUNDS = 25
STORY = "The hat told the cloud a story about a letter that was lost in the snow, and the cloud listened. "
NEWS = "Then a fox came by and asked what the story was about. The hat told it all again, from the first word to the last. "


def ask(url, messages):
    body = {"model": "demo", "messages": messages, "max_tokens": 1, "temperature": 0}
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    begin = time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)
    elapsed = (time.perf_counter() - begin) * 1e3
    return elapsed, answer["choices"][0]["message"]["content"], answer["usage"]["prompt_tokens"]


def main(binary):
    times = {"first": [], "second": [], "fresh": []}
    with endpoint(binary, slots=1) as base:
        url = base + "/chat/completions"
        for index in range(ROUNDS):
            user = lambda text: {"role": "user", "content": f"{index}. {text}"}
            chat = [user(STORY * 12)]
            elapsed, reply, first = ask(url, chat)
            times["first"].append(elapsed)
            chat += [{"role": "assistant", "content": reply}, user(NEWS * 3)]
            elapsed, _, second = ask(url, chat)
            times["second"].append(elapsed)
            elapsed, _, fresh = ask(url, [user(NEWS * 3)])
            times["fresh"].append(elapsed)
    # The first round opens the session.
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    print(f"first turn    {first:5} tokens {medians['first']:7.2f} ms")
    print(f"second turn  +{second - first:5} tokens {medians['second']:7.2f} ms")
    print(f"fresh prompt  {fresh:5} tokens {medians['fresh']:7.2f} ms")
    print(f"second turn / fresh prompt: {medians['second'] / medians['fresh']:.2f}")


if __name__ == "__main__":
    main(sys.argv[1])
