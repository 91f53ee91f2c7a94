//! The servers' processes, and what `/proc` tells of them.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
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
            .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
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
            if let Ok(parent) = stat(&format!("/proc/{pid}/stat"), PARENT) {
                others.push((parent as u32, pid));
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

    /// The most memory that it has had, in bytes (resident set size).
    pub(crate) fn peak(&self) -> Result<u64> {
        let kib = |pid| kib(&format!("/proc/{pid}/status"), "VmHWM:");
        Ok(self.tree()?.into_iter().map(kib).sum::<Result<u64>>()? * 1_024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let tree = self.tree().unwrap_or_else(|_| vec![self.0.id()]);
        signal("-TERM", &tree[..1]);
        let patience = Instant::now() + Duration::from_secs(5);
        while Instant::now() < patience {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        signal("-KILL", &tree);
        // There is nobody to tell of a failure.
        let _ = self.0.wait();
    }
}

fn signal(name: &str, pids: &[u32]) {
    let pids = pids.iter().map(u32::to_string);
    // Some of them may have ended.
    let _ = Command::new("kill").arg(name).args(pids).stderr(Stdio::null()).status();
}

/// Processor time so far, of user and system, of a process or of `self`.
pub(crate) fn cpu(pid: &str) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let ticks = stat(&path, USER)? + stat(&path, SYSTEM)?;
    // USER_HZ is 100 wherever Linux runs.
    Ok(Duration::from_millis(10 * ticks))
}

/// Fields of `stat`, counted from the one after the name, which may hold anything.
const PARENT: usize = 1;
const USER: usize = 11;
const SYSTEM: usize = 12;

fn stat(path: &str, field: usize) -> Result<u64> {
    let stat = fs::read_to_string(path)?;
    let fields = stat.rsplit(')').next().unwrap_or_default();
    Ok(fields.split_whitespace().nth(field).ok_or("no such field")?.parse()?)
}

fn kib(path: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find(|line| line.starts_with(name)).ok_or("no such line")?;
    Ok(line.split_whitespace().nth(1).ok_or("no value")?.parse()?)
}
