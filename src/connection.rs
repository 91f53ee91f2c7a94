//! A connection that ends when its client keeps the worker busy.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So many turns without a byte read or written, and the connection ends. A few come with each
/// event, the rest with nothing good.
const MAX_IDLE_TURNS: u32 = 4_096;

/// A byte stream that fails after too many turns without progress.
///
/// actix-http wakes a connection again and again while 16 more requests and 128 KiB wait behind a
/// response that has not ended or is not read, and does so even after the client is gone. Each
/// time it tries to write, or to flush what it has not: that is what is counted here.
pub(crate) struct Connection<T> {
    io: T,
    idle_turns: u32,
}

impl<T> Connection<T> {
    pub(crate) fn new(io: T) -> Self {
        Self { io, idle_turns: 0 }
    }

    fn turn(&mut self) -> io::Result<()> {
        self.idle_turns += 1;
        if self.idle_turns < MAX_IDLE_TURNS {
            return Ok(());
        }
        log::debug!("connection ended: its client sends requests and keeps the worker busy");
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.idle_turns = 0;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.io).poll_write(cx, buf) {
            Poll::Pending => {
                self.turn().map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending)
            }
            written => {
                self.idle_turns = 0;
                written
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.turn()?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn flush(connection: &mut Connection<impl AsyncWrite + Unpin>) -> Poll<io::Result<()>> {
        Pin::new(connection).poll_flush(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn turns_without_progress_end_a_connection() {
        let (near, mut far) = duplex(64);
        let mut connection = Connection::new(near);
        for _ in 0..10 {
            for _ in 1..MAX_IDLE_TURNS {
                assert!(matches!(flush(&mut connection), Poll::Ready(Ok(()))));
            }
            connection.write_all(b"x").await.unwrap();
            for _ in 1..MAX_IDLE_TURNS {
                assert!(matches!(flush(&mut connection), Poll::Ready(Ok(()))));
            }
            far.write_all(b"y").await.unwrap();
            connection.read_u8().await.unwrap();
        }
        for _ in 1..MAX_IDLE_TURNS {
            assert!(matches!(flush(&mut connection), Poll::Ready(Ok(()))));
        }
        assert!(matches!(flush(&mut connection), Poll::Ready(Err(_))));
    }

    #[tokio::test]
    async fn writes_that_go_nowhere_end_a_connection() {
        let (near, _far) = duplex(1);
        let mut connection = Connection::new(near);
        connection.write_all(b"x").await.unwrap();
        let mut write =
            || Pin::new(&mut connection).poll_write(&mut Context::from_waker(Waker::noop()), b"x");
        for _ in 1..MAX_IDLE_TURNS {
            assert!(write().is_pending());
        }
        assert!(matches!(write(), Poll::Ready(Err(_))));
    }
}
