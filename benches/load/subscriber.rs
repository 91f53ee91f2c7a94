//! A subscriber of the crowd: its socket, and what must come on it.

use std::{
    io::{ErrorKind, Read, Write},
    net::{self, SocketAddr},
    time::Duration,
};

use mio::net::TcpStream;

use crate::{
    Result,
    wire::{self, Scanner},
};

pub(crate) struct Subscriber {
    pub(crate) stream: TcpStream,
    scanner: Scanner,
    /// The event that must come next; where there is none, none may come.
    pub(crate) next: Option<u32>,
    /// Whether it has got its answer's head.
    pub(crate) joined: bool,
}

impl Subscriber {
    /// Asks for a stream, and expects the events from `next` on.
    pub(crate) fn knock(
        address: SocketAddr,
        request: &str,
        next: Option<u32>,
        patience: Duration,
    ) -> Result<Self> {
        let mut stream = net::TcpStream::connect_timeout(&address, patience)?;
        stream.write_all(request.as_bytes())?;
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream);
        Ok(Self { stream, scanner: Scanner::default(), next, joined: false })
    }

    /// How many bytes came, if any are there.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>> {
        match self.stream.read(buffer) {
            Ok(0) => Err("it was cut off".into()),
            Ok(len) => Ok(Some(len)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a piece of the stream, in which every `step`th event must come, in order.
    pub(crate) fn take(
        &mut self,
        piece: &[u8],
        step: u32,
        mut counts: impl FnMut(u32) -> Result<()>,
    ) -> Result<()> {
        if !self.joined {
            wire::opened(piece)?;
            self.joined = true;
        }
        let Self { scanner, next, .. } = self;
        scanner.scan(piece, |number| {
            if *next != Some(number) {
                return Err(misplaced(number, *next).into());
            }
            *next = number.checked_add(step);
            counts(number)
        })
    }
}

fn misplaced(number: u32, next: Option<u32>) -> String {
    let Some(next) = next else { return format!("event {number} came, and is not for it") };
    let what = if number > next { "events are lost" } else { "it came twice or late" };
    format!("event {number} came where {next} was next: {what}")
}
