#!/usr/bin/env python3
"""What the split costs and gains on loopback, as ratios within one run (Python 3.9+, standard library only).

    python3 tools/loopback.py [--binary target/release/tricorn] [--rounds 5] [--tokens 128]

Starts one `tricorn cloud` for the built-in model, then asks for the same texts in three ways, interleaved so that whatever else the
machine does hits all alike: everything in one process without drafts, through the cloud without drafts, through the cloud with drafts.
Prints the mean time between tokens of each and the ratios, and fails when any two texts differ.
"""
import argparse, json, pathlib, statistics, subprocess, sys

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--binary", default="target/release/tricorn")
parser.add_argument("--model", default="demo")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--tokens", type=int, default=128)
parser.add_argument("--threshold", help="confidence threshold; the drafter's own by default")
args = parser.parse_args()

prompts_file = pathlib.Path(__file__).parent.parent / "tests/fixtures/stories_prompts.jsonl"
prompts = [json.loads(line)["prompt"] for line in prompts_file.open()]
cloud = subprocess.Popen(
    [args.binary, "cloud", "--model", args.model, "--listen", "127.0.0.1:0", "--json", "--until-stdin-ends"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
)
url = "http://" + json.loads(cloud.stdout.readline())["address"]
modes = {
    "local, no drafts": ["--local", "--no-draft"],
    "cloud, no drafts": ["--cloud", url, "--no-draft"],
    "cloud, drafts": ["--cloud", url] + (["--threshold", args.threshold] if args.threshold else []),
}
tbt = {mode: [] for mode in modes}
ttft = {mode: [] for mode in modes}
per_round = []
try:
    for _ in range(args.rounds):
        for prompt in prompts:
            texts = {}
            for mode, flags in modes.items():
                command = [args.binary, "run", "--model", args.model, "--json", "--max-tokens", str(args.tokens), *flags, prompt]
                out = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)
                texts[mode] = out["token_ids"]
                tbt[mode].append(out["tbt_ms"]["mean"])
                ttft[mode].append(out["ttft_ms"])
                if mode == "cloud, drafts":
                    per_round.append(out["accepted_per_round"])
            if len({tuple(ids) for ids in texts.values()}) != 1:
                sys.exit(f"the texts differ for the prompt {prompt!r}")
finally:
    cloud.stdin.close()
    cloud.wait(timeout=30)

mean = {mode: statistics.fmean(values) for mode, values in tbt.items()}
reference = mean["local, no drafts"]
print(f"{len(prompts)} prompts x {args.rounds} rounds x {args.tokens} tokens, all texts equal, {statistics.fmean(per_round):.2f} tokens a round with drafts")
for mode in modes:
    print(f"  {mode:18} TTFT {statistics.fmean(ttft[mode]):7.2f} ms   TBT {mean[mode]:6.3f} ms   {mean[mode] / reference:5.2f} x local")
