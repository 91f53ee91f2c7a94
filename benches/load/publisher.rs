//! The publisher: a thread, a connection, an event after the other.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::{Result, flight::Flight, tally::histogram, wire};

/// For an answer. The crowd has more, and would take an event that is not answered for a lost one.
const PATIENCE: Duration = Duration::from_secs(10);

/// When the next event is published: at the earliest when the last one was answered, because of two
/// that are sent on two connections the second may be first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// When the event so many before has reached every subscriber.
    Window(u32),
    /// So many a second, whether the last have arrived or not.
    Rate(f64),
}

/// How long a run is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    Time(Duration),
    Events(u32),
}

/// What was measured of a run's publications.
pub(crate) struct Published {
    /// How long each took, in microseconds.
    pub(crate) latencies: Histogram<u64>,
    /// How many events were under way whenever one was published, itself among them: the sum.
    pub(crate) under_way: u64,
}

pub(crate) struct Publisher {
    stream: TcpStream,
    /// One request head for each channel; channels take turns.
    heads: Vec<Vec<u8>>,
    bytes: usize,
    answer: Vec<u8>,
    /// The next event's number.
    pub(crate) next: u32,
}

impl Publisher {
    pub(crate) fn connect(address: SocketAddr, paths: &[String], bytes: usize) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let head = |path: &String| {
            format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {bytes}\r\n\r\n")
        };
        let heads = paths.iter().map(|path| head(path).into_bytes()).collect();
        Ok(Self { stream, heads, bytes, answer: Vec::new(), next: 0 })
    }

    /// Publishes for so long, or until the crowd has given up.
    pub(crate) fn run(&mut self, flight: &Flight, pace: Pace, length: Length) -> Result<Published> {
        let side = flight.side();
        let published = self.publish_all(flight, pace, length)?;
        side.succeeds();
        flight.ends();
        Ok(published)
    }

    fn publish_all(&mut self, flight: &Flight, pace: Pace, length: Length) -> Result<Published> {
        let mut published = Published { latencies: histogram()?, under_way: 0 };
        let (start, first) = (Instant::now(), self.next);
        loop {
            let events = self.next - first;
            let due = match pace {
                Pace::Window(window) => {
                    flight.wait_for((self.next + 1).saturating_sub(window));
                    Instant::now()
                }
                // Whoever comes late was to be sent at its time: a server that holds the publisher
                // up must not be measured less often for it.
                Pace::Rate(rate) => start + Duration::from_secs_f64(f64::from(events) / rate),
            };
            let over = match length {
                Length::Time(time) => due.max(Instant::now()) >= start + time,
                Length::Events(most) => events >= most,
            };
            if over || !flight.wait_until(due) {
                return Ok(published);
            }
            flight.sends(self.next, due)?;
            published.under_way += u64::from(flight.under_way());
            self.publish()?;
            published.latencies.saturating_record(due.elapsed().as_micros() as u64);
        }
    }

    fn publish(&mut self) -> Result<()> {
        let head = &self.heads[self.next as usize % self.heads.len()];
        let request = [head.as_slice(), &wire::data(self.next, self.bytes)].concat();
        self.stream.write_all(&request)?;
        self.next += 1;
        self.read_answer()
    }

    fn read_answer(&mut self) -> Result<()> {
        self.answer.clear();
        let mut piece = [0; 4096];
        let mut whole = None;
        while whole.is_none_or(|whole| self.answer.len() < whole) {
            match self.stream.read(&mut piece) {
                Ok(0) => return Err("the server has closed the publisher's connection".into()),
                Ok(len) => self.answer.extend_from_slice(&piece[..len]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("no answer to a publication: {error}").into()),
            }
            whole = whole.or_else(|| wire::whole_len(&self.answer));
        }
        if self.answer.starts_with(b"HTTP/1.1 2") {
            Ok(())
        } else {
            Err(format!("not published: {}", String::from_utf8_lossy(&self.answer)).into())
        }
    }
}
