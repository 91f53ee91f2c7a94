//! The servers' processes, and what `/proc` tells of them.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use crate::Result;

/// A running server with its workers; ended when dropped.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a program that ends with this one, however that ends.
    pub(crate) fn start(program: &Path, args: &[String], stdout: Stdio) -> Result<Self> {
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program)
            .args(args)
            // That subscribers are gone at the end is no news.
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(stdout)
            .spawn()
            .map_err(|error| format!("cannot start setpriv, which starts the servers: {error}"))?;
        Ok(Self(child))
    }

    /// The first line of its standard output.
    pub(crate) fn first_line(&mut self) -> Result<String> {
        let stdout = self.0.stdout.take().ok_or("standard output is not piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line.is_empty() { Err("the server did not start".into()) } else { Ok(line) }
    }

    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }

    /// It and all below it.
    fn tree(&self) -> Result<Vec<u32>> {
        let mut tree = vec![self.0.id()];
        let mut others = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
            // Who has ended meanwhile is nobody's child.
            if let Ok(parent) = stat::<u32>(&format!("/proc/{pid}/stat"), PARENT) {
                others.push((parent, pid));
            }
        }
        let mut seen = 0;
        while let Some(parent) = tree.get(seen).copied() {
            tree.extend(others.iter().filter(|other| other.0 == parent).map(|other| other.1));
            seen += 1;
        }
        Ok(tree)
    }

    /// Processor time so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        self.tree()?.into_iter().map(|pid| cpu(&pid.to_string())).sum()
    }

    /// Memory, in bytes (proportional set size).
    pub(crate) fn memory(&self) -> Result<u64> {
        let kib = |pid| kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:");
        Ok(self.tree()?.into_iter().map(kib).sum::<Result<u64>>()? * 1_024)
    }

    /// Forgets the most memory that it has had until now.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        for pid in self.tree()? {
            fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
        }
        Ok(())
    }

    /// The most memory that it has had, in bytes (resident set size), if it is one process: what
    /// several share would count several times.
    pub(crate) fn peak(&self) -> Result<Option<u64>> {
        let [pid] = self.tree()?[..] else { return Ok(None) };
        Ok(Some(kib(&format!("/proc/{pid}/status"), "VmHWM:")? * 1_024))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let tree = self.tree().unwrap_or_else(|_| vec![self.0.id()]);
        let tree: Vec<_> = tree.into_iter().filter_map(Member::of).collect();
        // The root knows best how to end the others, and would start anew those that end before it.
        end("-TERM", &tree[..tree.len().min(1)]);
        // A wrapper leaves behind what it has started.
        end("-TERM", &tree);
        end("-KILL", &tree);
        // There is nobody to tell of a failure.
        let _ = self.0.wait();
    }
}

/// A process that runs; when it was started tells it from a later one of the same number.
#[derive(PartialEq)]
struct Member {
    pid: u32,
    start: u64,
}

impl Member {
    fn of(pid: u32) -> Option<Self> {
        let path = format!("/proc/{pid}/stat");
        let state: char = stat(&path, STATE).ok()?;
        // It has ended, and its parent has not asked for it yet.
        if state == 'Z' {
            return None;
        }
        Some(Self { pid, start: stat(&path, START).ok()? })
    }
}

/// Sends a signal to those of them that still run, and waits a while for them to end.
fn end(signal: &str, members: &[Member]) {
    let runs = |member: &&Member| Member::of(member.pid).as_ref() == Some(member);
    let mut left: Vec<_> = members.iter().filter(runs).collect();
    if left.is_empty() {
        return;
    }
    let pids = left.iter().map(|member| member.pid.to_string());
    // Some of them may have ended meanwhile.
    let _ = Command::new("kill").arg(signal).args(pids).stderr(Stdio::null()).status();
    let patience = Instant::now() + Duration::from_secs(5);
    while !left.is_empty() && Instant::now() < patience {
        thread::sleep(Duration::from_millis(5));
        left.retain(runs);
    }
}

/// Processor time so far, of user and system, of a process or of `self`.
pub(crate) fn cpu(pid: &str) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let ticks = stat::<u64>(&path, USER)? + stat::<u64>(&path, SYSTEM)?;
    // USER_HZ is 100 wherever Linux runs.
    Ok(Duration::from_millis(10 * ticks))
}

/// Fields of `stat`, counted from the one after the name, which may hold anything.
const STATE: usize = 0;
const PARENT: usize = 1;
const USER: usize = 11;
const SYSTEM: usize = 12;
const START: usize = 19;

fn stat<T: FromStr>(path: &str, field: usize) -> Result<T> {
    let stat = fs::read_to_string(path)?;
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let value = fields.split_whitespace().nth(field).and_then(|value| value.parse().ok());
    Ok(value.ok_or("no such field")?)
}

fn kib(path: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find(|line| line.starts_with(name)).ok_or("no such line")?;
    Ok(line.split_whitespace().nth(1).ok_or("no value")?.parse()?)
}
