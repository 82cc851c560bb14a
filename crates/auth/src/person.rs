use access::Caller;
use model::UserId;

/// Somebody whom GitLab knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Person {
    /// The number in GitLab.
    pub user: UserId,
    /// GitLab shows external users no internal projects but their own.
    pub external: bool,
}

impl Person {
    pub(crate) fn caller(self) -> Caller {
        match self.external {
            false => Caller::User(self.user),
            true => Caller::External(self.user),
        }
    }
}
