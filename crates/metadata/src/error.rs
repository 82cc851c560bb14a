use rdf::TooLarge;

/// The metadata version that this crate reads.
pub const SUPPORTED_VERSION: u64 = 10;

/// The release of the `renku` CLI whose behaviour this crate has. A project that demands a newer one is refused.
pub const RENKU_VERSION: &str = "2.9.4";

/// Why a project's metadata gives no graph. Every text names the object, the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// Neither `.renku/metadata.yml` nor `.renku/metadata/root` is there.
    #[error(
        "this is not a renku repository: neither .renku/metadata.yml nor .renku/metadata/root is there; run `renku init` to make it one"
    )]
    NotARenkuProject,
    /// Written by an older release.
    #[error(
        "Project version is outdated and a migration is required. Run `renku migrate` command to fix the issue. (The metadata has version {version}, {SUPPORTED_VERSION} is needed.)"
    )]
    MigrationNeeded {
        /// The metadata's version.
        version: u64,
    },
    /// Written by a release that is newer than this code.
    #[error(
        "Project is not supported by this version of Renku. Upgrade to the latest version of Renku. (The metadata has version {version}, {SUPPORTED_VERSION} is supported.)"
    )]
    VersionNotSupported {
        /// The metadata's version.
        version: u64,
    },
    /// The project demands a newer release.
    #[error(
        "You are using renku version {RENKU_VERSION} but this project requires at least version {minimum}. Upgrade to that version."
    )]
    NeedsNewerRenku {
        /// What the project demands.
        minimum: String,
    },
    /// A file cannot be read as what it should be.
    #[error(
        "the metadata file {file} is damaged: {damage}; restore it from an earlier commit or run `renku doctor --fix`"
    )]
    Corrupt {
        /// The path from the repository's root.
        file: String,
        /// What is wrong.
        damage: Damage,
    },
    /// An object is named but not there.
    #[error(
        "Cannot find object {oid}: {needed_by} needs it, but there is no file {file}; restore the file from an earlier commit"
    )]
    Missing {
        /// The object's name in the database.
        oid: String,
        /// Where its file should be.
        file: String,
        /// The file, or the commit, that names it.
        needed_by: String,
    },
    /// Objects contain each other.
    #[error("the object {id} in {file} contains itself; remove it from what it is made of and commit again")]
    Cycle {
        /// The object's id.
        id: String,
        /// Its file.
        file: String,
    },
    /// Annotation bodies are data: nothing is fetched on their behalf.
    #[error(
        "an annotation in {file} has the remote @context {url:?}, which is never fetched; put the context inline"
    )]
    RemoteContext {
        /// The file that holds the annotation.
        file: String,
        /// The address.
        url: String,
    },
    /// More objects than one project may have.
    #[error("the project has more than {limit} metadata objects; split it")]
    TooManyObjects {
        /// The most that is read.
        limit: usize,
    },
    /// More triples, or more text, than one project may have.
    #[error("the project's graph is too large; split the project")]
    GraphTooLarge(#[from] TooLarge),
    /// The bytes could not be had.
    #[error("the metadata file {file} cannot be read")]
    Source {
        /// The path from the repository's root.
        file: String,
        /// Why.
        #[source]
        source: SourceError,
    },
}

/// What a source of bytes says when it fails.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// See [`crate::MAX_OBJECT_BYTES`].
    #[error("it is larger than {limit} bytes")]
    TooLarge {
        /// The most bytes.
        limit: usize,
    },
    /// Nesting.
    #[error("its values are nested deeper than {limit}")]
    TooDeep {
        /// The deepest nesting.
        limit: usize,
    },
    /// The frame does not inflate.
    #[error("its zstd frame is broken")]
    Zstd,
    /// Bytes that are no text.
    #[error("it is not UTF-8 text")]
    NotText,
    /// The text is no JSON.
    #[error("it is not JSON (at byte {at}: {what}){}", if *.at == 0 { "; perhaps it holds conflict markers" } else { "" })]
    Json {
        /// Byte offset.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// JSON, but no object of the database.
    #[error("{what}")]
    Shape {
        /// What is wrong.
        what: &'static str,
    },
    /// An attribute holds something else than its class says.
    #[error("{attribute:?} of {class} {id:?} does not hold {expected}")]
    Attribute {
        /// The object's class.
        class: &'static str,
        /// The object's id.
        id: String,
        /// The attribute.
        attribute: &'static str,
        /// What should be there.
        expected: &'static str,
    },
    /// The file holds another class than the one it is needed as.
    #[error("it holds a {found}, where {expected} is needed")]
    Class {
        /// The class found.
        found: String,
        /// The class needed.
        expected: &'static str,
    },
    /// An annotation's body is no JSON-LD, or uses a part of it that is not read.
    #[error("an annotation's body is not usable JSON-LD: {what}")]
    Body {
        /// What is wrong.
        what: &'static str,
    },
}

impl MetadataError {
    /// What the `renku` CLI's process exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotARenkuProject => 2,
            Self::MigrationNeeded { .. } => 3,
            Self::VersionNotSupported { .. } => 4,
            _ => 1,
        }
    }

    /// A stable word for metrics, filters and status.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotARenkuProject => "not-a-renku-project",
            Self::MigrationNeeded { .. } => "migration-needed",
            Self::VersionNotSupported { .. } => "version-not-supported",
            Self::NeedsNewerRenku { .. } => "needs-newer-renku",
            Self::Corrupt {
                damage: Damage::TooLarge { .. },
                ..
            } => "object-too-large",
            Self::Corrupt {
                damage: Damage::TooDeep { .. },
                ..
            } => "nested-too-deep",
            Self::Corrupt { .. } => "metadata-corrupt",
            Self::Missing { .. } => "object-missing",
            Self::Cycle { .. } => "object-cycle",
            Self::RemoteContext { .. } => "remote-context",
            Self::TooManyObjects { .. } => "too-many-objects",
            Self::GraphTooLarge(_) => "graph-too-large",
            Self::Source { .. } => "source-failed",
        }
    }

    /// Whether the fault is the repository's: the same bytes will fail the same way for ever.
    pub fn is_permanent(&self) -> bool {
        !matches!(self, Self::Source { .. })
    }
}
