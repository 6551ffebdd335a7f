//! Whole-system tests of drive-agent: through the real program, against real parts.
//!
//! | place | what is there |
//! |---|---|
//! | `it/` | the tests: one binary, one module a subject; `it/support/` is their vocabulary |
//! | `histories/` | random sequences of commands, with everything that can interrupt them |
//! | `fuzz/` | fuzz targets of every parser of untrusted input, and their corpora: a package of its own |
//! | `world/` | the job service under random histories in virtual time |
//! | `benches/` | what the service and the hot pieces cost |
//! | `clients/` | scripts that use the service as others do: public clients, a browser |
//! | `src/random.rs` | random choices that a seed repeats |
//! | `src/bin/agent-under-test.rs` | the program under test, built with the tests so that it is never stale |
//! | `deny.toml`, `sbom` | what our dependencies may be; what the program is made of |
//! | `tools/` | what other programs the tests use, pinned |
//! | `run` | installs what is missing, and runs everything |

pub mod random;
