use std::fmt;
use std::str::FromStr;

use crate::randomness::Randomness;

/// Who asked for this piece of work: W3C Trace Context, the header `traceparent`
/// (<https://www.w3.org/TR/trace-context/#traceparent-header>).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    sampled: bool,
}

/// The header's name, in HTTP and on the bus.
pub const TRACEPARENT: &str = "traceparent";

/// The text is no `traceparent`; by the specification the receiver then starts a new trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent header")]
pub struct NotATraceparent;

impl TraceContext {
    /// Starts a new trace. `sample`: the share of traces, 0 to 1, that are told; a trace's id decides.
    pub fn root(randomness: &dyn Randomness, sample: f64) -> Self {
        // An id of zero is invalid by the specification.
        let trace_id = randomness.bits128().max(1);
        let place = (trace_id as u64 >> 11) as f64 / (1u64 << 53) as f64;
        Self {
            trace_id,
            span_id: randomness.bits64().max(1),
            sampled: place < sample,
        }
    }

    /// A new span within this trace.
    #[must_use]
    pub fn child(&self, randomness: &dyn Randomness) -> Self {
        Self {
            span_id: randomness.bits64().max(1),
            ..*self
        }
    }

    /// Are the spans of this trace told?
    pub const fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// As OpenTelemetry writes it.
    pub const fn trace_id_bytes(&self) -> [u8; 16] {
        self.trace_id.to_be_bytes()
    }

    /// As OpenTelemetry writes it.
    pub const fn span_id_bytes(&self) -> [u8; 8] {
        self.span_id.to_be_bytes()
    }

    /// The trace's id in hex, as logs show it.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace_id,
            self.span_id,
            u8::from(self.sampled)
        )
    }
}

impl FromStr for TraceContext {
    type Err = NotATraceparent;

    fn from_str(text: &str) -> Result<Self, NotATraceparent> {
        let mut parts = text.trim().split('-');
        let mut hex = |digits: usize| -> Result<u128, NotATraceparent> {
            let part = parts.next().ok_or(NotATraceparent)?;
            let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            if part.len() != digits || !part.bytes().all(lower_hex) {
                return Err(NotATraceparent);
            }
            u128::from_str_radix(part, 16).map_err(|_| NotATraceparent)
        };
        let (version, trace_id, span_id, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        // Version ff is forbidden; later versions may have more parts, version 00 has exactly four.
        if version == 0xff || (version == 0 && parts.next().is_some()) || trace_id == 0 || span_id == 0 {
            return Err(NotATraceparent);
        }
        Ok(Self {
            trace_id,
            span_id: span_id as u64,
            sampled: flags & 1 == 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::randomness::SeededRandomness;

    #[test]
    fn the_specification_s_example() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parent: TraceContext = text.parse().unwrap();
        assert_eq!(parent.to_string(), text);
        let child = parent.child(&SeededRandomness::new(1));
        assert_eq!(child.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert_ne!(child.to_string(), text);
    }

    #[test]
    fn anything_else_is_none() {
        let bad = [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ];
        for text in bad {
            assert!(text.parse::<TraceContext>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_is_told() {
        let source = SeededRandomness::new(1);
        let told = |share: f64| {
            (0..1_000)
                .filter(|_| TraceContext::root(&source, share).is_sampled())
                .count()
        };
        assert_eq!((told(0.0), told(1.0)), (0, 1_000));
        assert!((200..300).contains(&told(0.25)));
    }
}
