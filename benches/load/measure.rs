//! How each kind of case is measured.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use crate::{
    Result,
    cases::{Case, Effort, Task},
    figures::{Figure, Figures},
    publisher::{Length, Pace},
    servers::{Running, Server},
    session::Session,
    topics::Topics,
    wire::Scanner,
};

/// The default of herald's `--history-bytes`.
const JOURNAL: f64 = 64.0 * 1_024.0 * 1_024.0;

const BURST: u32 = 200;
/// Less than what the naive server queues for a client.
const BURST_WINDOW: Pace = Pace::Window(64);

/// How many events a storm asks for again.
const MISSED: u32 = 100;

pub(crate) fn measure(case: &Case, server: &Server, effort: Effort) -> Result<Figures> {
    let mut session =
        Session::start(server, case.subscribers, case.topics, case.bytes, effort.settle)?;
    match case.task {
        Task::FanOut(pace) => fan_out(&mut session, pace, effort),
        Task::Memory => memory(&mut session, server, effort),
        Task::Stall { stalled } => stall(&mut session, case, stalled, effort),
    }
}

fn fan_out(session: &mut Session, pace: Pace, effort: Effort) -> Result<Figures> {
    let mut figures = Figures::from([(Figure::Connect, session.joined_in.as_secs_f64())]);
    // A few have to carry what the first one costs.
    if session.subscribers >= 1_000 {
        figures.insert(Figure::Idle, session.memory_each()?);
    }
    session.run(pace, Length::Time(effort.warm_up))?;
    figures.extend(session.run(pace, effort.length())?.figures());
    Ok(figures)
}

fn memory(session: &mut Session, server: &Server, effort: Effort) -> Result<Figures> {
    let mut figures = Figures::from([
        (Figure::Connect, session.joined_in.as_secs_f64()),
        (Figure::Idle, session.memory_each()?),
    ]);
    session.run(BURST_WINDOW, Length::Events(BURST))?;
    thread::sleep(effort.settle);
    figures.insert(Figure::AfterBurst, session.memory_each()?);
    if server.resumes() {
        figures.extend(storm(session, effort)?);
    }
    Ok(figures)
}

/// Everybody leaves, and comes back at once for the last events.
fn storm(session: &mut Session, effort: Effort) -> Result<Figures> {
    let mut reader = raw(&session.server)?;
    // The subscription may take its time, as everybody's.
    thread::sleep(effort.settle);
    session.run(BURST_WINDOW, Length::Events(1))?;
    let missed = session.publisher.next;
    let id = id_of(&mut reader, missed - 1)?;
    drop(reader);
    session.run(BURST_WINDOW, Length::Events(MISSED))?;
    session.server.process.forget_peak()?;
    let took = session.storm(&id, missed)?;
    let events = f64::from(session.subscribers) * f64::from(MISSED);
    let peak = session.peak_each()?;
    // They are in the midst of it all again.
    session.run(BURST_WINDOW, Length::Events(1))?;
    thread::sleep(effort.settle);
    Ok(Figures::from([
        (Figure::Storm, events / took.as_secs_f64()),
        (Figure::StormPeak, peak),
        (Figure::AfterStorm, session.memory_each()?),
    ]))
}

fn stall(session: &mut Session, case: &Case, stalled: u32, effort: Effort) -> Result<Figures> {
    let events = (effort.stall_bytes / case.bytes) as u32;
    let pace = Pace::Rate(f64::from(events) / effort.stall.as_secs_f64());
    session.run(pace, Length::Time(effort.warm_up))?;
    let stalled = (0..stalled).map(|_| raw(&session.server)).collect::<Result<Vec<_>>>()?;
    session.server.process.forget_peak()?;
    let before = session.server.process.peak()?;
    let mut figures = session.run(pace, Length::Events(events))?.figures();
    let more = session.server.process.peak()? as f64 - before as f64 - JOURNAL;
    figures.insert(Figure::BeyondJournal, more / 1_024.0 / 1_024.0);
    drop(stalled);
    Ok(figures)
}

/// A subscriber that reads only when it is told to.
fn raw(server: &Running) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(server.address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let path = server.subscribe(&Topics::One.of(0));
    let (host, accept) = (server.address, "Accept: text/event-stream");
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{accept}\r\n\r\n").as_bytes())?;
    Ok(stream)
}

/// What the server calls the event `number`, which is the next that comes.
fn id_of(stream: &mut TcpStream, number: u32) -> Result<String> {
    let mut text = Vec::new();
    let mut scanner = Scanner::default();
    let mut found = None;
    while found != Some(number) {
        let mut piece = [0; 4096];
        let len = stream.read(&mut piece)?;
        if len == 0 {
            return Err("the stream has ended".into());
        }
        text.extend_from_slice(&piece[..len]);
        scanner.scan(&piece[..len], |number| {
            found = Some(number);
            Ok(())
        })?;
    }
    let text = String::from_utf8_lossy(&text);
    let id = text.lines().filter_map(|line| line.strip_prefix("id:")).next_back();
    Ok(id.ok_or("the event has no id")?.trim().to_owned())
}
