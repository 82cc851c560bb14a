//! An answer on its way from the thread that evaluates to the client: in blocks, no more of them than the client takes.

use std::io::{self, Write};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Bytes of a block. Until the first is full nothing is sent, so that a failure still finds the status line unwritten.
const BLOCK: usize = 32 * 1024;
/// Blocks between the thread and the client.
const BLOCKS: usize = 4;

/// Runs when it is dropped, however that comes about: end of the answer, client gone, deadline.
struct Wanting(Option<Box<dyn FnOnce() + Send>>);

impl Drop for Wanting {
    fn drop(&mut self) {
        if let Some(unwanted) = self.0.take() {
            unwanted();
        }
    }
}

enum Item<E> {
    Block(Bytes),
    /// The last one; may be empty.
    End(Bytes),
    Failed(E),
}

/// Asked before a block goes out: whether it still may.
type MayGo<E> = Box<dyn FnMut() -> Result<(), E> + Send>;

/// The thread's end.
pub(crate) struct AnswerWriter<E> {
    items: mpsc::Sender<Item<E>>,
    handle: Handle,
    /// How long the client may take for one block.
    patience: Duration,
    buffer: BytesMut,
    may_go: Option<MayGo<E>>,
    /// Why no block goes out any more.
    held_back: Option<E>,
}

/// The client's end, before the first block.
pub(crate) struct Answer<E> {
    items: mpsc::Receiver<Item<E>>,
    #[expect(dead_code, reason = "works when it is dropped")]
    wanting: Wanting,
}

/// What the client can be told first.
pub(crate) enum Begun<E> {
    /// Nothing was sent yet, and nothing will be.
    Failed(E),
    /// The answer, whole or in blocks.
    Body(Body),
}

/// The two ends. `unwanted` is called when nobody waits for the answer any more. Must be called in an async runtime.
pub(crate) fn answer<E>(
    unwanted: impl FnOnce() + Send + 'static,
    patience: Duration,
) -> (AnswerWriter<E>, Answer<E>) {
    let (sender, receiver) = mpsc::channel(BLOCKS);
    let writer = AnswerWriter {
        items: sender,
        handle: Handle::current(),
        patience,
        buffer: BytesMut::new(),
        may_go: None,
        held_back: None,
    };
    (
        writer,
        Answer {
            items: receiver,
            wanting: Wanting(Some(Box::new(unwanted))),
        },
    )
}

impl<E> AnswerWriter<E> {
    /// From here on `may_go` is asked before each block, the last one included.
    pub(crate) fn ask_before_blocks(&mut self, may_go: impl FnMut() -> Result<(), E> + Send + 'static) {
        self.may_go = Some(Box::new(may_go));
    }

    fn may_go(&mut self) -> Result<(), E> {
        self.may_go.as_mut().map_or(Ok(()), |may_go| may_go())
    }

    /// The answer is whole.
    pub(crate) fn end(mut self) {
        let last = match self.may_go() {
            Ok(()) => Item::End(self.buffer.split().freeze()),
            Err(why) => Item::Failed(why),
        };
        let _ = self.send(last);
    }

    /// There is no answer, or no more of it.
    pub(crate) fn fail(mut self, why: E) {
        // What is in the buffer would only make a broken answer longer.
        let why = self.held_back.take().unwrap_or(why);
        let _ = self.send(Item::Failed(why));
    }

    fn send_buffer(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if let Err(why) = self.may_go() {
            self.held_back = Some(why);
            return Err(io::Error::other("the answer may not go on"));
        }
        let block = self.buffer.split().freeze();
        self.send(Item::Block(block))
    }

    fn send(&self, item: Item<E>) -> io::Result<()> {
        let sent = self
            .handle
            .block_on(async { tokio::time::timeout(self.patience, self.items.send(item)).await });
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone")),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client does not take the answer",
            )),
        }
    }
}

impl<E> Write for AnswerWriter<E> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BLOCK {
            self.send_buffer()?;
        }
        Ok(bytes.len())
    }

    /// Does nothing: blocks go when they are full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An answer was broken off. The text goes to the log only; the client sees the connection end early.
#[derive(Debug, thiserror::Error)]
#[error("the answer was broken off")]
struct BrokenOff;

impl<E: std::fmt::Display + Send + 'static> Answer<E> {
    /// Waits for the first block, the end or a failure. `None`: the thread is gone without a word (it panicked).
    pub(crate) async fn begin(mut self) -> Option<Begun<E>> {
        Some(match self.items.recv().await? {
            Item::Failed(why) => Begun::Failed(why),
            Item::End(all) => Begun::Body(Body::from(all)),
            Item::Block(first) => Begun::Body(self.rest(first)),
        })
    }

    /// The body that gives `first` and then what comes. It ends cleanly only if the answer did.
    fn rest(self, first: Bytes) -> Body {
        let state = Some((self, Some(first)));
        Body::from_stream(futures::stream::unfold(state, |state| async move {
            let (mut answer, first) = state?;
            if let Some(block) = first {
                return Some((Ok(block), Some((answer, None))));
            }
            match answer.items.recv().await {
                Some(Item::Block(block)) => Some((Ok(block), Some((answer, None)))),
                Some(Item::End(last)) => Some((Ok(last), None)),
                Some(Item::Failed(why)) => {
                    tracing::info!(%why, "answer was broken off");
                    Some((Err(BrokenOff), None))
                }
                None => Some((Err(BrokenOff), None)),
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::body::to_bytes;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn told(
        write: impl FnOnce(AnswerWriter<String>) + Send + 'static,
    ) -> Option<Result<Vec<u8>, String>> {
        let (writer, answer) = answer::<String>(|| {}, PATIENCE);
        let thread = tokio::task::spawn_blocking(|| write(writer));
        let told = match answer.begin().await {
            None => None,
            Some(Begun::Failed(why)) => Some(Err(why)),
            Some(Begun::Body(body)) => match to_bytes(body, usize::MAX).await {
                Ok(bytes) => Some(Ok(bytes.to_vec())),
                Err(_) => Some(Err("broken off".into())),
            },
        };
        let _ = thread.await;
        told
    }

    #[tokio::test]
    async fn small_and_large_answers_end_cleanly() {
        for size in [0, 1, BLOCK, 5 * BLOCK, 20 * BLOCK + 1] {
            let wanted = vec![b'x'; size];
            let bytes = wanted.clone();
            let told = told(move |mut writer| {
                bytes
                    .chunks(1_000)
                    .for_each(|part| writer.write_all(part).unwrap());
                writer.end();
            });
            assert_eq!(told.await, Some(Ok(wanted)), "{size}");
        }
    }

    #[tokio::test]
    async fn a_failure_before_the_first_block_is_told_and_later_breaks_off() {
        let early = told(|mut writer| {
            writer.write_all(b"abc").unwrap();
            writer.fail("too long".into());
        });
        assert_eq!(early.await, Some(Err("too long".into())));
        let late = told(|mut writer| {
            for _ in 0..10 {
                writer.write_all(&[b'x'; BLOCK]).unwrap();
            }
            writer.fail("too long".into());
        });
        assert_eq!(late.await, Some(Err("broken off".into())));
    }

    #[tokio::test]
    async fn an_answer_that_may_not_go_on_is_broken_off() {
        for allowed in 0..4 {
            let told = told(move |mut writer| {
                let mut left = allowed;
                writer.ask_before_blocks(move || match left {
                    0 => Err("lost".to_owned()),
                    _ => {
                        left -= 1;
                        Ok(())
                    }
                });
                for _ in 0..2 {
                    if writer.write_all(&[b'x'; BLOCK]).is_err() {
                        return writer.fail("client gone".into());
                    }
                }
                writer.end();
            });
            let wanted = match allowed {
                0 => Some(Err("lost".into())),
                1 | 2 => Some(Err("broken off".into())),
                _ => Some(Ok(vec![b'x'; 2 * BLOCK])),
            };
            assert_eq!(told.await, wanted, "{allowed}");
        }
    }

    #[tokio::test]
    async fn a_thread_that_dies_does_not_end_an_answer_cleanly() {
        assert_eq!(told(drop).await, None);
        let late = told(|mut writer| {
            for _ in 0..10 {
                writer.write_all(&[b'x'; BLOCK]).unwrap();
            }
        });
        assert_eq!(late.await, Some(Err("broken off".into())));
    }

    #[tokio::test]
    async fn a_client_that_leaves_stops_the_query() {
        let flag = Arc::new(AtomicBool::new(false));
        let said = flag.clone();
        let (mut writer, answer) = answer::<String>(move || said.store(true, Ordering::SeqCst), PATIENCE);
        let thread = tokio::task::spawn_blocking(move || {
            loop {
                if let Err(error) = writer.write_all(&[b'x'; BLOCK]) {
                    return error.kind();
                }
            }
        });
        let Some(Begun::Body(body)) = answer.begin().await else {
            panic!("no body")
        };
        drop(body);
        assert_eq!(thread.await.unwrap(), io::ErrorKind::BrokenPipe);
        assert!(flag.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_client_that_stalls_is_left() {
        let (mut writer, _answer) = answer::<String>(|| {}, Duration::from_millis(20));
        let thread = tokio::task::spawn_blocking(move || {
            loop {
                if let Err(error) = writer.write_all(&[b'x'; BLOCK]) {
                    return error.kind();
                }
            }
        });
        assert_eq!(thread.await.unwrap(), io::ErrorKind::TimedOut);
    }
}
