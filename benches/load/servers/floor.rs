//! The floor: a thread that writes each event to each socket once, as soon as it has it. Whoever
//! hands events on one by one can hardly do it for less.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    ops::Range,
};

use memchr::memmem;
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use slab::Slab;
use socket2::{Domain, Socket, Type};

use crate::{Result, wire::whole_len};

const LISTENER: Token = Token(usize::MAX);

const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
const PUBLISHED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

struct Connection {
    stream: TcpStream,
    subscribes: bool,
    /// A request of which not all has come.
    request: Vec<u8>,
    /// What the kernel did not take yet.
    left: Vec<u8>,
}

pub(super) fn serve() -> Result<()> {
    let mut listener = listen()?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    let mut events = Events::with_capacity(1_024);
    let mut connections = Slab::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut connections)?;
                continue;
            }
            let Token(key) = event.token();
            let Some(connection) = connections.get_mut(key) else { continue };
            let mut lives = !event.is_writable() || connection.write(&[]);
            while lives && event.is_readable() {
                match connection.stream.read(&mut buffer) {
                    Ok(0) => lives = false,
                    Ok(len) => connection.request.extend_from_slice(&buffer[..len]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => lives = false,
                }
            }
            if !lives {
                connections.remove(key);
                continue;
            }
            while let Some((request, body)) = connections.get_mut(key).and_then(Connection::take) {
                answer(&mut connections, key, &request, body);
            }
        }
    }
}

/// With a longer queue than mio's 128, which a crowd overruns; it would knock again after seconds.
fn listen() -> Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(4_096)?;
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn accept(listener: &TcpListener, poll: &Poll, connections: &mut Slab<Connection>) -> Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        stream.set_nodelay(true)?;
        let entry = connections.vacant_entry();
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, Token(entry.key()), interest)?;
        let (request, left) = (Vec::new(), Vec::new());
        entry.insert(Connection { stream, subscribes: false, request, left });
    }
}

fn answer(connections: &mut Slab<Connection>, key: usize, request: &[u8], body: Range<usize>) {
    let connection = &mut connections[key];
    if request.starts_with(b"GET ") {
        connection.subscribes = true;
        connection.write(STREAM_HEAD);
        return;
    }
    connection.write(PUBLISHED);
    let event = [b"data: ", &request[body], b"\n\n"].concat();
    let chunk = [format!("{:x}\r\n", event.len()).as_bytes(), &event, b"\r\n"].concat();
    connections.retain(|_, connection| !connection.subscribes || connection.write(&chunk));
}

impl Connection {
    /// A request, if it is whole, and where its body is.
    fn take(&mut self) -> Option<(Vec<u8>, Range<usize>)> {
        let whole = whole_len(&self.request).filter(|whole| *whole <= self.request.len())?;
        let request: Vec<_> = self.request.drain(..whole).collect();
        let body = memmem::find(&request, b"\r\n\r\n")? + 4..whole;
        Some((request, body))
    }

    /// Writes, and keeps what the kernel does not take; `false` if the client is gone.
    fn write(&mut self, bytes: &[u8]) -> bool {
        if !self.left.is_empty() {
            self.left.extend_from_slice(bytes);
            let written = write_some(&mut self.stream, &self.left);
            return written.map(|len| self.left.drain(..len)).is_some();
        }
        let Some(written) = write_some(&mut self.stream, bytes) else { return false };
        self.left.extend_from_slice(&bytes[written..]);
        true
    }
}

/// How much the kernel took; nothing if the client is gone.
fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> Option<usize> {
    if bytes.is_empty() {
        return Some(0);
    }
    match stream.write(bytes) {
        Ok(written) => Some(written),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Some(0),
        Err(_) => None,
    }
}
