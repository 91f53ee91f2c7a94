//! What the library shows, listed, so that it changes on purpose only.

use std::path::Path;

const LISTED: &str = include_str!("surface.txt");

/// Every `pub` of the library. Lints see to it that whatever says `pub` can be reached from outside.
fn shown() -> String {
    let mut files = Vec::new();
    collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut files);
    files.sort();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap());
    let shown: Vec<_> = texts.flat_map(|text| shown_by(&text)).collect();
    let is_shown = |name: &str| {
        let items = [format!("pub struct {name}"), format!("pub enum {name}")];
        shown.iter().any(|item| items.iter().any(|start| item.starts_with(start)))
    };
    let shown = shown.iter().filter(|item| implemented_for(item).is_none_or(is_shown));
    shown.cloned().collect::<Vec<_>>().join("\n") + "\n"
}

/// The type that a trait is implemented for.
fn implemented_for(header: &str) -> Option<&str> {
    let (_, item) = header.strip_prefix("impl")?.split_once(" for ")?;
    item.split(|char: char| !char.is_alphanumeric()).next()
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("cli") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The public items of a file that rustfmt has laid out: each up to where its body begins, an enum
/// with its variants, a method below its `impl`.
fn shown_by(text: &str) -> Vec<String> {
    let mut shown = Vec::new();
    let mut header: Option<&str> = None;
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("impl") {
            header = Some(line.trim_end_matches(" {"));
            shown.extend(header.filter(|header| header.contains(" for ")).map(str::to_owned));
        }
        if !line.trim_start().starts_with("pub ") {
            continue;
        }
        if line.starts_with(' ') {
            shown.extend(header.take().map(str::to_owned));
        } else {
            header = None;
        }
        let mut item = line.to_owned();
        let ends = if item.contains("fn ") { ['{', ';'] } else { ['{', ','] };
        while !item.ends_with(ends) && !item.ends_with(';') {
            item += " ";
            item += lines.next().expect("an item ends").trim();
        }
        if item.starts_with("pub enum") {
            let variants = lines.by_ref().take_while(|line| *line != "}");
            let variants = variants.filter(|line| !line.trim_start().starts_with(['/', '#']));
            for variant in variants {
                item += "\n";
                item += variant;
            }
        }
        shown.push(item.trim_end_matches([' ', '{']).to_owned());
    }
    shown
}

#[test]
fn what_the_library_shows_changes_on_purpose_only() {
    let shown = shown();
    let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("surface.txt");
    std::fs::write(&fresh, &shown).unwrap();
    assert!(
        shown == LISTED,
        "tests/all/surface.txt is not what {} is; copy it if that is meant",
        fresh.display()
    );
}
