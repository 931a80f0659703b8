# Shorthands; `just` lists them. Nothing needs them: each is one plain command.

# List the shorthands
default:
    @just --list

# Watch the built-in model write a story, its middle in another process
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# All tests
test:
    cargo test --workspace

# What a change must pass
ci:
    bash .ci/run

# Feed a target of fuzz/ for some seconds; needs a nightly toolchain and cargo-fuzz
fuzz TARGET SECONDS="600":
    cargo +nightly fuzz run {{TARGET}} -- -max_total_time={{SECONDS}}

# What the split costs and gains on loopback
loopback *ARGS:
    cargo build --release
    python3 tools/loopback.py {{ARGS}}

# Build the device's page again after a change of crates/api/page/
page:
    bash crates/api/page/build.sh

# Test the page in Chromium, on a real device too
browser:
    cargo build --release
    TRICORN="$PWD/target/release/tricorn" bash tests/browser/run.sh

# Write the wire types again after a change of proto/
proto:
    cargo run --manifest-path tools/protogen/Cargo.toml

# Distil the demo model's fused drafter again (DATA as below)
distill-fused DATA OUT:
    cargo run --release -- distill --kind fused --model demo --data {{DATA}}/stories.train.jsonl --valid {{DATA}}/stories.valid.jsonl --out {{OUT}} --tokens 1500000 --batch-tokens 1024 --learning-rate 0.02 --ce-weight 10 --unroll 4 --eval-every 100000 --eval-prompts 32 --eval-tokens 128

# Distil the demo model's HAT drafter again (DATA holds stories.train.jsonl and stories.valid.jsonl)
distill DATA OUT:
    cargo run --release -- distill --model demo --data {{DATA}}/stories.train.jsonl --valid {{DATA}}/stories.valid.jsonl --out {{OUT}} --tokens 6000000 --ce-weight 10 --eval-every 250000 --eval-prompts 32 --eval-tokens 128
