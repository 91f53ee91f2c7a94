//! The main cases as a picture. Its ground is transparent and its colours are of middle lightness,
//! so that it can be read on a light page and on a dark one.

use std::path::Path;

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::{Result, figures::Figure, rows::Rows};

pub(crate) const CASES: [&str; 5] = ["1k-w1", "1k-w32", "10k-w1", "10k-w16", "100-w64"];
const PANELS: [(Figure, &str); 2] = [
    (Figure::Deliveries, "deliveries a second: more is better"),
    (Figure::Cpu, "server CPU per delivery: less is better"),
];

const INK: RGBColor = RGBColor(125, 133, 144);
const COLOURS: [RGBColor; 5] = [
    RGBColor(47, 129, 247),
    RGBColor(139, 148, 158),
    RGBColor(210, 153, 34),
    RGBColor(63, 185, 80),
    RGBColor(163, 113, 247),
];

/// Pixels.
const NAMES: i32 = 130;
const PANEL: i32 = 370;
/// Of which a panel keeps so many for the longest bar's value.
const VALUE: i32 = 90;
const BAR: i32 = 13;
const GAP: i32 = 14;
const HEAD: i32 = 60;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub(crate) fn draw(rows: &Rows, path: &Path) -> Result<()> {
    if !rows.0.iter().any(|row| CASES.contains(&row.case) && !row.rounds.is_empty()) {
        return Err("there is nothing to draw".into());
    }
    let cases: Vec<_> =
        CASES.into_iter().filter_map(|case| Some((case, rows.title(case)?))).collect();
    let mut servers: Vec<&str> = Vec::new();
    for row in rows.0.iter().filter(|row| CASES.contains(&row.case)) {
        if !servers.contains(&row.server.as_str()) {
            servers.push(&row.server);
        }
    }
    let group = BAR * servers.len() as i32 + GAP;
    let size = (NAMES + PANEL * PANELS.len() as i32, HEAD + group * cases.len() as i32);
    let area = SVGBackend::new(path, (size.0 as u32, size.1 as u32)).into_drawing_area();
    for (index, server) in servers.iter().enumerate() {
        let x = NAMES + 90 * index as i32;
        area.draw(&Rectangle::new([(x, 6), (x + 11, 17)], colour(index).filled()))?;
        write(&area, server, (x + 17, 12), HPos::Left)?;
    }
    for (panel, (figure, title)) in PANELS.into_iter().enumerate() {
        let left = NAMES + PANEL * panel as i32;
        write(&area, title, (left, 42), HPos::Left)?;
        let value = |case, server| rows.median(case, server, figure);
        let all = cases.iter().flat_map(|case| servers.iter().map(|server| value(case.0, server)));
        let most = all.flatten().fold(f64::MIN_POSITIVE, f64::max);
        for (place, (case, name)) in cases.iter().enumerate() {
            let top = HEAD + group * place as i32;
            if panel == 0 {
                write(&area, name, (NAMES - 10, top + (group - GAP) / 2), HPos::Right)?;
            }
            for (index, server) in servers.iter().enumerate() {
                let y = top + BAR * index as i32;
                // One that could not is told of in the report.
                let Some(value) = value(case, server) else { continue };
                let right = left + (f64::from(PANEL - VALUE) * value / most).round() as i32;
                let bar = [(left, y), (right, y + BAR - 2)];
                area.draw(&Rectangle::new(bar, colour(index).filled()))?;
                write(&area, &figure.show(value), (right + 5, y + BAR / 2), HPos::Left)?;
            }
        }
    }
    area.present()?;
    Ok(())
}

fn colour(server: usize) -> RGBColor {
    COLOURS[server % COLOURS.len()]
}

fn write(area: &Area<'_>, text: &str, at: (i32, i32), side: HPos) -> Result<()> {
    let style = ("sans-serif", 15).into_font().color(&INK).pos(Pos::new(side, VPos::Center));
    area.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}
