# `just verify` only reads; `just fix` writes.

verify:
    ./test

fix:
    cargo fmt --all
    cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
    UPDATE_GOLDENFILES=1 cargo nextest run --workspace -E 'binary_id(lease::scripts) + binary_id(server::juju) + test(=the_kept_document_is_the_served_one) + test(=the_format_is_drawn_as_the_code_has_it)'

# Licences, sources, advisories. Not a part of `verify`: the advisories are a database that CI cannot fetch.
deny:
    cargo deny check

# Every benchmark of functions; `tenure claimer` measures the system.
bench:
    cargo bench -p lease
    cargo bench -p replica
    cargo bench -p server

# One target of fuzz/ for a minute; fuzz/README.md says what it takes.
fuzz target:
    cargo +nightly fuzz run --fuzz-dir fuzz {{target}} -- -max_total_time=60
