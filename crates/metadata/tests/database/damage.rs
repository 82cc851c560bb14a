//! Damaged files give an error or another graph, never a panic, and never take for ever.

use std::sync::OnceLock;

use metadata::{ProjectPieces, export_full};
use proptest::prelude::*;

use crate::recorded::{files_of, host};
use crate::source::{Files, Recorded};

fn projects() -> &'static [Files] {
    static FILES: OnceLock<Vec<Files>> = OnceLock::new();
    FILES.get_or_init(|| {
        ["composite-iterate", "older-v10", "project-meta", "datasets-basic"]
            .iter()
            .map(|name| {
                let mut files = files_of(name, &Recorded::clone_of(name));
                // Plain text, so that damage reaches the decoder and not only the inflater.
                for bytes in files.files.values_mut() {
                    if bytes.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]) {
                        *bytes = zstd::decode_all(bytes.as_slice()).unwrap();
                    }
                }
                files
            })
            .collect()
    })
}

#[derive(Clone, Debug)]
enum Harm {
    Flip(prop::sample::Index, prop::sample::Index, u8),
    Cut(prop::sample::Index, prop::sample::Index),
    Delete(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    /// Puts one part of a file's text over another.
    Splice(prop::sample::Index, prop::sample::Index, prop::sample::Index),
    /// Replaces one word of the format by another.
    Word(prop::sample::Index, usize, usize),
}

const WORDS: &[&str] = &[
    "\"@renku_data_value\"",
    "\"@renku_oid\"",
    "\"@renku_reference\"",
    "\"builtins.tuple\"",
    "\"reference\"",
    "null",
    "[]",
    "{}",
    "\"id\"",
    "\"/plans/",
    "\"/activities/",
    "0",
    "true",
    "\"plans\"",
    "\"inputs\"",
    "workflow.plan.Plan\"",
    "plan.CompositePlan\"",
    "\"datetime.datetime\"",
    "\"@context\"",
    "\"@id\"",
    "\"derived_from\"",
];

fn harm() -> impl Strategy<Value = Harm> {
    use prop::sample::Index;
    prop_oneof![
        (any::<Index>(), any::<Index>(), any::<u8>()).prop_map(|(f, b, x)| Harm::Flip(f, b, x)),
        (any::<Index>(), any::<Index>()).prop_map(|(f, b)| Harm::Cut(f, b)),
        any::<Index>().prop_map(Harm::Delete),
        (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Harm::Swap(a, b)),
        (any::<Index>(), any::<Index>(), any::<Index>()).prop_map(|(f, a, b)| Harm::Splice(f, a, b)),
        (any::<Index>(), 0..WORDS.len(), 0..WORDS.len()).prop_map(|(f, a, b)| Harm::Word(f, a, b)),
    ]
}

fn apply(files: &mut Files, harm: &Harm) {
    let paths: Vec<String> = files.files.keys().cloned().collect();
    if paths.is_empty() {
        return;
    }
    let path = |index: &prop::sample::Index| index.get(&paths).clone();
    match harm {
        Harm::Flip(file, byte, bits) => {
            if let Some(bytes) = files.files.get_mut(&path(file)).filter(|bytes| !bytes.is_empty()) {
                let at = byte.index(bytes.len());
                bytes[at] ^= bits;
            }
        }
        Harm::Cut(file, byte) => {
            if let Some(bytes) = files.files.get_mut(&path(file)).filter(|bytes| !bytes.is_empty()) {
                let at = byte.index(bytes.len());
                bytes.truncate(at);
            }
        }
        Harm::Delete(file) => {
            files.files.remove(&path(file));
        }
        Harm::Swap(a, b) => {
            let (a, b) = (path(a), path(b));
            let bytes = files.files[&a].clone();
            let old = files.files.insert(b, bytes).unwrap();
            files.files.insert(a, old);
        }
        Harm::Splice(file, from, to) => {
            if let Some(bytes) = files.files.get_mut(&path(file)).filter(|bytes| bytes.len() > 1) {
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
                let part: Vec<u8> = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(to..to, part);
            }
        }
        Harm::Word(file, old, new) => {
            let path = path(file);
            let text = String::from_utf8_lossy(&files.files[&path]).replace(WORDS[*old], WORDS[*new]);
            files.files.insert(path, text.into_bytes());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn damage_never_panics(project in 0..4_usize, harms in prop::collection::vec(harm(), 1..4)) {
        let good = &projects()[project];
        let mut files = good.clone();
        let mut pieces = ProjectPieces::default();
        pieces.update::<String>(good, &host(), &[]).unwrap();
        for harm in &harms {
            apply(&mut files, harm);
        }
        let full = export_full(&files, host());
        let cold = ProjectPieces::default().update::<String>(&files, &host(), &[]);
        // What one way refuses, the other refuses too. They walk in another order, so where one harm shows in several
        // places either place may be told.
        prop_assert_eq!(full.is_ok(), cold.is_ok(), "{:?} {:?}", full.as_ref().err(), cold.as_ref().err());
        let warm = pieces.update(&files, &host(), &files.changed_from(good));
        prop_assert_eq!(cold.is_ok(), warm.is_ok(), "{:?} {:?}", cold.err(), warm.err());
    }
}
