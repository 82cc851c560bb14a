//! The whole pipeline in one thread: see `tests/simulation`.
