use model::{BlobName, Digest, GitObjectId};
use sha2::Digest as _;

/// The name of a value by its SHA-256.
pub fn digest_name(bytes: &[u8]) -> BlobName {
    BlobName::Digest(Digest::new(sha2::Sha256::digest(bytes).into()))
}

/// The name of the git blob with this content.
pub fn git_name(bytes: &[u8]) -> BlobName {
    let mut hash = sha1::Sha1::new();
    hash.update(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    BlobName::Git(GitObjectId::new(hash.finalize().into()))
}

/// Whether the bytes are those of the name.
pub(crate) fn fits(name: BlobName, bytes: &[u8]) -> bool {
    match name {
        BlobName::Digest(_) => digest_name(bytes) == name,
        BlobName::Git(_) => git_name(bytes) == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_git_hash_object() {
        // `printf 'hello\n' | git hash-object --stdin`
        assert_eq!(
            git_name(b"hello\n").to_string(),
            "git/ce013625030ba8dba906f756967f9e9ca394464a"
        );
    }
}
