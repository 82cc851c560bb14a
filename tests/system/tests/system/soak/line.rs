//! A way from a process to a broker that can be cut, or fall silent.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// What becomes of bytes on their way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// They arrive.
    Open,
    /// Connections are broken, and new ones too.
    Cut,
    /// Nothing arrives, and nothing is said of it; once it is open again all of it does.
    Silent,
}

pub struct Line(watch::Sender<State>);

impl Line {
    /// Listens on one port of this machine, and passes on to another.
    #[allow(
        clippy::disallowed_methods,
        reason = "connections come and go by themselves, and end with the runtime"
    )]
    pub fn lay(handle: &Handle, listen: u16, to: u16) -> Self {
        let (sender, state) = watch::channel(State::Open);
        let listener = handle.block_on(TcpListener::bind(("127.0.0.1", listen))).unwrap();
        handle.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, to, state.clone()));
            }
        });
        Self(sender)
    }

    pub fn set(&self, state: State) {
        self.0.send_replace(state);
    }
}

async fn carry(near: TcpStream, to: u16, mut state: watch::Receiver<State>) {
    if !passes(&mut state).await {
        return;
    }
    let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else {
        return;
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    // When one direction ends, so does the connection.
    tokio::select! {
        () = pump(near_read, far_write, state.clone()) => {}
        () = pump(far_read, near_write, state) => {}
    }
}

/// Waits while it is silent. False: it is cut.
async fn passes(state: &mut watch::Receiver<State>) -> bool {
    let state = state.wait_for(|state| *state != State::Silent).await;
    state.is_ok_and(|state| *state == State::Open)
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            cut = state.wait_for(|state| *state == State::Cut) => {
                drop(cut);
                return;
            }
        };
        let Ok(read @ 1..) = read else { return };
        if !passes(&mut state).await || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
