use std::fmt;

/// A part of the system that can run in a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Role {
    /// Hooks in, push events out.
    WebhookService,
    /// Push events in; asks GitLab; commits and facts out.
    CommitFetcher,
    /// Commits in, graphs out.
    TripleGenerator,
    /// Graphs and facts in; writes the views.
    GraphWriter,
    /// Answers from the views.
    QueryService,
}

impl Role {
    /// All, in the order in which data passes them.
    pub const ALL: &[Self] = &[
        Self::WebhookService,
        Self::CommitFetcher,
        Self::TripleGenerator,
        Self::GraphWriter,
        Self::QueryService,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WebhookService => "webhook-service",
            Self::CommitFetcher => "commit-fetcher",
            Self::TripleGenerator => "triple-generator",
            Self::GraphWriter => "graph-writer",
            Self::QueryService => "query-service",
        }
    }

    /// Does it read or write the bus?
    pub const fn needs_bus(self) -> bool {
        !matches!(self, Self::QueryService)
    }

    /// Does it answer on the public listener?
    pub const fn is_public(self) -> bool {
        matches!(self, Self::WebhookService | Self::QueryService)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
