use std::sync::LazyLock;

use apache_avro::Schema;
use apache_avro::rabin::Rabin;

/// One released version of a schema. Versions are kept for ever.
pub struct SchemaVersion {
    /// The folder in `schemas/`: `<topic>-value` for a topic's value.
    pub subject: &'static str,
    /// The file's number, from 1.
    pub version: u32,
    /// The text of the `.avsc` file.
    pub text: &'static str,
    /// CRC-64-AVRO of the parsing canonical form, as in single-object encoding.
    pub fingerprint: [u8; 8],
    pub(crate) schema: Schema,
}

macro_rules! table {
    ($(($subject:literal, $version:literal)),* $(,)?) => {
        &[$(($subject, $version, include_str!(concat!("../../../schemas/", $subject, "/", $version, ".avsc")))),*]
    };
}

const TABLE: &[(&str, u32, &str)] = table![
    ("renku.push-events.v1-value", 1),
    ("renku.push-events-backfill.v1-value", 1),
    ("renku.projects.v1-value", 1),
    ("renku.commits.v1-value", 1),
    ("renku.metadata-section", 1),
    ("renku.project-graphs.v1-value", 1),
    ("renku.piece-section", 1),
    ("renku.event-status.v1-value", 1),
    ("renku.project-hooks.v1-value", 1),
    ("renku.project-tokens.v1-value", 1),
    ("renku.access-denials.v1-value", 1),
];

/// Every schema that was ever released, oldest version first.
pub fn all_schemas() -> &'static [SchemaVersion] {
    static SCHEMAS: LazyLock<Vec<SchemaVersion>> = LazyLock::new(|| {
        TABLE
            .iter()
            .filter_map(|&(subject, version, text)| {
                // A test parses every text, so none is left out here.
                let schema = Schema::parse_str(text).ok()?;
                let fingerprint = schema.fingerprint::<Rabin>().bytes.try_into().ok()?;
                Some(SchemaVersion {
                    subject,
                    version,
                    text,
                    fingerprint,
                    schema,
                })
            })
            .collect()
    });
    &SCHEMAS
}

/// The built-in schema that a text says, however it is spaced. None: a schema that this build does not have.
pub fn known_schema(text: &str) -> Option<&'static SchemaVersion> {
    let schema = Schema::parse_str(text).ok()?;
    let fingerprint = schema.fingerprint::<Rabin>().bytes;
    all_schemas()
        .iter()
        .find(|known| known.fingerprint[..] == fingerprint[..])
}

pub(crate) fn newest(subject: &str) -> Option<&'static SchemaVersion> {
    all_schemas().iter().rfind(|s| s.subject == subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_every_file() {
        assert_eq!(all_schemas().len(), TABLE.len(), "every schema text is valid");
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas");
        let mut files = Vec::new();
        for subject in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if subject.file_type().unwrap().is_dir() {
                for version in std::fs::read_dir(subject.path()).unwrap().map(Result::unwrap) {
                    let name = version.file_name().into_string().unwrap();
                    if let Some(number) = name.strip_suffix(".avsc") {
                        files.push((
                            subject.file_name().into_string().unwrap(),
                            number.parse::<u32>().unwrap(),
                        ));
                    }
                }
            }
        }
        let mut table: Vec<_> = TABLE.iter().map(|(s, v, _)| ((*s).to_owned(), *v)).collect();
        files.sort();
        table.sort();
        assert_eq!(files, table);
    }
}
