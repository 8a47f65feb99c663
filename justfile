# `just verify` only reads; `just fix` writes.

verify:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo nextest run --workspace
    cargo deny check

fix:
    cargo fmt --all
    cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
    UPDATE_GOLDENFILES=1 cargo nextest run -p lease

# Every benchmark of functions; `tenure claimer` measures the system.
bench:
    cargo bench -p lease
    cargo bench -p replica
