//! The report: Markdown on standard output, and the same as JSON.

use std::{fs, io::Write, path::Path, thread};

use serde::Serialize;

use crate::{
    Result,
    figures::Figure,
    rows::{Row, Rows},
    targets::{self, Verdict},
};

/// Figures of which it is told when their rounds differ by much.
const STEADY: [Figure; 2] = [Figure::Deliveries, Figure::Cpu];

/// Figures whose ratios to the other servers are told.
const COMPARED: [Figure; 5] =
    [Figure::Deliveries, Figure::Cpu, Figure::P50, Figure::P99, Figure::PublishP50];

pub(crate) fn verdicts(rows: &Rows) -> Vec<Verdict> {
    targets::all().iter().filter_map(|target| target.judge(rows)).collect()
}

pub(crate) fn print(rows: &Rows, verdicts: &[Verdict], out: &mut impl Write) -> Result<()> {
    let cores = thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    writeln!(out, "{cores} cores, with the load on the same machine; Linux {}", kernel.trim())?;
    // Cases that measure the same share a table.
    let mut rest = rows.0.as_slice();
    while let Some(first) = rest.first() {
        let alike = |row: &&Row| row.failure.is_some() || kind(row) == kind(first);
        let len = rest.iter().take_while(alike).count().max(1);
        let (table, others) = rest.split_at(len);
        print_table(table, out)?;
        rest = others;
    }
    print_spreads(rows, out)?;
    for other in rows.servers().filter(|server| *server != "herald") {
        print_ratios(rows, other, out)?;
    }
    if !verdicts.is_empty() {
        writeln!(out, "\n| target | measured | |\n|---|---|---|")?;
    }
    for Verdict { target, measured, hit } in verdicts {
        writeln!(out, "| {target} | {measured} | {} |", if *hit { "hit" } else { "**MISS**" })?;
    }
    Ok(())
}

/// Rows with other figures belong into another table.
fn kind(row: &Row) -> [bool; 3] {
    [Figure::Connect, Figure::AfterBurst, Figure::BeyondJournal]
        .map(|figure| row.median.contains_key(&figure))
}

fn print_table(rows: &[Row], out: &mut impl Write) -> Result<()> {
    let mut columns: Vec<_> = rows.iter().flat_map(|row| row.median.keys().copied()).collect();
    columns.sort();
    columns.dedup();
    // Where all have failed there is nothing to show.
    if !columns.is_empty() {
        let heads: Vec<_> = columns.iter().map(|figure| figure.title()).collect();
        writeln!(out, "\n| subscribers | server | {} |", heads.join(" | "))?;
        writeln!(out, "|---|---|{}", "---:|".repeat(columns.len()))?;
        for row in rows {
            let show = |figure: &Figure| {
                row.median.get(figure).map_or_else(|| "–".into(), |value| figure.show(*value))
            };
            let values: Vec<_> = columns.iter().map(show).collect();
            writeln!(out, "| {} | {} | {} |", row.title, row.server, values.join(" | "))?;
        }
    }
    for row in rows {
        if let Some(note) = &row.note {
            writeln!(out, "\n{}, {}: {note}", row.title, row.server)?;
        }
        if let Some(failure) = &row.failure {
            let rounds = row.rounds.len();
            writeln!(
                out,
                "\n{}, {}: {failure} ({rounds} rounds did not fail)",
                row.title, row.server
            )?;
        }
    }
    Ok(())
}

/// Medians hide that rounds are not alike.
fn print_spreads(rows: &Rows, out: &mut impl Write) -> Result<()> {
    let mut lines = Vec::new();
    for row in &rows.0 {
        for figure in STEADY {
            if let Some((least, most)) = row.spread(figure) {
                let (least, most) = (figure.show(least), figure.show(most));
                let (case, server, figure) = (&row.title, &row.server, figure.title());
                lines.push(format!("- spread: {case}, {server}: {figure} {least} – {most}"));
            }
        }
    }
    if !lines.is_empty() {
        writeln!(out, "\n{}", lines.join("\n"))?;
    }
    Ok(())
}

fn print_ratios(rows: &Rows, other: &str, out: &mut impl Write) -> Result<()> {
    let mut lines = Vec::new();
    for row in rows.0.iter().filter(|row| row.server == "herald") {
        let ratio = |figure: &Figure| {
            let theirs = rows.median(row.case, other, *figure)?;
            Some(row.median.get(figure)? / theirs).filter(|ratio| ratio.is_finite())
        };
        let ratios: Vec<_> = COMPARED.iter().map(ratio).collect();
        if ratios.iter().any(Option::is_some) {
            let show =
                |ratio: Option<f64>| ratio.map_or_else(|| "–".into(), |it| format!("{it:.2}"));
            let ratios: Vec<_> = ratios.into_iter().map(show).collect();
            lines.push(format!("| {} | {} |", row.title, ratios.join(" | ")));
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    let heads = COMPARED.map(Figure::title).join(" | ");
    writeln!(out, "\n| herald : {other} | {heads} |")?;
    writeln!(out, "|---|{}", "---:|".repeat(COMPARED.len()))?;
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

pub(crate) fn write_json(rows: &Rows, verdicts: &[Verdict], path: &Path) -> Result<()> {
    #[derive(Serialize)]
    struct Report<'a> {
        rows: &'a [Row],
        targets: &'a [Verdict],
    }
    let report = Report { rows: &rows.0, targets: verdicts };
    fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    Ok(())
}
