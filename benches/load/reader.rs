//! A subscriber of its own, which reads only when it is told to.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use memchr::memmem;

use crate::{
    Result,
    servers::Running,
    topics::Topics,
    wire::{self, Scanner},
};

pub(crate) struct Reader {
    stream: TcpStream,
    /// All that has been read.
    text: Vec<u8>,
}

impl Reader {
    /// Subscribes, and reads until the answer's head is there.
    pub(crate) fn join(server: &Running) -> Result<Self> {
        let mut stream = TcpStream::connect(server.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let path = server.subscribe(&Topics::One.of(0));
        stream.write_all(wire::subscription(server.address, &path, "").as_bytes())?;
        let mut reader = Self { stream, text: Vec::new() };
        while memmem::find(&reader.text, b"\r\n\r\n").is_none() {
            reader.read()?;
        }
        wire::opened(&reader.text)?;
        Ok(reader)
    }

    /// What the server calls the event `number`, which is the next that comes.
    pub(crate) fn id_of(&mut self, number: u32) -> Result<String> {
        let mut scanner = Scanner::default();
        let mut found = None;
        while found != Some(number) {
            scanner.scan(self.read()?, |number| {
                found = Some(number);
                Ok(())
            })?;
        }
        let text = String::from_utf8_lossy(&self.text);
        let id = text.lines().filter_map(|line| line.strip_prefix("id:")).next_back();
        Ok(id.ok_or("the event has no id")?.trim().to_owned())
    }

    /// Reads the next piece.
    fn read(&mut self) -> Result<&[u8]> {
        let mut piece = [0; 4096];
        let len = self.stream.read(&mut piece)?;
        if len == 0 {
            return Err("the stream has ended".into());
        }
        let before = self.text.len();
        self.text.extend_from_slice(&piece[..len]);
        Ok(&self.text[before..])
    }
}
