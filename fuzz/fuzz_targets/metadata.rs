//! A database whose every file is cut from the input: nothing may panic, hang or grow without bound.
#![no_main]

use std::borrow::Cow;
use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use metadata::{ObjectSource, ProjectPieces, SourceError, export_full};
use rdf::Host;

/// The files that a walk begins with; further parts of the input answer any other name.
const NAMES: &[&str] = &[
    "metadata/root",
    "metadata/project",
    "metadata/activities",
    "metadata/plans",
    "metadata/datasets-provenance-tails",
    "metadata/datasets-tags",
    "metadata/activity-collections",
];

struct Parts<'a> {
    named: HashMap<&'static str, &'a [u8]>,
    others: Vec<&'a [u8]>,
}

impl ObjectSource for Parts<'_> {
    fn read(&self, path: &str) -> Result<Option<Cow<'_, [u8]>>, SourceError> {
        if let Some(bytes) = self.named.get(path) {
            return Ok(Some(Cow::Borrowed(bytes)));
        }
        let number: usize = path.bytes().map(usize::from).sum();
        let other = (!self.others.is_empty()).then(|| self.others[number % self.others.len()]);
        Ok(other.map(Cow::Borrowed))
    }

    fn is_linked(&self, path: &str) -> bool {
        path.len() % 2 == 0
    }
}

fuzz_target!(|input: &[u8]| {
    let mut parts = input.split(|&byte| byte == 0xFE);
    let named = NAMES.iter().copied().zip(parts.by_ref()).collect();
    let source = Parts {
        named,
        others: parts.collect(),
    };
    let host = Host::verbatim("example.org");
    let full = export_full(&source, host.clone());
    let pieces = ProjectPieces::default().update::<&str>(&source, &host, &[]);
    assert_eq!(full.is_ok(), pieces.is_ok());
});
