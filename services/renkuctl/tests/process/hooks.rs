use crate::recorded::renkuctl;

const SECRETS: &[(&str, &str)] = &[(
    "RENKU__HOOKS__SECRETS",
    "[\"0123456789abcdef\", \"another long secret\"]",
)];

fn printed(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = renkuctl(&[&["hooks", "token"], arguments].concat(), variables);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn tokens() {
    // printf 'project:7' | openssl dgst -sha256 -hmac 0123456789abcdef -binary | basenc --base64url
    let project = "HsqSMHYvIzQOPwcDZGxGbEcpyBNogaA-hXO6qRT1Kds";
    assert_eq!(printed(&["7"], SECRETS), project);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[hooks]\nsecrets = [\"0123456789abcdef\"]\n").unwrap();
    let config = ["--config", file.path().to_str().unwrap()];
    assert_eq!(printed(&[&["7"], &config[..]].concat(), &[]), project);
    assert_eq!(
        printed(&[&["--system"], &config[..]].concat(), &[]),
        printed(&["--system"], SECRETS)
    );
    assert_ne!(printed(&["--system"], SECRETS), project);
}

#[test]
fn without_secrets_there_is_none() {
    for (arguments, variables, code) in [
        (&["7"][..], &[][..], 1),
        (&["7"], &[("RENKU__HOOKS__SECRETS", "[\"short\"]")], 1),
        (&["7"], &[("RENKU__HOOKS__SECRETS", "nonsense")], 1),
        (&["7", "--config", "/does/not/exist"], &[], 1),
        (&["0"], SECRETS, 2),
        (&[], SECRETS, 2),
        (&["7", "--system"], SECRETS, 2),
    ] {
        let output = renkuctl(&[&["hooks", "token"], arguments].concat(), variables);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(output.stdout.is_empty());
    }
}
