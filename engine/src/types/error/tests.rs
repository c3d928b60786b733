//! What errors say, where they come from, and that the tables of them are whole.

use super::*;

#[test]
fn messages_name_the_shard_and_the_bounds() {
    let shard = ShardId(7);
    for (error, message) in [
        (Error::Gap { shard, expected: 4, got: 9 }, "shard 7: entry 9 does not continue the log, 4 would"),
        (Error::Beyond { shard, index: 9, last: None }, "shard 7: index 9 is beyond the last entry (the log is empty)"),
        (Error::Compacted { shard, index: 3, first: 9 }, "shard 7: index 3 is below the log, which begins at 9"),
        (
            Error::Locked { dir: "/log".into(), owner: Some("process 12".into()) },
            "the log in /log is in use by process 12",
        ),
        (
            Error::Foreign { dir: Some("/log".into()), what: "letters".into() },
            "/log is not a Logboom directory: letters",
        ),
        (Error::Foreign { dir: None, what: "letters".into() }, "not a Logboom directory: letters"),
        (
            Error::TooLarge { shard: Some(shard), index: None, what: Limit::Key, size: 2000, limit: 1024 },
            "shard 7: a key of 2000 bytes exceeds the limit of 1024 (`KEY_BYTES_MAX`)",
        ),
        (
            Error::TooLarge { shard: Some(shard), index: Some(4), what: Limit::Context, size: 9, limit: 8 },
            "shard 7: entry 4: a context of 9 bytes exceeds the limit of 8 (`CONTEXT_BYTES_MAX`)",
        ),
        (
            Error::TooLarge { shard: None, index: None, what: Limit::Batch, size: 9, limit: 8 },
            "a batch of 9 bytes exceeds the limit of 8 (a quarter of a segment: `Config::segment_bytes`)",
        ),
    ] {
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn messages_say_what_to_do() {
    let capacity = Capacity::Bound { bytes_max: 8, used_bytes: 7, kept_back_bytes: 3 };
    let holders = "compact shards (`Engine::space` names those that hold the most)";
    for (message, expected) in [
        (
            Error::io("writing", io::Error::from_raw_os_error(28)).to_string(),
            format!("the device is full: {holders} of the log that lies there, or free space on it"),
        ),
        (
            Error::Full { capacity, error: None }.to_string(),
            format!(
                "the log has reached its bound of 8 bytes (space_bytes_max): its segment files take 7 bytes, 3 of them \
                 unused and kept back for reclaiming and for the next opening: {holders}, or raise the bound"
            ),
        ),
        (
            Error::Quarantined { shard: ShardId(7) }.to_string(),
            "shard 7 is in quarantine: heal it, accept the loss or destroy it (docs/repair.md)".to_owned(),
        ),
        (
            Error::NotLazy { operation: "a hard state" }.to_string(),
            "a hard state cannot be lazy: submit it as `Durable`".to_owned(),
        ),
    ] {
        assert_eq!(message, expected);
    }
}

#[test]
fn a_failed_read_is_an_error_of_the_engine() {
    use logboom_wal::Error as Wal;
    let (shard, what) = (ShardId(7), Arc::from("a checksum"));
    let error = io::Error::other("broken").into();
    let all = [
        (ReadError::Compacted { shard, index: 2, first: 3 }, "shard 7: entry 2 is compacted: the log begins at 3"),
        (ReadError::Corrupted { shard, range: 3..5, what }, "shard 7: entries 3 to 4 are damaged: a checksum"),
        (ReadError::log(shard, Wal::Io { what: "reading".into(), error }), "shard 7: reading: broken"),
        (ReadError::log(shard, Wal::Closed), "shard 7: the log cannot be read: the engine is closed"),
        (ReadError::Unavailable { shard, index: 1, last: None }, "shard 7: entry 1 is unavailable: the log is empty"),
        (
            ReadError::Unavailable { shard, index: 9, last: Some(7) },
            "shard 7: entry 9 is unavailable: the log ends at 7",
        ),
    ];
    for (error, text) in all {
        assert_eq!((error.shard(), format!("{error:#}")), (shard, text.to_owned()));
        let (is_io, is_log) = (matches!(error, ReadError::Io { .. }), matches!(error, ReadError::Log { .. }));
        match Error::from(error) {
            error @ Error::Io { .. } => assert!(is_io && format!("{error:#}") == text),
            error => assert!(matches!(error, Error::Read(_)) != (is_io || is_log), "{error:?}"),
        }
    }
}

#[test]
fn the_answer_of_the_system_is_at_the_end_of_the_chain() {
    use logboom_wal::Error as Wal;
    let answer = || io::Error::from_raw_os_error(5);
    let io = || Wal::Io { what: "writing".into(), error: answer().into() };
    let snapshot = logboom_snapshot::Error::Sync { what: "syncing".into(), error: answer().into() };
    let read = ReadError::log(ShardId(7), io());
    let read: &dyn std::error::Error = &read;
    let poisoned = Error::from(Wal::Poisoned { first: io().into() });
    let target = Error::from(Wal::Target(io().into()));
    for error in [&poisoned as &dyn std::error::Error, &target, &Error::from(snapshot), read] {
        let chain = std::iter::successors(Some(error), |error| error.source());
        let last = chain.last().and_then(|last| last.downcast_ref::<io::Error>()).map(io::Error::raw_os_error);
        assert_eq!(last, Some(Some(5)), "{error}");
    }
}

/// Code that reports an error prints its text and those of its sources.
#[test]
fn a_walk_along_the_sources_prints_nothing_twice() {
    use logboom_wal::Error as Wal;
    let answer = || io::Error::from_raw_os_error(5);
    let io = || Wal::Io { what: "writing".into(), error: answer().into() };
    let answered = "writing: Input/output error (os error 5)";
    let poisoned = || Error::from(Wal::Poisoned { first: io().into() });
    let all: [(Box<dyn std::error::Error>, String); 7] = [
        (Error::from(io()).into(), answered.to_owned()),
        (poisoned().into(), format!("the log failed earlier: {answered}")),
        (Error::from(Wal::Target(io().into())).into(), format!("the target of the copy failed: {answered}")),
        (ReadError::log(ShardId(7), io()).into(), format!("shard 7: {answered}")),
        (
            ReadError::log(ShardId(7), Wal::Forked { owner: 9 }).into(),
            "shard 7: the log cannot be read: process 9 opened the log, a forked child cannot use it".to_owned(),
        ),
        (Error::from(ReadError::log(ShardId(7), io())).into(), format!("shard 7: {answered}")),
        (
            Error::from(logboom_snapshot::Error::Io { what: "writing".into(), error: answer().into() }).into(),
            answered.to_owned(),
        ),
    ];
    for (error, text) in &all {
        let chain = std::iter::successors(Some(&**error), |error| error.source());
        let walked: Vec<String> = chain.map(ToString::to_string).collect();
        assert_eq!((walked.join(": "), format!("{error:#}")), (text.clone(), text.clone()));
    }
}

/// So that none is forgotten when a variant comes or goes.
#[test]
fn every_variant_has_its_row_and_the_document_has_the_tables() {
    let errors = [
        (include_str!("../error.rs"), "Error"),
        (include_str!("read_error.rs"), "ReadError"),
        (include_str!("../../../../snapshot/src/error.rs"), "snapshot::Error"),
    ];
    for (source, name) in errors {
        let type_name = name.rsplit("::").next().unwrap_or(name);
        let (before, _) = source.split_once(&format!("pub enum {type_name} {{\n")).expect("it is here");
        let table: Vec<&str> = before.lines().filter_map(|line| line.strip_prefix("/// ")).collect();
        let table = &table[table.iter().position(|line| line.starts_with("| ")).expect("the heading")..];
        let table: Vec<&str> = table.iter().copied().take_while(|line| line.starts_with('|')).collect();
        let rows = table.iter().filter_map(|row| Some(row.strip_prefix("| `")?.split_once('`')?.0));
        assert_eq!(rows.collect::<Vec<_>>(), variants(source, type_name), "{name}");
        let document = include_str!("../../../../docs/errors.md");
        let (_, section) = document.split_once(&format!("`logboom::{name}`")).expect("its section");
        let section = section.lines().skip_while(|line| !line.starts_with('|'));
        assert_eq!(section.take_while(|line| line.starts_with('|')).collect::<Vec<_>>(), table, "{name}");
    }
}

/// The words of the tables are explained alike.
#[test]
fn the_document_explains_the_words_as_the_type_does() {
    let words = |text: &str| {
        let text: Vec<&str> = text.lines().map(|line| line.trim_start_matches("/// ")).collect();
        let text = text.join(" ");
        let (_, words) = text.split_once("*retry*").expect("the first word");
        words.split_once("must be opened again.").expect("the last one").0.to_owned()
    };
    assert_eq!(words(include_str!("../../../../docs/errors.md")), words(include_str!("../error.rs")));
}

#[test]
fn bugs_and_panics_are_no_configuration_errors() {
    use logboom_wal::Error as Wal;
    let poison = |first: Wal| format!("{:#}", Error::from(Wal::Poisoned { first: first.into() }));
    assert_eq!(
        poison(Wal::Abandoned),
        "the log failed earlier: a batch was abandoned before all of it was written: a thread has panicked"
    );
    for bug in [Wal::Bug { what: "a rule".into() }, Wal::Misuse { what: "a rule".to_owned() }] {
        assert_eq!(poison(bug), "the log failed earlier: a bug of Logboom: a rule");
    }
    assert!(matches!(Error::from(Wal::Unsupported("an option".to_owned())), Error::Config { .. }));
}

/// The names of an enum's variants, from its source.
fn variants(source: &'static str, name: &str) -> Vec<&'static str> {
    let (_, body) = source.split_once(&format!("pub enum {name} {{\n")).expect("it is here");
    let body = body.split_once("\n}\n").map_or("", |(body, _)| body);
    let variant = |line: &'static str| {
        let variant = line.strip_prefix("    ")?.split([' ', '(', ',']).next()?;
        variant.starts_with(|first: char| first.is_ascii_uppercase()).then_some(variant)
    };
    let mut variants: Vec<&str> = body.lines().filter_map(variant).collect();
    variants.sort_unstable();
    variants
}

/// The name of an error's variant.
fn name_of(error: &impl fmt::Debug) -> String {
    let text = format!("{error:?}");
    text.split([' ', '(']).next().unwrap_or_default().to_owned()
}

/// `Io` is to be tried again, so nothing else may become it.
#[test]
fn every_error_of_the_log_has_its_place() {
    use logboom_wal::{Error as Wal, IdentityFault, SegmentId};
    let what = || "a text".to_owned();
    let io = Wal::Io { what: "writing".into(), error: io::Error::from_raw_os_error(5).into() };
    let all = [
        (Wal::Abandoned, "Abandoned"),
        (Wal::Bug { what: "a rule".into() }, "Bug"),
        (Wal::Busy, "Busy"),
        (Wal::Closed, "Closed"),
        (Wal::Exhausted, "Exhausted"),
        (Wal::Foreign(what()), "Foreign"),
        (Wal::Forked { owner: 1 }, "Forked"),
        (Wal::Full { capacity: Capacity::Device, error: None }, "Full"),
        (Wal::Gone(SegmentId(1)), "Bug"),
        (Wal::Identity(IdentityFault::default().into()), "Identity"),
        (io.clone(), "Io"),
        (Wal::Misuse { what: what() }, "Bug"),
        (Wal::NewerFormat { found: 9, supported: 2 }, "NewerFormat"),
        (Wal::Poisoned { first: io.clone().into() }, "Poisoned"),
        (Wal::Target(io.into()), "Target"),
        (Wal::TooLarge { bytes: 9, limit: 8 }, "TooLarge"),
        (Wal::TooMany { records: 9 }, "TooLarge"),
        (Wal::Unsupported(what()), "Config"),
    ];
    let given: Vec<String> = all.iter().map(|(error, _)| name_of(error)).collect();
    let mut variants = variants(include_str!("../../../../wal/src/types/error.rs"), "Error");
    // Only the log can make one: its `Damage` may get more fields.
    variants.retain(|&variant| variant != "Corruption");
    assert_eq!(given, variants);
    for (error, becomes) in all {
        let from = name_of(&error);
        assert_eq!(name_of(&Error::from(error)), becomes, "{from}");
    }
}

#[test]
fn system_errors_are_told_apart() {
    let kind = |kind| {
        let error = Error::io("opening", io::Error::from(kind));
        let answer = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(answer.map(io::Error::kind), Some(kind), "the answer of the system is kept: {error:?}");
        error
    };
    assert!(matches!(kind(io::ErrorKind::PermissionDenied), Error::Permission { .. }));
    assert!(matches!(kind(io::ErrorKind::ReadOnlyFilesystem), Error::ReadOnly { .. }));
    assert!(matches!(kind(io::ErrorKind::StorageFull), Error::Full { capacity: Capacity::Device, .. }));
    assert!(matches!(kind(io::ErrorKind::QuotaExceeded), Error::Full { capacity: Capacity::Quota, .. }));
    assert!(matches!(kind(io::ErrorKind::Other), Error::Io { .. }));
    let full = Error::io("opening segment-000001", io::Error::from_raw_os_error(24));
    assert_eq!(full.to_string(), "the limit of open files is reached: opening segment-000001");
}
