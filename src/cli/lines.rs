//! Standard input, line by line.

use std::{
    io::{self, BufRead, Read},
    thread,
};

use tokio::sync::mpsc;

/// The most lines handed out together.
const MAX_LINES: usize = 500;
/// The most bytes in several lines handed out together.
const MAX_BYTES: usize = 256 * 1024;
/// The longest line, in MiB: more than a hub takes unless told otherwise.
const MAX_LINE_MIB: u64 = 16;

/// Lines as they come, and together what came in the meantime.
pub(super) struct Lines {
    lines: mpsc::Receiver<io::Result<String>>,
    /// Taken from `lines`, but not handed out yet.
    next: Option<io::Result<String>>,
    handed_out: usize,
}

impl Lines {
    pub(super) fn of_stdin() -> Self {
        let (sender, lines) = mpsc::channel(MAX_LINES);
        // Not joined, and not the runtime's: it may wait for a line that never comes.
        thread::spawn(move || {
            let mut stdin = io::stdin().lock();
            while let Some(line) = read_line(&mut stdin).transpose() {
                let is_last = line.is_err();
                if sender.blocking_send(line).is_err() || is_last {
                    break;
                }
            }
        });
        Self { lines, next: None, handed_out: 0 }
    }

    /// Reads no more: what has been read is still handed out.
    pub(super) fn close(&mut self) {
        self.lines.close();
    }

    /// The next lines, none at the end. Those before a bad one come before it.
    ///
    /// Nothing is lost when it is dropped.
    pub(super) async fn next(&mut self) -> io::Result<Vec<String>> {
        if self.next.is_none() {
            self.next = self.lines.recv().await;
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        loop {
            match self.next.take() {
                Some(Ok(line)) if batch.is_empty() || bytes + line.len() <= MAX_BYTES => {
                    bytes += line.len();
                    batch.push(line);
                }
                Some(Err(error)) if batch.is_empty() => {
                    let number = self.handed_out + 1;
                    return Err(io::Error::new(error.kind(), format!("line {number}: {error}")));
                }
                next => {
                    self.next = next;
                    break;
                }
            }
            if batch.len() == MAX_LINES {
                break;
            }
            self.next = self.lines.try_recv().ok();
        }
        self.handed_out += batch.len();
        Ok(batch)
    }
}

fn read_line(stdin: &mut impl BufRead) -> io::Result<Option<String>> {
    let bad = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut line = Vec::new();
    let most = MAX_LINE_MIB * 1024 * 1024;
    let read = stdin.take(most).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.pop_if(|byte| *byte == b'\n').is_some() {
        line.pop_if(|byte| *byte == b'\r');
    } else if read as u64 == most {
        return Err(bad(format!("longer than {MAX_LINE_MIB} MiB")));
    }
    String::from_utf8(line).map(Some).map_err(|_| bad("not UTF-8".into()))
}
