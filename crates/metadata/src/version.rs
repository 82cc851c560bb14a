//! Whether a repository's metadata is read at all.

use std::cmp::Ordering;

use crate::decode::read_state;
use crate::error::{MetadataError, RENKU_VERSION, SUPPORTED_VERSION};
use crate::json::Json;
use crate::reader::{Reader, Root};

/// What a project demands that does not say: the first release that writes the key.
const DEFAULT_MINIMUM: &str = "2.8.0";

/// Refuses what is no renku project, or one of another metadata version; gives the root of those that are read.
pub(crate) fn check(reader: &mut Reader<'_>) -> Result<Root, MetadataError> {
    let root = reader.with("root", |text| Ok(Root::read(text)?))?;
    let file = ".renku/metadata.yml";
    let old = reader
        .source
        .read("metadata.yml")
        .map_err(|source| MetadataError::Source {
            file: file.to_owned(),
            source,
        })?;
    let old = old.map(std::borrow::Cow::into_owned);
    if root.is_none() && old.is_none() {
        return Err(MetadataError::NotARenkuProject);
    }
    if let Some(root) = root
        && let Some(oid) = root.oid("project")
    {
        let project = reader.need(oid, ".renku/metadata/root", |text| {
            let state = read_state(text)?;
            let minimum = state.state.get("minimum_renku_version").and_then(Json::as_str);
            Ok((
                minimum.unwrap_or(DEFAULT_MINIMUM).to_owned(),
                version_of(state.state.get("version")),
            ))
        })?;
        let (minimum, version) = project;
        if compare_releases(&minimum, RENKU_VERSION) == Ordering::Greater {
            return Err(MetadataError::NeedsNewerRenku { minimum });
        }
        return supported(version).map(|()| root);
    }
    // Without a database the old file tells.
    let version = old.as_deref().map_or(1, version_in_yaml);
    supported(version)?;
    Err(MetadataError::Missing {
        oid: "project".to_owned(),
        file: ".renku/metadata/project".to_owned(),
        needed_by: ".renku/metadata/root".to_owned(),
    })
}

fn supported(version: u64) -> Result<(), MetadataError> {
    match version.cmp(&SUPPORTED_VERSION) {
        Ordering::Less => Err(MetadataError::MigrationNeeded { version }),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(MetadataError::VersionNotSupported { version }),
    }
}

fn version_of(json: Option<&Json<'_>>) -> u64 {
    match json {
        Some(Json::Number(number)) => number.parse().unwrap_or(1),
        Some(Json::String(text)) => text.trim().parse().unwrap_or(1),
        _ => 1,
    }
}

/// The first line that gives a schema version, with whatever prefix, quotes and list marks around it.
fn version_in_yaml(bytes: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(bytes);
    let mut after_key = false;
    for line in text.lines() {
        let line = line.trim().trim_start_matches("- ");
        let value = match line.rsplit_once(": ").or_else(|| line.rsplit_once(':')) {
            Some((key, value)) => {
                let key = key.trim().trim_matches(['\'', '"']);
                if key != "@value" {
                    after_key = key.ends_with("schemaVersion") || key == "version";
                }
                value
            }
            None => line,
        };
        if let Some(version) = digits(value).filter(|_| after_key) {
            return version;
        }
    }
    1
}

fn digits(text: &str) -> Option<u64> {
    text.trim().trim_matches(['\'', '"']).parse().ok()
}

/// Compares the release parts of two versions as PEP 440 does: epoch first, missing parts are 0.
fn compare_releases(a: &str, b: &str) -> Ordering {
    let parts = |version: &str| {
        let version = version.trim().trim_start_matches(['v', 'V']);
        let (epoch, release) = version.split_once('!').unwrap_or(("0", version));
        let mut parts = vec![epoch.parse().unwrap_or(0)];
        for part in release.split('.') {
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            match part[..end].parse::<u64>() {
                Ok(number) => parts.push(number),
                Err(_) => break,
            }
            if end < part.len() {
                break;
            }
        }
        while parts.len() > 1 && parts.last() == Some(&0) {
            parts.pop();
        }
        parts
    };
    parts(a).cmp(&parts(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        for (a, b, order) in [
            ("2.8.0", "2.9.4", Ordering::Less),
            ("2.9.4", "2.9.4", Ordering::Equal),
            ("2.9.4.0", "2.9.4", Ordering::Equal),
            ("2.9.4.dev1+x", "2.9.4", Ordering::Equal),
            ("2.10", "2.9.4", Ordering::Greater),
            ("1!1.0", "2.9.4", Ordering::Greater),
            ("v3", "2.9.4", Ordering::Greater),
            ("nonsense", "2.9.4", Ordering::Less),
        ] {
            assert_eq!(compare_releases(a, b), order, "{a} {b}");
        }
    }

    #[test]
    fn versions_in_old_files() {
        for (text, version) in [
            ("'@type': x\nhttp://schema.org/schemaVersion: '8'\n", 8),
            ("\"http://schema.org/schemaVersion\": 7\n", 7),
            ("- http://schema.org/schemaVersion:\n  - '@value': '5'\n", 5),
            ("version: '1'\nname: x\n", 1),
            ("version: 9\n", 9),
            ("name: 12\n", 1),
            ("", 1),
        ] {
            assert_eq!(version_in_yaml(text.as_bytes()), version, "{text}");
        }
    }
}
