use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text or number is not one of the ids of this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Ids that GitLab gives start at 1.
    #[error("{0} is not an id: a whole number from 1 to 2147483647 is needed")]
    NotAnId(String),
    /// See [`Slug`].
    #[error("{0:?} is not a project slug: {1}")]
    NotASlug(String, &'static str),
    /// See [`Sha`].
    #[error("{0:?} is not a git object id: 40 lower-case hex digits are needed")]
    NotASha(String),
    /// See [`Visibility`].
    #[error("{0:?} is not a visibility: public, internal or private is needed")]
    NotAVisibility(String),
}

macro_rules! gitlab_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
        pub struct $name(u32);

        impl $name {
            /// The largest id: GitLab's ids are positive 32-bit integers.
            pub const MAX: Self = Self(i32::MAX as u32);

            /// Takes a number that GitLab gave.
            pub fn new(number: i64) -> Result<Self, IdError> {
                match u32::try_from(number) {
                    Ok(n) if n > 0 && n <= i32::MAX as u32 => Ok(Self(n)),
                    _ => Err(IdError::NotAnId(number.to_string())),
                }
            }

            /// The number.
            pub const fn get(self) -> u32 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                text.parse::<i64>().map_err(|_| IdError::NotAnId(text.to_owned())).and_then(Self::new)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                i64::deserialize(deserializer).and_then(|n| Self::new(n).map_err(serde::de::Error::custom))
            }
        }
    };
}

gitlab_id! {
    /// GitLab's number of a project. It never changes; the slug does.
    ProjectId
}
gitlab_id! {
    /// GitLab's number of a user.
    UserId
}
gitlab_id! {
    /// GitLab's number of a group. It never changes; the path does.
    GroupId
}

impl ProjectId {
    /// The canary: a private project that nobody is a member of. Views have it, GitLab has not; only its prober ever sees it.
    pub const CANARY: Self = Self::MAX;
}

/// `namespace/project`, as GitLab's `path_with_namespace`: at least two segments, each of letters, digits, `_`, `-`, `.`.
///
/// GitLab keeps paths unique without regard to case; this type keeps the case it was given.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slug(Box<str>);

impl Slug {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the last `/`.
    pub fn namespace(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The part after the last `/`.
    pub fn project(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, project)| project)
    }
}

impl FromStr for Slug {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = |why| Err(IdError::NotASlug(text.chars().take(80).collect(), why));
        if text.len() > 1024 {
            return bad("it is longer than 1,024 bytes");
        }
        if !text.contains('/') {
            return bad("a namespace and a project are needed, joined by /");
        }
        for segment in text.split('/') {
            if segment.is_empty() || segment == "." || segment == ".." {
                return bad("it has an empty or dotted segment");
            }
            // GitLab allows ASCII only in paths; older releases allowed any letter, so letters beyond ASCII are kept.
            if !segment
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
            {
                return bad("only letters, digits, _, - and . are allowed");
            }
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Slug {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Slug {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A git object id (SHA-1): 40 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitObjectId([u8; 20]);

/// The id of a commit.
pub type Sha = GitObjectId;

impl GitObjectId {
    /// GitLab's "no commit": what `before` or `after` of a hook holds when a branch is made or deleted.
    pub const ZERO: Self = Self([0; 20]);

    /// Wraps the 20 bytes.
    pub const fn new(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// The 20 bytes.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl TryFrom<&[u8]> for GitObjectId {
    type Error = IdError;

    fn try_from(bytes: &[u8]) -> Result<Self, IdError> {
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| IdError::NotASha(hex::encode(bytes)))
    }
}

impl fmt::Display for GitObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for GitObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GitObjectId({self})")
    }
}

impl FromStr for GitObjectId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError::NotASha(text.chars().take(80).collect());
        let mut bytes = [0; 20];
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(bad());
        }
        hex::decode_to_slice(text, &mut bytes).map_err(|_| bad())?;
        Ok(Self(bytes))
    }
}

impl Serialize for GitObjectId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GitObjectId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Which look at a project a record answers for: `max(last + 1, clock in microseconds)`, taken before GitLab is asked.
/// Views and workers ignore what is not newer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Generation(u64);

/// Which reading of a project's facts a record was made with. Same rule as [`Generation`]: numbers only grow.
pub type StateVersion = Generation;

impl Generation {
    /// Wraps a stored number. 0 means "none yet".
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The generation that a look started at `now` gets when `self` was the last one.
    #[must_use]
    pub fn next(self, now: crate::Timestamp) -> Self {
        Self((self.0 + 1).max(now.micros_since_epoch()))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who may see a project at all, as GitLab has it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Members only.
    Private,
    /// Everybody who is signed in.
    Internal,
    /// Everybody.
    Public,
}

impl Visibility {
    /// GitLab's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Internal => "internal",
            Self::Public => "public",
        }
    }
}

impl fmt::Display for Visibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Visibility {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text {
            "private" => Ok(Self::Private),
            "internal" => Ok(Self::Internal),
            "public" => Ok(Self::Public),
            _ => Err(IdError::NotAVisibility(text.chars().take(80).collect())),
        }
    }
}

/// GitLab's access level of a member: 10 guest, 20 reporter, 30 developer, 40 maintainer, 50 owner.
/// GitLab adds levels between these (5, 15, …), so the number is kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct AccessLevel(pub u8);

impl AccessLevel {
    /// The first level that lets its holder see a project at all.
    pub const GUEST: Self = Self(10);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn ids_are_positive() {
        assert!(ProjectId::new(0).is_err());
        assert!(ProjectId::new(-1).is_err());
        assert!(ProjectId::new(i64::from(i32::MAX) + 1).is_err());
        assert_eq!(ProjectId::new(7).map(ProjectId::get), Ok(7));
    }

    #[test]
    fn slugs() {
        assert!("group/sub/project.x_y-z".parse::<Slug>().is_ok());
        for bad in [
            "project", "a//b", "a/../b", "a/b c", "a/<b>", "/a/b", "a/b/", "a/b\n",
        ] {
            assert!(bad.parse::<Slug>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn generations_grow_even_when_the_clock_does_not() {
        let now = Timestamp::from_micros(1_000);
        let first = Generation::default().next(now);
        assert_eq!(first.get(), 1_000);
        assert_eq!(first.next(now).get(), 1_001);
        assert_eq!(first.next(Timestamp::from_micros(10)).get(), 1_001);
    }
}
