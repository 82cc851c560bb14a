//! Names of objects in the database.

use sha3::{Digest, Sha3_256};

/// The name of the object that has this id: SHA3-256, 64 hex digits.
pub(crate) fn oid_of(id: &str) -> String {
    hex::encode(Sha3_256::digest(id.as_bytes()))
}

/// The path below `.renku/` of an object's file.
pub(crate) fn path_of(oid: &str) -> String {
    if oid.len() == 64 && oid.is_ascii() {
        format!("metadata/{}/{}/{oid}", &oid[..2], &oid[2..4])
    } else {
        format!("metadata/{oid}")
    }
}

/// The path from the repository's root, for messages.
pub(crate) fn file_of(oid: &str) -> String {
    format!(".renku/{}", path_of(oid))
}

/// Whether a name can be a file's name in the database.
pub(crate) fn is_oid(name: &str) -> bool {
    (1..=200).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .fold(true, |fits, byte| fits & OF_NAMES[usize::from(byte)])
}

/// Bytes that may stand in a name.
static OF_NAMES: [bool; 256] = {
    let mut fits = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let letter = byte as u8;
        fits[byte] = letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-' | b'.');
        byte += 1;
    }
    fits
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let oid = oid_of("");
        assert_eq!(
            oid,
            "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"
        );
        assert_eq!(path_of(&oid), format!("metadata/a7/ff/{oid}"));
        assert_eq!(path_of("root"), "metadata/root");
        assert!(!is_oid("../x") && !is_oid("") && !is_oid("a/b"));
    }
}
