//! A connection that ends when its client keeps the worker busy, or takes nothing.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
#[cfg(feature = "tls")]
use std::{rc::Rc, task::ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[cfg(feature = "tls")]
use crate::{header_gate::HeaderGate, multiplexed::Streams};

/// So many turns without a look at what the client sends, and the connection ends. One turn may
/// write a hundred times.
const MAX_DEAF_TURNS: u32 = 1_024;

/// A byte stream that fails when it is written to again and again but never read.
///
/// actix-http wakes a connection again and again while 16 more requests and 128 KiB wait behind a
/// response that has not ended or is not read, and does so even after the client is gone. It then
/// writes and flushes each time, but reads no more: that is how it is told here. In every other
/// turn it tries to read first.
pub(crate) struct Connection<T> {
    io: T,
    deaf_turns: u32,
    #[cfg(feature = "tls")]
    multiplexed: Option<Multiplexed>,
}

/// What is looked after where there are many streams (HTTP/2).
#[cfg(feature = "tls")]
struct Multiplexed {
    streams: Rc<Streams>,
    gate: HeaderGate,
}

impl<T> Connection<T> {
    pub(crate) fn new(io: T) -> Self {
        Self {
            io,
            deaf_turns: 0,
            #[cfg(feature = "tls")]
            multiplexed: None,
        }
    }

    /// A connection of many streams.
    #[cfg(feature = "tls")]
    pub(crate) fn multiplexed(io: T, streams: Rc<Streams>) -> Self {
        let gate = HeaderGate::new();
        Self { multiplexed: Some(Multiplexed { streams, gate }), ..Self::new(io) }
    }

    /// Its streams, if it has many.
    #[cfg(feature = "tls")]
    pub(crate) fn streams(&self) -> Option<&Rc<Streams>> {
        self.multiplexed.as_ref().map(|multiplexed| &multiplexed.streams)
    }

    fn turn(&mut self) -> io::Result<()> {
        self.deaf_turns += 1;
        if self.deaf_turns < MAX_DEAF_TURNS {
            return Ok(());
        }
        log::debug!("connection ended: its client sends requests and keeps the worker busy");
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

#[cfg(feature = "tls")]
impl Multiplexed {
    fn poll_read<T: AsyncRead>(
        &mut self,
        io: Pin<&mut T>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let ended = || Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        if self.streams.is_cut_off(cx.waker()) {
            return ended();
        }
        ready!(io.poll_read(cx, buf))?;
        if !self.gate.lets_in(&buf.filled()[before..]) {
            log::debug!("connection ended: its client sends a header block of too much");
            return ended();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.deaf_turns = 0;
        let this = &mut *self;
        #[cfg(feature = "tls")]
        if let Some(multiplexed) = &mut this.multiplexed {
            return multiplexed.poll_read(Pin::new(&mut this.io), cx, buf);
        }
        Pin::new(&mut this.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.turn()?;
        Pin::new(&mut self.io).poll_write(cx, buf)
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

    use tokio::io::{DuplexStream, duplex};

    use super::*;

    fn write(connection: &mut Connection<DuplexStream>) -> Poll<io::Result<usize>> {
        Pin::new(connection).poll_write(&mut Context::from_waker(Waker::noop()), b"x")
    }

    fn flush(connection: &mut Connection<DuplexStream>) -> Poll<io::Result<()>> {
        Pin::new(connection).poll_flush(&mut Context::from_waker(Waker::noop()))
    }

    fn read(connection: &mut Connection<DuplexStream>) -> Poll<io::Result<()>> {
        let mut byte = [0];
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(connection).poll_read(&mut cx, &mut ReadBuf::new(&mut byte))
    }

    #[test]
    fn writing_and_flushing_without_reading_ends_a_connection() {
        let (near, _far) = duplex(MAX_DEAF_TURNS as usize);
        let mut connection = Connection::new(near);
        for _ in 1..MAX_DEAF_TURNS {
            assert!(matches!(write(&mut connection), Poll::Ready(Ok(1))));
        }
        assert!(matches!(flush(&mut connection), Poll::Ready(Err(_))));
    }

    #[test]
    fn writing_in_vain_ends_a_connection() {
        let (near, _far) = duplex(1);
        let mut connection = Connection::new(near);
        assert!(matches!(write(&mut connection), Poll::Ready(Ok(1))));
        for _ in 2..MAX_DEAF_TURNS {
            assert!(write(&mut connection).is_pending());
        }
        assert!(matches!(write(&mut connection), Poll::Ready(Err(_))));
    }

    #[test]
    fn reading_in_vain_is_reading() {
        let (near, _far) = duplex(1);
        let mut connection = Connection::new(near);
        for _ in 0..2 * MAX_DEAF_TURNS {
            assert!(read(&mut connection).is_pending());
            assert!(matches!(flush(&mut connection), Poll::Ready(Ok(()))));
        }
    }
}
