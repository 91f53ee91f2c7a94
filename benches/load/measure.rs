//! How each kind of case is measured.

use std::thread;

use crate::{
    Result,
    cases::{Case, Effort, Task},
    figures::{Figure, Figures},
    publisher::{Length, Pace},
    reader::Reader,
    rows::Round,
    servers::Server,
    session::Session,
};

/// The default of herald's `--history-bytes`.
const JOURNAL: usize = 64 * 1_024 * 1_024;

const BURST: u32 = 200;
/// Less than what the naive server queues for a client.
const BURST_WINDOW: Pace = Pace::Window(64);

/// How many events a storm asks for again.
const MISSED: u32 = 100;

pub(crate) fn measure(case: &Case, server: &Server, effort: Effort) -> Result<Round> {
    let mut session =
        Session::start(server, case.subscribers, case.topics, case.bytes, effort.settle)?;
    match case.task {
        Task::FanOut(pace) => fan_out(&mut session, pace, effort).map(Round::from),
        Task::Memory => memory(&mut session, server, effort),
        Task::Stall { stalled } => stall(&mut session, case, stalled, effort).map(Round::from),
    }
}

fn fan_out(session: &mut Session, pace: Pace, effort: Effort) -> Result<Figures> {
    let mut figures = Figures::from([(Figure::Connect, session.joined_in.as_secs_f64())]);
    // A few have to carry what the first one costs.
    if session.subscribers >= 1_000 {
        figures.insert(Figure::Idle, session.memory_each()?);
    }
    session.run(pace, Length::Time(effort.warm_up))?;
    figures.extend(session.run(pace, Length::Time(effort.span))?.figures());
    Ok(figures)
}

fn memory(session: &mut Session, server: &Server, effort: Effort) -> Result<Round> {
    let mut figures = Figures::from([
        (Figure::Connect, session.joined_in.as_secs_f64()),
        (Figure::Idle, session.memory_each()?),
    ]);
    session.run(BURST_WINDOW, Length::Events(BURST))?;
    thread::sleep(effort.settle);
    figures.insert(Figure::AfterBurst, session.memory_each()?);
    let mut round = Round::from(figures);
    if server.resumes() {
        match storm(session, effort) {
            Ok(figures) => round.figures.extend(figures),
            // Nobody has said that a rival resumes.
            Err(error) if matches!(server, Server::Rival(_)) => {
                round.note = Some(format!("no resume storm: {error}"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(round)
}

/// Everybody leaves, and comes back at once for the last events.
fn storm(session: &mut Session, effort: Effort) -> Result<Figures> {
    let mut reader = Reader::join(&session.server)?;
    // The subscription may take its time, as everybody's.
    thread::sleep(effort.settle);
    session.run(BURST_WINDOW, Length::Events(1))?;
    let missed = session.publisher.next;
    let id = reader.id_of(missed - 1)?;
    drop(reader);
    session.run(BURST_WINDOW, Length::Events(MISSED))?;
    session.server.process.forget_peak()?;
    let took = session.storm(&id, missed)?;
    let events = f64::from(session.subscribers) * f64::from(MISSED);
    let peak = session.peak_each()?;
    // They are in the midst of it all again.
    session.run(BURST_WINDOW, Length::Events(1))?;
    thread::sleep(effort.settle);
    let mut figures = Figures::from([
        (Figure::Storm, events / took.as_secs_f64()),
        (Figure::AfterStorm, session.memory_each()?),
    ]);
    figures.extend(peak.map(|peak| (Figure::StormPeak, peak)));
    Ok(figures)
}

fn stall(session: &mut Session, case: &Case, stalled: u32, effort: Effort) -> Result<Figures> {
    session.server.process.forget_peak()?;
    let before = session.server.process.peak()?;
    let events = (effort.stall_bytes / case.bytes) as u32;
    let pace = Pace::Rate(f64::from(events) / effort.stall.as_secs_f64());
    session.run(pace, Length::Time(effort.warm_up))?;
    let stalled =
        (0..stalled).map(|_| Reader::join(&session.server)).collect::<Result<Vec<_>>>()?;
    let mut figures = session.run(pace, Length::Events(events))?.figures();
    let full = session.publisher.next as usize * case.bytes >= JOURNAL;
    // What a journal that is not full takes cannot be told from the rest.
    if let (true, Some(before), Some(peak)) = (full, before, session.server.process.peak()?) {
        let more = peak as f64 - before as f64 - JOURNAL as f64;
        figures.insert(Figure::BeyondJournal, more / 1_024.0 / 1_024.0);
    }
    drop(stalled);
    Ok(figures)
}
