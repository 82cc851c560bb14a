//! Against servers that are broken or hostile; well-behaved ones are tested with git's own in `gitlab-sim`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use git2::Repository;
use url::Url;

use super::*;
use crate::fetch::{Cancel, FetchLimits};

/// Answers one request, reads no further.
fn server(answer: Vec<u8>) -> (Url, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 8_192];
        let _ = stream.read(&mut buffer).unwrap();
        // The client may have gone away on purpose.
        let _ = stream.write_all(&answer);
    });
    (url, serving)
}

fn body(bytes: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    )
    .into_bytes();
    answer.extend_from_slice(bytes);
    answer
}

fn lines(texts: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for text in texts {
        match *text {
            "0000" => out.extend_from_slice(pkt::FLUSH),
            "0001" => out.extend_from_slice(pkt::DELIM),
            text => pkt::line(&mut out, text),
        }
    }
    out
}

fn ask<T>(
    answer: Vec<u8>,
    ask: impl FnOnce(&Protocol<'_>, &mut u64) -> Result<T, FetchError>,
) -> Result<T, FetchError> {
    let (gitlab, serving) = server(answer);
    let limits = FetchLimits {
        idle: Duration::from_secs(5),
        ..FetchLimits::default()
    };
    let http = Http::new(gitlab, None, &limits).unwrap();
    let deadline = Deadline {
        end: Instant::now() + Duration::from_secs(5),
        cancel: Cancel::new(),
    };
    let slug = "a/b".parse().unwrap();
    let protocol = Protocol {
        http: &http,
        slug: &slug,
        token: None,
        deadline: &deadline,
    };
    let found = ask(&protocol, &mut 1_000_000);
    serving.join().unwrap();
    found
}

const CAN: Capabilities = Capabilities {
    filter: true,
    object_format: true,
};

#[test]
fn capabilities_of_servers() {
    let can = |texts: &[&str]| ask(body(&lines(texts)), |protocol, left| protocol.capabilities(left));
    let good = [
        "version 2\n",
        "agent=git/2\n",
        "ls-refs\n",
        "fetch=shallow filter\n",
        "object-format=sha1\n",
        "0000",
    ];
    assert_eq!(can(&good).unwrap(), CAN);
    // GitLab greets first.
    let mut greeted = vec!["# service=git-upload-pack\n", "0000"];
    greeted.extend(good);
    assert_eq!(can(&greeted).unwrap(), CAN);
    let plain = can(&["version 2\n", "fetch=shallow\n", "0000"]).unwrap();
    assert_eq!(
        plain,
        Capabilities {
            filter: false,
            object_format: false
        }
    );
    assert!(matches!(
        can(&["version 2\n", "object-format=sha256\n", "0000"]),
        Err(FetchError::Rejected(_))
    ));
    let old = can(&[
        "# service=git-upload-pack\n",
        "0000",
        "0123 HEAD\0multi_ack",
        "0000",
    ])
    .unwrap_err();
    assert!(old.to_string().contains("Git-Protocol"), "{old}");
    assert!(matches!(
        can(&["ERR access denied"]),
        Err(FetchError::Down { .. })
    ));
    assert!(matches!(can(&["version 2\n"]), Err(FetchError::Down { .. })));
    let page = ask(body(b"<html>sign in"), |protocol, left| {
        protocol.capabilities(left)
    });
    assert!(matches!(page, Err(FetchError::Garbage(_))));
}

#[test]
fn refs_of_servers() {
    let name = "refs/heads/main";
    let head = |texts: &[&str]| {
        ask(body(&lines(texts)), |protocol, left| {
            protocol.head(CAN, name, left)
        })
    };
    let sha = "1".repeat(40);
    let (right, other) = (format!("{sha} {name} peeled:x\n"), format!("{sha} {name}2\n"));
    assert_eq!(head(&[&other, &right, "0000"]).unwrap().unwrap().to_string(), sha);
    assert_eq!(head(&[&other, "0000"]).unwrap(), None);
    assert!(matches!(
        head(&["zz refs/heads/main\n", "0000"]),
        Err(FetchError::Garbage(_))
    ));
    // More than the budget of bytes.
    let many = vec![other.as_str(); 20_000];
    assert!(matches!(head(&many), Err(FetchError::TooLarge(_))));
}

fn pack(bytes: &[u8]) -> Result<(), FetchError> {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::init_bare(folder.path()).unwrap();
    let odb = repository.odb().unwrap();
    let wants = [Oid::zero()];
    let request = PackRequest {
        wants: &wants,
        have: None,
        depth_one: true,
        blob_limit: Some(1),
        objects: 10,
    };
    ask(body(bytes), |protocol, left| {
        protocol.pack(CAN, &request, &odb, left)
    })
}

/// A pack of one blob, as a server sends it.
fn good_pack() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::init_bare(folder.path()).unwrap();
    let blob = repository.blob(b"some content of a blob").unwrap();
    let mut builder = repository.packbuilder().unwrap();
    builder.insert_object(blob, None).unwrap();
    let mut pack = git2::Buf::new();
    builder.write_buf(&mut pack).unwrap();
    let mut out = lines(&["shallow-info\n", "shallow 0\n", "0001", "packfile\n"]);
    out.extend_from_slice(format!("{:04x}\x01", pack.len() + 5).as_bytes());
    out.extend_from_slice(&pack);
    out.extend_from_slice(pkt::FLUSH);
    out
}

#[test]
fn packs_of_servers() {
    pack(&good_pack()).unwrap();
    assert!(matches!(pack(&lines(&["0000"])), Err(FetchError::Garbage(_))));
    assert!(matches!(
        pack(&lines(&["packfile\n", "\x01PACK", "0000"])),
        Err(FetchError::Garbage(_))
    ));
    assert!(matches!(
        pack(&lines(&["packfile\n", "\x03no space", "0000"])),
        Err(FetchError::Down { .. })
    ));
    assert!(matches!(
        pack(&lines(&["packfile\n", "\x07", "0000"])),
        Err(FetchError::Garbage(_))
    ));
    // A header that promises more objects than allowed.
    let many = lines(&["packfile\n", "\x01PACK\0\0\0\x02\0\0\x7f\x7f\x01\x01", "0000"]);
    assert!(pack(&many).is_err());
}

#[test]
fn damaged_packs_are_errors() {
    let good = good_pack();
    let start = good.len() - 40;
    for place in (0..good.len()).step_by(7).chain(start..good.len()) {
        let mut bad = good.clone();
        bad[place] ^= 0x20;
        // Some bytes do not matter (progress, the shallow line); none may make a panic or a hang.
        let _ = pack(&bad);
        assert!(pack(&good[..place]).is_err(), "cut at {place}");
    }
}
