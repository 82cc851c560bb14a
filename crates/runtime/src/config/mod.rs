//! Settings: defaults, then a TOML file, then `RENKU__SECTION__KEY` variables, then flags. Strict: an unknown key, a
//! wrong type or a refused value is an error that names the key and where it came from.
//!
//! ```text
//! let loaded = Layers::new()
//!     .file(Path::new("renku.toml"))?
//!     .environment(std::env::vars())?
//!     .flag("--listen", "listen", "127.0.0.1:8080")?
//!     .load::<Settings>()?;
//! ```
//!
//! `Settings` is the main's struct; each role owns the type of its section. Every field has a default
//! (`#[serde(default)]`), and `Serialize` must not give a secret away (`model::Secret` writes stars).

mod error;
mod layers;
mod show;

pub use error::{ConfigError, Source};
pub use layers::{Layers, Loaded};
