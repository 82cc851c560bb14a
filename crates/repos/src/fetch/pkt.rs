//! Git's pkt-lines: four hex digits of length, then the content.

use std::io::Read;

use super::FetchError;

/// One pkt-line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pkt<'a> {
    Data(&'a [u8]),
    Flush,
    Delim,
    ResponseEnd,
}

/// Longest content of a pkt-line.
pub(super) const LONGEST: usize = 65_516;

/// Appends a line.
pub(super) fn line(out: &mut Vec<u8>, content: &str) {
    debug_assert!(content.len() <= LONGEST);
    out.extend_from_slice(format!("{:04x}", content.len() + 4).as_bytes());
    out.extend_from_slice(content.as_bytes());
}

/// Ends a request.
pub(super) const FLUSH: &[u8] = b"0000";
/// Parts the capabilities of a request from its arguments.
pub(super) const DELIM: &[u8] = b"0001";

/// Reads pkt-lines into one buffer.
pub(super) struct PktReader<R> {
    from: R,
    buffer: Vec<u8>,
}

impl<R: Read> PktReader<R> {
    pub(super) fn new(from: R) -> Self {
        Self {
            from,
            buffer: vec![0; LONGEST + 4],
        }
    }

    /// Reads what little may come after the last line, so that the connection can be used again.
    pub(super) fn drain(&mut self) {
        let _ = std::io::copy(&mut (&mut self.from).take(1 << 10), &mut std::io::sink());
    }

    /// The next line. `fail` makes the error of the transport; an end in the middle is one.
    pub(super) fn next(
        &mut self,
        fail: impl Fn(std::io::Error) -> FetchError,
    ) -> Result<Pkt<'_>, FetchError> {
        let mut head = [0; 4];
        self.from.read_exact(&mut head).map_err(&fail)?;
        let length = std::str::from_utf8(&head)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|text| usize::from_str_radix(text, 16).ok())
            .ok_or_else(|| FetchError::Garbage("it does not speak git's protocol".into()))?;
        match length {
            0 => Ok(Pkt::Flush),
            1 => Ok(Pkt::Delim),
            2 => Ok(Pkt::ResponseEnd),
            4..=65_520 => {
                let content = &mut self.buffer[..length - 4];
                self.from.read_exact(content).map_err(&fail)?;
                match content.strip_prefix(b"ERR ") {
                    Some(message) => Err(refused_by(message)),
                    None => Ok(Pkt::Data(content)),
                }
            }
            other => Err(FetchError::Garbage(format!(
                "a line of git's protocol has the length {other}"
            ))),
        }
    }
}

/// An error that the git server tells.
pub(super) fn refused_by(message: &[u8]) -> FetchError {
    let text: String = String::from_utf8_lossy(message)
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(300)
        .collect();
    FetchError::Down {
        why: format!("git says {text:?}"),
        retry_after: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(error: std::io::Error) -> FetchError {
        FetchError::Garbage(error.to_string())
    }

    #[test]
    fn lines_are_read_back() {
        let mut bytes = Vec::new();
        line(&mut bytes, "hello\n");
        bytes.extend_from_slice(DELIM);
        line(&mut bytes, "");
        bytes.extend_from_slice(FLUSH);
        let mut reader = PktReader::new(&bytes[..]);
        assert_eq!(reader.next(fail).unwrap(), Pkt::Data(b"hello\n"));
        assert_eq!(reader.next(fail).unwrap(), Pkt::Delim);
        assert_eq!(reader.next(fail).unwrap(), Pkt::Data(b""));
        assert_eq!(reader.next(fail).unwrap(), Pkt::Flush);
        assert!(reader.next(fail).is_err());
    }

    #[test]
    fn nonsense_is_an_error() {
        for bytes in [
            &b"<html>"[..],
            b"0003",
            b"ffff",
            b"0009ab",
            b"+00a",
            b"000eERR go away",
            b"00",
        ] {
            assert!(PktReader::new(bytes).next(fail).is_err(), "{bytes:?}");
        }
    }
}
