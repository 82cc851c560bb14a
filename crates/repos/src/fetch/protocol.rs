use std::cell::Cell;
use std::io::{BufReader, Read, Write};
use std::rc::Rc;

use git2::{Odb, Oid};
use model::{Secret, Slug};

use super::http::Proof;
use super::pkt::{self, Pkt, PktReader};
use super::{Body, Deadline, FetchError, Http};

const AGENT: &str = concat!("agent=git/renku-graph-", env!("CARGO_PKG_VERSION"));
const UPLOAD_PACK: &str = "git-upload-pack";

/// What the server can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Capabilities {
    /// Leave out contents by size.
    filter: bool,
    /// It wants to be told the hash function.
    object_format: bool,
}

/// Which objects to bring.
pub(crate) struct PackRequest<'a> {
    pub(crate) wants: &'a [Oid],
    /// The commit that the mirror has, cut off from its parents.
    pub(crate) have: Option<Oid>,
    /// Cut off the history behind the wanted commit.
    pub(crate) depth_one: bool,
    /// Leave out contents from this size on.
    pub(crate) blob_limit: Option<u64>,
    /// Most objects.
    pub(crate) objects: usize,
}

/// Git's protocol version 2 with one repository.
pub(crate) struct Protocol<'a> {
    pub(crate) http: &'a Http,
    pub(crate) slug: &'a Slug,
    pub(crate) token: Option<&'a Secret>,
    pub(crate) deadline: &'a Deadline,
}

impl Protocol<'_> {
    /// Asks what the server can do.
    pub(crate) fn capabilities(&self, left: &mut u64) -> Result<Capabilities, FetchError> {
        let mut url = self.http.repository(self.slug, &["info", "refs"])?;
        url.set_query(Some("service=git-upload-pack"));
        let request = self.http.get(url).header("git-protocol", "version=2");
        let response = self.http.send(request, Proof::Git, self.token, self.deadline)?;
        self.read(response, left, |lines| {
            let mut found = Capabilities {
                filter: false,
                object_format: false,
            };
            let mut version = false;
            let mut greeting = false;
            loop {
                match lines.next()? {
                    Pkt::Data(line) => match line.trim_ascii_end() {
                        // Some servers greet as in version 1, then go on with version 2.
                        line if line.starts_with(b"# service=") => greeting = true,
                        b"version 2" => version = true,
                        _ if !version => return Err(unsupported()),
                        b"object-format=sha1" => found.object_format = true,
                        line if line.starts_with(b"object-format=") => {
                            return Err(FetchError::Rejected(
                                "it uses SHA-256 object ids, which are not supported".into(),
                            ));
                        }
                        line => {
                            if let Some(features) = line.strip_prefix(b"fetch=") {
                                found.filter =
                                    features.split(|byte| *byte == b' ').any(|word| word == b"filter");
                            }
                        }
                    },
                    Pkt::Flush if greeting && !version => greeting = false,
                    Pkt::Flush if version => return Ok(found),
                    _ => return Err(unsupported()),
                }
            }
        })
    }

    /// Where a branch is. `name` is the full name of the ref.
    pub(crate) fn head(
        &self,
        can: Capabilities,
        name: &str,
        left: &mut u64,
    ) -> Result<Option<Oid>, FetchError> {
        let mut body = Vec::with_capacity(256);
        self.begin(&mut body, "ls-refs", can);
        pkt::line(&mut body, &format!("ref-prefix {name}\n"));
        body.extend_from_slice(pkt::FLUSH);
        let response = self.post(body)?;
        self.read(response, left, |lines| {
            let mut found = None;
            loop {
                match lines.next()? {
                    Pkt::Flush => return Ok(found),
                    Pkt::Data(line) => {
                        // `<oid> <name>`, then attributes; the prefix finds longer names too.
                        let mut words = line.trim_ascii_end().split(|byte| *byte == b' ');
                        let (oid, this) = (words.next(), words.next());
                        if this == Some(name.as_bytes()) {
                            let oid = oid.and_then(|hex| Oid::from_str(std::str::from_utf8(hex).ok()?).ok());
                            found = Some(
                                oid.ok_or_else(|| FetchError::Garbage("a ref has no object id".into()))?,
                            );
                        }
                    }
                    _ => return Err(FetchError::Garbage("the list of refs has an odd end".into())),
                }
            }
        })
    }

    /// Brings objects into the object database.
    pub(crate) fn pack(
        &self,
        can: Capabilities,
        request: &PackRequest<'_>,
        odb: &Odb<'_>,
        left: &mut u64,
    ) -> Result<(), FetchError> {
        let mut body = Vec::with_capacity(512 + 52 * request.wants.len());
        self.begin(&mut body, "fetch", can);
        // Of a commit that is cut off, servers leave out what the mirror has only in thin packs.
        for argument in ["thin-pack\n", "no-progress\n", "ofs-delta\n"] {
            pkt::line(&mut body, argument);
        }
        if request.depth_one {
            pkt::line(&mut body, "deepen 1\n");
        }
        if let Some(limit) = request.blob_limit.filter(|_| can.filter) {
            pkt::line(&mut body, &format!("filter blob:limit={limit}\n"));
        }
        if let Some(have) = request.have {
            pkt::line(&mut body, &format!("shallow {have}\n"));
        }
        for want in request.wants {
            pkt::line(&mut body, &format!("want {want}\n"));
        }
        if let Some(have) = request.have {
            pkt::line(&mut body, &format!("have {have}\n"));
        }
        pkt::line(&mut body, "done\n");
        body.extend_from_slice(pkt::FLUSH);
        let response = self.post(body)?;
        self.read(response, left, |lines| {
            lines.skip_to_pack()?;
            index(lines, odb, request.objects)
        })
    }

    fn begin(&self, body: &mut Vec<u8>, command: &str, can: Capabilities) {
        pkt::line(body, &format!("command={command}\n"));
        pkt::line(body, AGENT);
        if can.object_format {
            pkt::line(body, "object-format=sha1");
        }
        body.extend_from_slice(pkt::DELIM);
    }

    fn post(&self, body: Vec<u8>) -> Result<reqwest::blocking::Response, FetchError> {
        let request = self
            .http
            .post(self.http.repository(self.slug, &[UPLOAD_PACK])?)
            .header("git-protocol", "version=2")
            .header("content-type", "application/x-git-upload-pack-request")
            .header("accept", "application/x-git-upload-pack-result")
            .body(body);
        self.http.send(request, Proof::Git, self.token, self.deadline)
    }

    fn read<T>(
        &self,
        response: reqwest::blocking::Response,
        left: &mut u64,
        read: impl FnOnce(&mut Lines<'_>) -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        let body = Shared::new(Body::new(response, self.deadline, left));
        let mut lines = Lines {
            body: body.clone(),
            lines: PktReader::new(BufReader::with_capacity(64 << 10, body)),
        };
        let found = read(&mut lines)?;
        lines.lines.drain();
        Ok(found)
    }
}

fn unsupported() -> FetchError {
    FetchError::Garbage(
        "it does not speak version 2 of git's protocol: a proxy in front of it must let the header Git-Protocol through".into(),
    )
}

/// A body under the buffer, still reachable for the reason of a failure.
struct Shared<'a>(Rc<std::cell::RefCell<Body<'a>>>);

impl<'a> Shared<'a> {
    fn new(body: Body<'a>) -> Self {
        Self(Rc::new(std::cell::RefCell::new(body)))
    }
}

impl Clone for Shared<'_> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Read for Shared<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().read(buffer)
    }
}

struct Lines<'a> {
    body: Shared<'a>,
    lines: PktReader<BufReader<Shared<'a>>>,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Pkt<'_>, FetchError> {
        let body = &self.body;
        self.lines.next(|error| body.0.borrow_mut().failure(&error))
    }

    /// Reads over the sections in front of the pack (`shallow-info`, …).
    fn skip_to_pack(&mut self) -> Result<(), FetchError> {
        loop {
            match self.next()? {
                Pkt::Data(b"packfile\n") => return Ok(()),
                Pkt::Data(_) | Pkt::Delim => {}
                Pkt::Flush | Pkt::ResponseEnd => return Err(FetchError::Garbage("it sent no pack".into())),
            }
        }
    }
}

/// Feeds the pack to libgit2's indexer, which checks every object against its id.
fn index(lines: &mut Lines<'_>, odb: &Odb<'_>, most_objects: usize) -> Result<(), FetchError> {
    let too_many = Rc::new(Cell::new(false));
    let mut pack = odb
        .packwriter()
        .map_err(|error| FetchError::Mirror(error.message().to_owned()))?;
    let seen = too_many.clone();
    pack.progress(move |progress| {
        if progress.total_objects() > most_objects {
            seen.set(true);
        }
        !seen.get()
    });
    let failed = || {
        if too_many.get() {
            return FetchError::TooLarge(format!(
                "the commit has more than {most_objects} folders and small files"
            ));
        }
        indexing(&git2::Error::last_error(-1))
    };
    loop {
        match lines.next()? {
            Pkt::Flush => break,
            Pkt::Data([1, data @ ..]) => pack.write_all(data).map_err(|_| failed())?,
            Pkt::Data([2, ..]) => {}
            Pkt::Data([3, message @ ..]) => return Err(pkt::refused_by(message)),
            _ => return Err(FetchError::Garbage("the pack has an odd end".into())),
        }
    }
    pack.commit().map_err(|error| {
        if too_many.get() {
            failed()
        } else {
            indexing(&error)
        }
    })?;
    Ok(())
}

/// The operating system's failures are ours, everything else is in the pack.
fn indexing(error: &git2::Error) -> FetchError {
    match error.class() {
        git2::ErrorClass::Os | git2::ErrorClass::Filesystem => FetchError::Mirror(error.message().to_owned()),
        _ => FetchError::Garbage(format!("the pack cannot be used: {}", error.message())),
    }
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
