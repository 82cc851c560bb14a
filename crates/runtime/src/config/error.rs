use std::fmt;
use std::path::PathBuf;

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Why the process refuses to start with these settings. No value is ever part of it: it could be a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not TOML: line {line}, column {column}: {what}", .path.display())]
    NotToml {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// The parser's words.
        what: String,
    },
    /// A key that nobody knows.
    #[error("unknown key {key} (from {source_of}){hint}")]
    Unknown {
        /// Dotted.
        key: String,
        /// Where it came from.
        source_of: Source,
        /// ` : did you mean …?`, or nothing.
        hint: String,
    },
    /// A value that does not fit.
    #[error("{key} (from {source_of}): {why}")]
    Invalid {
        /// Dotted.
        key: String,
        /// Where it came from.
        source_of: Source,
        /// What is needed.
        why: String,
    },
    /// Two keys that exclude each other.
    #[error("{first} (from {first_source}) and {second} (from {second_source}) exclude each other: {why}")]
    Exclusive {
        /// Dotted.
        first: String,
        /// Where it came from.
        first_source: Source,
        /// Dotted.
        second: String,
        /// Where it came from.
        second_source: Source,
        /// Which to keep when.
        why: String,
    },
    /// A variable's name has no key in it.
    #[error("{0} is no setting: RENKU__SECTION__KEY is needed")]
    BadVariable(String),
    /// The settings cannot be written down.
    #[error("the settings cannot be shown")]
    NotShown(#[source] toml::ser::Error),
}
