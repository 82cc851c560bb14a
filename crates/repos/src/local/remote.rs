//! Which host a repository belongs to, by the rule of the `renku` CLI.

use git2::Repository;

/// The address of the remote gives no host that IRIs can be put under.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the remote's address {0:?} has no usable host; set RENKU_DOMAIN")]
pub struct BadRemote(String);

/// The address of the project's remote, as configured: the only remote whatever its name; of several the one that the
/// current branch follows, else `origin`.
pub(super) fn url(git: &Repository) -> Result<Option<String>, git2::Error> {
    let names = git.remotes()?;
    let names: Vec<&str> = names.iter().flatten().collect();
    let name = match names.as_slice() {
        [] => return Ok(None),
        [only] => (*only).to_owned(),
        several => match followed(git) {
            Some(name) if several.contains(&name.as_str()) => name,
            _ if several.contains(&"origin") => "origin".to_owned(),
            _ => return Ok(None),
        },
    };
    // The remote's own accessor would apply `insteadOf`.
    match git.config()?.snapshot()?.get_str(&format!("remote.{name}.url")) {
        Ok(url) => Ok(Some(url.to_owned())),
        Err(_) => Ok(None),
    }
}

/// The remote that the current branch follows.
fn followed(git: &Repository) -> Option<String> {
    let head = git.find_reference("HEAD").ok()?;
    let branch = head.symbolic_target()?;
    let remote = git.branch_upstream_remote(branch).ok()?;
    remote.as_str().map(str::to_owned)
}

/// The host in a remote's address: without user, port and path, and without a first label `gitlab` if at least two remain.
/// `None`: the address is a path on this machine.
pub fn host_of_url(url: &str) -> Result<Option<String>, BadRemote> {
    let bad = || BadRemote(without_password(url));
    if !url.is_ascii() {
        return Err(bad());
    }
    let authority = match url.split_once("://") {
        Some(("file", _)) => return Ok(None),
        Some((_, rest)) => rest.split('/').next().unwrap_or_default(),
        None => match url.split_once(':') {
            // `user@host:path`, git's short form; a colon after a slash belongs to a path.
            Some((front, _)) if !front.contains('/') => front,
            _ => return Ok(None),
        },
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split(':').next().unwrap_or_default();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if host.is_empty() || !host.chars().all(fits) {
        return Err(bad());
    }
    let short = match host.strip_prefix("gitlab.") {
        Some(rest) if rest.contains('.') => rest,
        _ => host,
    };
    Ok(Some(short.to_owned()))
}

/// The address as it may be shown.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_addresses() {
        for (url, host) in [
            ("https://gitlab.example.org/g/p.git", Some("example.org")),
            ("git@gitlab.example.org:g/p.git", Some("example.org")),
            ("http://u:pw@gitlab.example.org:8080/g/p", Some("example.org")),
            ("ssh://git@gitlab.renkulab.io:22/g/p.git", Some("renkulab.io")),
            ("https://renkulab.io/gitlab/g/s/p.git", Some("renkulab.io")),
            ("https://gitlab.sub.example.org/g/p", Some("sub.example.org")),
            ("git@gitlab.com:g/p.git", Some("gitlab.com")),
            ("git@git.example.org:g/p.git", Some("git.example.org")),
            ("git+ssh://git@x.y.z/g/p.git", Some("x.y.z")),
            ("/some/path/x.git", None),
            ("file:///x/y.git", None),
            ("../x.git", None),
            ("./a:b", None),
        ] {
            assert_eq!(host_of_url(url), Ok(host.map(str::to_owned)), "{url}");
        }
        for bad in [
            "https://gitlab.exämple.org/g/p",
            "https://git_lab.example.org/g/p",
            "https:///x",
            "git@:x",
        ] {
            assert!(host_of_url(bad).is_err(), "{bad}");
        }
        let shown = host_of_url("https://u:secret@a_b.org/x").unwrap_err().to_string();
        assert!(!shown.contains("secret"), "{shown}");
    }
}
