//! The house rules that no compiler, formatter or lint checks, for every file of the repository.
//!
//! A rule is a function from a file to what is wrong with it. The rules with a list of exceptions are ratchets: an
//! exception that is no longer needed fails the test too, so the lists only shrink.

use std::{fs, path::Path};

mod arrows;

/// Files whose code, tests left out, may be longer than [`CODE_LINES_MAX`], each with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Lines of code in a file, up to its tests.
const CODE_LINES_MAX: usize = 500;

/// Columns of a line in code, scripts and prose; the formatter leaves comments and strings alone.
const COLUMNS_MAX: usize = 120;

/// Bytes of a committed file: a repository keeps each of them for ever.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Crates that reach the disk through the `Disk` trait alone, or a simulated one would not be the whole truth.
const WITHOUT_FILES: &[&str] = &["wal/src", "snapshot/src", "engine/src", "adapters/raft-rs/src"];

/// Files of those crates that reach another file system on purpose: the embedder's.
const WITH_FILES: &[&str] = &["snapshot/src/export.rs"];

/// Roots of the crates that have no `unsafe`: all but `disk/`.
const WITHOUT_UNSAFE: &[&str] = &[
    "wal/src/lib.rs",
    "snapshot/src/lib.rs",
    "engine/src/lib.rs",
    "rsm/src/lib.rs",
    "logtail/core/src/lib.rs",
    "logtail/objects/src/lib.rs",
    "adapters/raft-rs/src/lib.rs",
    "adapters/openraft/src/lib.rs",
    "cli/src/main.rs",
    "examples/cluster/src/main.rs",
    "examples/orders/src/main.rs",
    "examples/serve/src/lib.rs",
    "docs/guide/lib.rs",
];

/// Phrases that a reader from the field has to translate, each with what to write instead; in lower case.
const DIALECT: &[(&str, &str)] = &[
    ("nobody's", "say what it is not yet: not registered, not claimed"),
    ("whoever", "name the caller, the thread or the process"),
    ("told of", "reported, notified"),
    ("to be had", "available"),
    ("sees to it", "ensures, checks"),
    ("//! what ", "begin with what the file defines or does"),
];

/// Where comments and documents still have such phrases, and in how many lines at most. The numbers only fall.
const DIALECT_LEFT: &[(&str, usize)] = &[("engine/src/", 3)];

#[test]
fn the_repository_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli/ lies in the repository");
    let files = files(root);
    assert!(files.iter().any(|file| file.path == "cli/tests/tidy/main.rs"), "the walk misses this very file");

    let mut faults = Vec::new();
    for file in &files {
        let rules: [fn(&File) -> Vec<String>; 7] = [size, text, width, length, words, opening, layers];
        for rule in rules {
            faults.extend(rule(file).into_iter().map(|fault| format!("{}: {fault}", file.path)));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// See [`arrows`].
#[test]
fn no_module_names_what_stands_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli/ lies in the repository");
    let faults = arrows::all_faults(root);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// A crate says that it is not published, or has what a registry shows of it.
#[test]
fn a_crate_is_private_or_presentable() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli/ lies in the repository");
    let mut faults = Vec::new();
    let mut published = 0;
    for file in files(root).iter().filter(|file| file.path.ends_with("/Cargo.toml")) {
        let has = |start: &str| file.lines().any(|(_, line)| line.starts_with(start));
        if has("publish = false") {
            continue;
        }
        published += 1;
        let keys = ["description = ", "readme = \"README.md\"", "keywords = ", "categories = ", "license.workspace"];
        let keys = keys.into_iter().chain(["[package.metadata.docs.rs]"]).filter(|key| !has(key));
        let folder = root.join(&file.path).with_file_name("");
        let texts =
            ["README.md", "LICENSE-APACHE", "LICENSE-MIT"].into_iter().filter(|name| !folder.join(name).is_file());
        faults.extend(keys.chain(texts).map(|what| format!("{}: without {what}", file.path)));
    }
    assert!(published > 0, "the walk misses the crates that are published");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Comments of shipped code, and the documents that readers begin with.
#[test]
fn comments_and_documents_are_in_plain_words() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli/ lies in the repository");
    let (mut faults, mut left) = (Vec::new(), vec![0; DIALECT_LEFT.len()]);
    for file in files(root) {
        for (at, line) in plain_words(&file) {
            match DIALECT_LEFT.iter().position(|(path, _)| file.path.starts_with(path)) {
                Some(row) => left[row] += 1,
                None => faults.push(format!("{}: line {at}: {line}", file.path)),
            }
        }
    }
    for ((path, most), count) in DIALECT_LEFT.iter().zip(left) {
        if count > *most || count == 0 {
            faults.push(format!("{path}: {count} lines with such phrases, {most} on the list"));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_exception_is_still_needed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli/ lies in the repository");
    for (path, reason) in LONG_FILES {
        let bytes = fs::read(root.join(path)).unwrap_or_else(|error| panic!("{path} ({reason}): {error}"));
        let file = File { path: (*path).into(), bytes };
        assert!(code_lines(&file) > CODE_LINES_MAX, "{path} is short now: take it off the list");
    }
}

struct File {
    /// Relative to the root, with slashes.
    path: String,
    bytes: Vec<u8>,
}

impl File {
    fn is(&self, extensions: &[&str]) -> bool {
        extensions.iter().any(|extension| self.path.ends_with(extension))
    }

    fn is_text(&self) -> bool {
        self.is(&[".rs", ".toml", ".md", ".yml", ".py", ".sh"]) || self.path.starts_with(".ci/")
    }

    /// Its lines with their numbers, from 1; none for a file that is not text.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let text = if self.is_text() { str::from_utf8(&self.bytes).unwrap_or("") } else { "" };
        text.lines().enumerate().map(|(at, line)| (at + 1, line))
    }

    /// Its lines of shipped code: those before its tests, in the sources of a crate.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let shipped = self.is(&[".rs"]) && self.path.contains("/src/") && !self.path.ends_with("/tests.rs");
        self.lines().take_while(move |(_, line)| shipped && *line != "#[cfg(test)]")
    }
}

/// Every file below `root` that a commit could take, in order; build output and the history left out.
fn files(root: &Path) -> Vec<File> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let entry = entry.expect("an entry of a folder can be read");
            let path = entry.path();
            let kind = entry.file_type().expect("the kind of an entry is known");
            if kind.is_dir() && !is_skipped(&path) {
                folders.push(path);
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    found.iter().map(|path| load(root, path)).collect()
}

fn is_skipped(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default();
    name == ".git" || folder.join("CACHEDIR.TAG").exists()
}

fn load(root: &Path, path: &Path) -> File {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let relative = path.strip_prefix(root).expect("the walk stays below the root");
    File { path: relative.to_string_lossy().replace('\\', "/"), bytes }
}

fn size(file: &File) -> Vec<String> {
    if file.bytes.len() <= FILE_BYTES_MAX {
        return Vec::new();
    }
    vec![format!("{} bytes, {FILE_BYTES_MAX} are the most", file.bytes.len())]
}

/// Text is UTF-8 with a final newline and neither tabs nor trailing blanks; code and scripts are ASCII.
fn text(file: &File) -> Vec<String> {
    if !file.is_text() {
        return Vec::new();
    }
    let Ok(text) = str::from_utf8(&file.bytes) else {
        return vec!["not UTF-8".into()];
    };
    let mut faults = Vec::new();
    if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
        faults.push("does not end with one newline".into());
    }
    for (at, line) in file.lines() {
        if line.contains('\t') || line.contains('\r') || line.ends_with(' ') {
            faults.push(format!("line {at}: a tab, a carriage return or a trailing blank"));
        }
        if !line.is_ascii() && !file.is(&[".md"]) {
            faults.push(format!("line {at}: not ASCII"));
        }
    }
    faults
}

/// Lines that cannot be broken, a row of a table or a link, are exempt, and tables that the formatter leaves alone.
fn width(file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    let mut in_table = false;
    for (at, line) in file.lines() {
        in_table = (in_table || line.trim() == "#[rustfmt::skip]") && line.trim() != "];";
        let columns = line.chars().count();
        if columns > COLUMNS_MAX && !in_table && !line.starts_with('|') && !line.contains("://") {
            faults.push(format!("line {at}: {columns} columns"));
        }
    }
    faults
}

fn length(file: &File) -> Vec<String> {
    let lines = code_lines(file);
    if lines <= CODE_LINES_MAX || LONG_FILES.iter().any(|(path, _)| *path == file.path) {
        return Vec::new();
    }
    vec![format!("{lines} lines of code, {CODE_LINES_MAX} are the most")]
}

fn code_lines(file: &File) -> usize {
    file.code().count()
}

/// Words that mark something unfinished, and attributes that hide something instead of stating a reason.
fn words(file: &File) -> Vec<String> {
    // In two halves each, or this file would be its own first fault.
    const BANNED: &[(&str, &str)] = &[
        (concat!("FIX", "ME"), "mend it, or file it"),
        (concat!("XX", "X"), "mend it, or file it"),
        (concat!("TO", "DO"), "do it, or file it"),
        (concat!("unimple", "mented!("), "say what is not there by a typed error"),
        (concat!("#[all", "ow("), "`expect` with a reason: it fails when it is no longer needed"),
        (concat!("#![all", "ow("), "`expect` with a reason: it fails when it is no longer needed"),
        (concat!("#[ign", "ore"), "report a skip at run time, or put it behind the long mode"),
    ];
    if !file.is(&[".rs"]) {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (at, line) in file.lines() {
        for (word, instead) in BANNED {
            if line.contains(word) {
                faults.push(format!("line {at}: {word}: {instead}"));
            }
        }
    }
    faults
}

/// Lines with a phrase of [`DIALECT`], and what to write instead.
fn plain_words(file: &File) -> Vec<(usize, String)> {
    let is_document = file.is(&[".md"]) && (file.path.starts_with("docs/") || !file.path.contains('/'));
    // The one has past entries, the other shows the phrases.
    let is_exempt = ["CHANGELOG.md", "CONTRIBUTING.md"].contains(&&*file.path);
    let comments = file.code().filter_map(|(at, line)| Some((at, &line[line.find("//")?..])));
    let documents = file.lines().filter(|_| is_document && !is_exempt);
    let faults = comments.chain(documents).filter_map(|(at, line)| {
        let line = line.to_lowercase();
        let (phrase, instead) = DIALECT.iter().find(|(phrase, _)| line.contains(phrase))?;
        Some((at, format!("`{phrase}`: {instead}")))
    });
    faults.collect()
}

/// A source file places itself in its first line; the root of a crate without `unsafe` forbids it.
fn opening(file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    let source = file.is(&[".rs"]) && !file.path.contains("/fixtures/");
    if source && !file.lines().next().is_some_and(|(_, line)| line.starts_with("//!")) {
        faults.push("does not begin by saying what it is (`//! ..`)".into());
    }
    let forbids = || file.lines().any(|(_, line)| line == "#![forbid(unsafe_code)]");
    if WITHOUT_UNSAFE.contains(&file.path.as_str()) && !forbids() {
        faults.push("does not forbid unsafe code".into());
    }
    faults
}

fn layers(file: &File) -> Vec<String> {
    if WITH_FILES.contains(&&*file.path) || !WITHOUT_FILES.iter().any(|folder| file.path.starts_with(folder)) {
        return Vec::new();
    }
    let reaches = |line: &str| line.contains("std::fs") || line.contains("std::os::unix::fs");
    file.code()
        .filter(|(_, line)| reaches(line) && !line.trim_start().starts_with("//"))
        .map(|(at, _)| format!("line {at}: touches files past the `Disk` trait"))
        .collect()
}
