//! From a file's bytes to its text.

use std::io::Read;

use crate::error::Damage;

/// The most bytes that one object may have, inflated.
pub const MAX_OBJECT_BYTES: usize = 8 << 20;

/// The largest window a frame may ask memory for: as large as an object may be.
const WINDOW_LOG: u32 = MAX_OBJECT_BYTES.ilog2();

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// Inflates frames into one buffer that is used again and again.
pub(crate) struct Inflater {
    context: Option<zstd::bulk::Decompressor<'static>>,
    buffer: Vec<u8>,
}

impl Inflater {
    pub(crate) fn new() -> Self {
        Self {
            context: None,
            buffer: Vec::new(),
        }
    }

    /// The text of a file: plain, or one zstd frame, told apart by the first four bytes.
    pub(crate) fn text<'b>(&'b mut self, bytes: &'b [u8]) -> Result<&'b str, Damage> {
        let plain = if bytes.starts_with(&ZSTD_MAGIC) {
            self.inflate(bytes)?
        } else if bytes.len() > MAX_OBJECT_BYTES {
            return Err(Damage::TooLarge {
                limit: MAX_OBJECT_BYTES,
            });
        } else {
            bytes
        };
        std::str::from_utf8(plain).map_err(|_| Damage::NotText)
    }

    /// Frames do not say how long they are, so a small buffer is tried first: pages that are not touched cost nothing.
    fn inflate(&mut self, bytes: &[u8]) -> Result<&[u8], Damage> {
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(zstd::bulk::Decompressor::new().map_err(|_| Damage::Zstd)?),
        };
        self.buffer.clear();
        self.buffer.reserve_exact(64 << 10);
        if context.decompress_to_buffer(bytes, &mut self.buffer).is_ok() {
            return Ok(&self.buffer);
        }
        self.buffer.clear();
        let mut stream = zstd::stream::read::Decoder::with_buffer(bytes).map_err(|_| Damage::Zstd)?;
        stream.window_log_max(WINDOW_LOG).map_err(|_| Damage::Zstd)?;
        let read = stream
            .take(MAX_OBJECT_BYTES as u64 + 1)
            .read_to_end(&mut self.buffer)
            .map_err(|_| Damage::Zstd)?;
        if read > MAX_OBJECT_BYTES {
            self.buffer = Vec::new();
            return Err(Damage::TooLarge {
                limit: MAX_OBJECT_BYTES,
            });
        }
        Ok(&self.buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_packed() {
        let mut inflater = Inflater::new();
        assert_eq!(inflater.text(b"{}"), Ok("{}"));
        let long = "x".repeat(300_000);
        let packed = zstd::encode_all(long.as_bytes(), 3).unwrap();
        assert_eq!(inflater.text(&packed), Ok(long.as_str()));
        assert_eq!(inflater.text(&packed[..packed.len() - 5]), Err(Damage::Zstd));
        assert_eq!(inflater.text(&[0xff]), Err(Damage::NotText));
    }

    #[test]
    fn a_bomb_is_stopped() {
        let bomb = zstd::encode_all(std::io::repeat(b' ').take(1 << 30), 1).unwrap();
        let mut inflater = Inflater::new();
        assert!(matches!(inflater.text(&bomb), Err(Damage::TooLarge { .. })));
        assert!(inflater.buffer.capacity() <= MAX_OBJECT_BYTES * 3);
    }
}
