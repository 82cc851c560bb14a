use std::path::Path;
use std::process::Stdio;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use runtime::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;

use crate::SimError;

/// A request to `git-http-backend`.
pub(crate) struct CgiRequest<'a> {
    pub backend: &'a Path,
    pub root: &'a Path,
    /// `/<folder>/<service>`.
    pub path: String,
    pub method: &'a Method,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    /// None for somebody who is not signed in.
    pub user: Option<&'a str>,
    pub body: Body,
}

/// Largest header of the program's answer.
const HEADER: usize = 16 << 10;

/// Runs the program; its answer is streamed by what `follow` makes of it.
pub(crate) async fn run(
    request: CgiRequest<'_>,
    tasks: &Tasks,
    follow: impl FnOnce(Answer) -> futures::future::BoxFuture<'static, ()> + Send,
) -> Result<Response<Body>, SimError> {
    let header = |name: &str| {
        request
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let mut command = Command::new(request.backend);
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", request.root)
        .env("GIT_PROJECT_ROOT", request.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", &request.path)
        .env("REQUEST_METHOD", request.method.as_str())
        .env("QUERY_STRING", request.query)
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if let Some(user) = request.user {
        command.env("REMOTE_USER", user);
    }
    if !header("content-length").is_empty() {
        command.env("CONTENT_LENGTH", header("content-length"));
    }
    let mut child = command.spawn().map_err(SimError::io(request.backend))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (Some(mut stdin), Some(mut stdout)) = (stdin, stdout) else {
        return Err(SimError::Bad("git-http-backend has no pipes".into()));
    };
    let body = request.body;
    tasks.spawn("cgi-request", async move {
        let mut chunks = body.into_data_stream();
        while let Some(Ok(chunk)) = chunks.next().await {
            if stdin.write_all(&chunk).await.is_err() {
                break;
            }
        }
        Ok::<(), std::io::Error>(())
    });
    let mut start = BytesMut::with_capacity(4 << 10);
    let (length, mut response) = loop {
        if let Some(found) = head(&start)? {
            break found;
        }
        if start.len() > HEADER
            || stdout
                .read_buf(&mut start)
                .await
                .map_err(SimError::io("git-http-backend"))?
                == 0
        {
            return Err(SimError::Bad("git-http-backend gave no answer".into()));
        }
    };
    let rest = start.split_off(length).freeze();
    let (sender, receiver) = mpsc::channel(8);
    let answer = Answer {
        child,
        stdout,
        rest,
        sender,
    };
    let following = follow(answer);
    tasks.spawn("cgi-answer", async move {
        following.await;
        Ok::<(), std::io::Error>(())
    });
    let stream = futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    *response.body_mut() = Body::from_stream(stream.map_err(std::io::Error::other));
    Ok(response)
}

/// The answer of a program that still runs.
pub(crate) struct Answer {
    child: Child,
    stdout: ChildStdout,
    rest: Bytes,
    sender: mpsc::Sender<Result<Bytes, std::io::Error>>,
}

impl Answer {
    /// Sends everything on and waits for the program's end. With `to_the_end` also when the client is gone: a push that has
    /// begun is finished.
    pub(crate) async fn follow(mut self, to_the_end: bool, break_after: Option<u64>) -> End {
        let mut left = break_after.unwrap_or(u64::MAX);
        let mut chunk = std::mem::take(&mut self.rest);
        let mut broken = false;
        loop {
            if !chunk.is_empty() && !broken {
                let allowed = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let cut = allowed < chunk.len();
                left -= allowed as u64;
                broken = self.sender.send(Ok(chunk.slice(..allowed))).await.is_err();
                if cut {
                    broken = true;
                    let _ = self.sender.send(Err(std::io::Error::other("broken off"))).await;
                }
                if broken && !to_the_end {
                    let _ = self.child.kill().await;
                    break;
                }
            }
            let mut buffer = BytesMut::with_capacity(64 << 10);
            match self.stdout.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(_) => chunk = buffer.freeze(),
            }
        }
        let _ = self.child.wait().await;
        End { _sender: self.sender }
    }
}

/// The program has ended. The client sees the end when this is dropped.
pub(crate) struct End {
    _sender: mpsc::Sender<Result<Bytes, std::io::Error>>,
}

/// The header of a CGI answer, once all of it is there, and its length.
fn head(bytes: &[u8]) -> Result<Option<(usize, Response<Body>)>, SimError> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes[..end])
        .map_err(|_| SimError::Bad("git-http-backend: odd header".into()))?;
    let mut response = Response::new(Body::empty());
    for line in text.split("\r\n") {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().and_then(|code| code.parse::<u16>().ok());
            *response.status_mut() = code
                .and_then(|code| StatusCode::from_u16(code).ok())
                .unwrap_or(StatusCode::BAD_GATEWAY);
        } else if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(Some((end + 4, response)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_an_answer() {
        assert!(head(b"Content-Type: x\r\n").unwrap().is_none());
        let (length, response) = head(b"Status: 403 Forbidden\r\nContent-Type: x\r\n\r\nbody")
            .unwrap()
            .unwrap();
        assert_eq!(length, 42);
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(response.headers()["content-type"], "x");
    }
}
