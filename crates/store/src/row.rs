//! How rows of the tables are written: big-endian numbers, then bytes with their length before them.

use model::{Digest, Generation, ProjectId, Visibility};

use crate::error::StoreError;

/// Writes.
#[derive(Default)]
pub(crate) struct Put(pub(crate) Vec<u8>);

impl Put {
    pub(crate) fn u8(mut self, n: u8) -> Self {
        self.0.push(n);
        self
    }

    pub(crate) fn u32(mut self, n: u32) -> Self {
        self.0.extend_from_slice(&n.to_be_bytes());
        self
    }

    pub(crate) fn u64(mut self, n: u64) -> Self {
        self.0.extend_from_slice(&n.to_be_bytes());
        self
    }

    pub(crate) fn digest(mut self, digest: &Digest) -> Self {
        self.0.extend_from_slice(digest.as_bytes());
        self
    }

    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let mut put = self.u32(bytes.len() as u32);
        put.0.extend_from_slice(bytes);
        put
    }
}

/// Reads what [`Put`] wrote.
pub(crate) struct Take<'a>(pub(crate) &'a [u8]);

impl<'a> Take<'a> {
    fn chunk<const N: usize>(&mut self) -> Result<&'a [u8; N], StoreError> {
        let (chunk, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(StoreError::Damaged("a row is cut short"))?;
        self.0 = rest;
        Ok(chunk)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, StoreError> {
        self.chunk::<1>().map(|[n]| *n)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, StoreError> {
        self.chunk().map(|n| u32::from_be_bytes(*n))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, StoreError> {
        self.chunk().map(|n| u64::from_be_bytes(*n))
    }

    pub(crate) fn digest(&mut self) -> Result<Digest, StoreError> {
        self.chunk().map(|bytes| Digest::new(*bytes))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], StoreError> {
        let len = self.u32()? as usize;
        let (bytes, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(StoreError::Damaged("a row is cut short"))?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, StoreError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| StoreError::Damaged("a row's text is not UTF-8"))
    }

    pub(crate) fn generation(&mut self) -> Result<Generation, StoreError> {
        self.u64().map(Generation::new)
    }
}

/// The project of a key that begins with its id.
pub(crate) fn project_of(key: &[u8]) -> Result<ProjectId, StoreError> {
    let id = Take(key).u32()?;
    ProjectId::new(i64::from(id)).map_err(|_| StoreError::Damaged("a key has no project id"))
}

/// Row of `access`: all that reading needs of a project. `visibility: None`: visible to nobody.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct AccessRow<'a> {
    pub(crate) visibility: Option<Visibility>,
    /// Graph of what it says of its own things; 0: none.
    pub(crate) own: u32,
    /// Graph of its claims; 0: none.
    pub(crate) claims: u32,
    /// Empty without facts.
    pub(crate) slug: &'a str,
}

impl<'a> AccessRow<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, StoreError> {
        let mut take = Take(bytes);
        Ok(Self {
            visibility: match take.u8()? {
                1 => Some(Visibility::Private),
                2 => Some(Visibility::Internal),
                3 => Some(Visibility::Public),
                _ => None,
            },
            own: take.u32()?,
            claims: take.u32()?,
            slug: take.text()?,
        })
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let code = match self.visibility {
            None => 0,
            Some(Visibility::Private) => 1,
            Some(Visibility::Internal) => 2,
            Some(Visibility::Public) => 3,
        };
        Put::default()
            .u8(code)
            .u32(self.own)
            .u32(self.claims)
            .bytes(self.slug.as_bytes())
            .0
    }
}

/// Row of `graphs`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct GraphRow {
    pub(crate) project: ProjectId,
    pub(crate) quads: u64,
}

impl GraphRow {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        let project = project_of(bytes)?;
        Ok(Self {
            project,
            quads: Take(&bytes[4..]).u64()?,
        })
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        Put::default().u32(self.project.get()).u64(self.quads).0
    }
}
