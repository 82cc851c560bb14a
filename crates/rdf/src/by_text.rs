//! Sorting by text.
//!
//! Ids of one project have long beginnings in common. Texts are looked at eight bytes at a time, so that what many share is
//! read once for each and not once for each comparison.

/// Beginnings of this many bytes are sorted in steps; what is still the same is compared whole.
const IN_STEPS: usize = 256;

/// A text and what belongs to it.
pub(crate) struct Entry<'t, T> {
    text: &'t [u8],
    /// The bytes that are looked at just now, zeros after the end, and how many there are, eight at most.
    step: (u64, u8),
    pub(crate) item: T,
}

impl<'t, T> Entry<'t, T> {
    pub(crate) fn new(text: &'t str, item: T) -> Self {
        Self {
            text: text.as_bytes(),
            step: (0, 0),
            item,
        }
    }
}

/// Sorts by the bytes of the texts. Equal texts may change places.
pub(crate) fn sort<T>(entries: &mut [Entry<'_, T>]) {
    sort_from(entries, 0);
}

/// Sorts entries whose texts have their first `from` bytes in common.
fn sort_from<T>(entries: &mut [Entry<'_, T>], from: usize) {
    if entries.len() < 2 {
        return;
    }
    if entries.len() < 4 || from >= IN_STEPS {
        entries.sort_unstable_by(|a, b| a.text[from..].cmp(&b.text[from..]));
        return;
    }
    for entry in &mut *entries {
        entry.step = step_at(entry.text, from);
    }
    entries.sort_unstable_by_key(|entry| entry.step);
    for same in entries.chunk_by_mut(|a, b| a.step == b.step) {
        if same[0].step.1 == 8 {
            sort_from(same, from + 8);
        }
    }
}

fn step_at(text: &[u8], from: usize) -> (u64, u8) {
    let rest = &text[from..];
    match rest.first_chunk::<8>() {
        Some(chunk) => (u64::from_be_bytes(*chunk), 8),
        None => {
            let mut chunk = [0; 8];
            chunk[..rest.len()].copy_from_slice(rest);
            (u64::from_be_bytes(chunk), rest.len() as u8)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(texts: Vec<String>) {
        let mut entries: Vec<_> = texts.iter().map(|text| Entry::new(text, ())).collect();
        sort(&mut entries);
        let ours: Vec<&[u8]> = entries.iter().map(|entry| entry.text).collect();
        let mut wanted: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        wanted.sort_unstable();
        assert_eq!(ours, wanted);
    }

    proptest! {
        #[test]
        fn texts_are_sorted(texts in prop::collection::vec("[ab\\x00é]{0,20}", 0..40)) {
            check(texts);
        }
    }

    #[test]
    fn long_beginnings_are_no_burden() {
        let beginning = "x".repeat(100_000);
        check((0..50).map(|n| format!("{beginning}{}", 50 - n)).collect());
    }
}
