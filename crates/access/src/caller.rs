/// On whose behalf something is read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Caller {
    /// Nobody in particular: sees what is public.
    Anonymous,
    /// The operator, at the admin listener: sees every project that exists.
    Administrator,
}

impl Caller {
    /// For logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Administrator => "administrator",
        }
    }
}
