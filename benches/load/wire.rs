//! What goes over the wire: a little HTTP, and the data of the events, which is filler, and at its
//! very end a mark and the event's number.

use std::net::SocketAddr;

use memchr::{memchr, memmem};

use crate::Result;

const MARK: u8 = b'~';
const FILLER: u8 = b'x';

/// The number's digits, of base 16. None of them stands in a chunk's frame, so that one that comes
/// between two of them can be told from them.
const DIGITS: [u8; 16] = *b"ghijklmnopqrstuv";
const LEN: u8 = 8;

/// What an event's data takes at least.
pub(crate) const SHORTEST: usize = 1 + LEN as usize;

/// A request for a stream, with further header lines.
pub(crate) fn subscription(address: SocketAddr, path: &str, headers: &str) -> String {
    let accept = "Accept: text/event-stream";
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{accept}\r\n{headers}\r\n")
}

/// Whether the answer that begins so is a stream.
pub(crate) fn opened(answer: &[u8]) -> Result<()> {
    if answer.starts_with(b"HTTP/1.1 200") {
        Ok(())
    } else {
        Err(format!("no stream: {}", String::from_utf8_lossy(answer)).into())
    }
}

/// The length of head and body, once the head is there.
pub(crate) fn whole_len(message: &[u8]) -> Option<usize> {
    let head = memmem::find(message, b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&message[..head]).to_ascii_lowercase();
    let body = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    Some(head + body.and_then(|len| len.trim().parse().ok()).unwrap_or(0))
}

/// An event's data.
pub(crate) fn data(number: u32, bytes: usize) -> Vec<u8> {
    let mut data = vec![FILLER; bytes.saturating_sub(SHORTEST)];
    data.push(MARK);
    data.extend((0..LEN).rev().map(|place| DIGITS[(number >> (4 * place)) as usize & 15]));
    data
}

/// Finds events' numbers in a stream that comes in pieces, whose borders may be anywhere.
#[derive(Default)]
pub(crate) struct Scanner {
    number: u32,
    /// Digits still to come.
    missing: u8,
}

impl Scanner {
    pub(crate) fn scan(
        &mut self,
        mut piece: &[u8],
        mut found: impl FnMut(u32) -> Result<()>,
    ) -> Result<()> {
        loop {
            if self.missing == 0 {
                let Some(mark) = memchr(MARK, piece) else { return Ok(()) };
                piece = &piece[mark + 1..];
                (self.number, self.missing) = (0, LEN);
            }
            while self.missing > 0 {
                let Some((byte, rest)) = piece.split_first() else { return Ok(()) };
                piece = rest;
                if (DIGITS[0]..=DIGITS[15]).contains(byte) {
                    self.number = self.number << 4 | u32::from(byte - DIGITS[0]);
                    self.missing -= 1;
                }
            }
            found(self.number)?;
        }
    }
}
