//! A test suite of what a store is held to, for drivers and simulated stores alike.
//!
//! [`check`] takes a function that makes one request and waits for its outcome. It wants a store without objects
//! (except for the [marker](super::Marker)) and leaves none behind. It panics where a rule is broken, and says which.

#![expect(clippy::single_range_in_vec_init, reason = "a range of bytes, not the numbers in it")]

use bytes::Bytes;

use super::{
    error::StoreErrorKind,
    marker::Marker,
    name::Name,
    object_name::ObjectName,
    request::{Outcome, Page, Reply, Request, Urgency},
};
use crate::{ids::TableId, object_id::ObjectId};

/// Checks a store by requests alone.
///
/// # Panics
/// If the store breaks a rule.
pub fn check(call: &mut dyn FnMut(Request) -> Outcome) {
    let mut store = Caller { call };
    names_are_created_once(&mut store);
    ranges_are_what_was_put(&mut store);
    large_objects_are_whole(&mut store);
    listings_are_pages_in_order(&mut store);
    deleted_objects_are_gone(&mut store);
    store.is_empty_again();
}

fn names_are_created_once(store: &mut Caller<'_>) {
    let name = object(1, 1);
    store.put(&name, b"first");
    store.put(&name, b"first");
    for other in [&b"other"[..], b"firs", b"first and more", b""] {
        assert_eq!(store.fails(put(&name, other)), StoreErrorKind::Foreign, "other content over a name");
    }
    assert_eq!(store.get(&name, &[0..5]), ["first"], "a name keeps its content");
    store.put(&object(1, 2), b"");
    assert_eq!(store.fails(put(&object(1, 2), b"x")), StoreErrorKind::Foreign, "content over an empty object");
    store.delete(&name);
    store.delete(&object(1, 2));
}

fn ranges_are_what_was_put(store: &mut Caller<'_>) {
    let name = object(1, 3);
    store.put(&name, b"0123456789");
    assert_eq!(store.get(&name, &[0..10]), ["0123456789"]);
    assert_eq!(store.get(&name, &[8..10, 0..2, 2..4, 1..9]), ["89", "01", "23", "12345678"], "in the order asked for");
    assert_eq!(store.get(&name, &[3..4, 3..4]), ["3", "3"]);
    assert!(store.get(&name, &[]).is_empty(), "no ranges, no bytes");
    assert_eq!(store.get(&name, &[5..5, 1..2]), ["", "1"], "an empty range is empty");
    let reversed = std::ops::Range { start: 7, end: 3 };
    for beyond in [vec![0..11], vec![10..11], vec![0..1, 40..50], vec![0..u64::MAX], vec![reversed]] {
        let request = Request::Get { name: name.clone(), ranges: beyond.clone() };
        assert_eq!(store.fails(request), StoreErrorKind::OutOfRange, "{beyond:?} of 10 bytes");
    }
    store.delete(&name);
    let absent = Request::Get { name, ranges: vec![0..1, 2..3] };
    assert_eq!(store.fails(absent), StoreErrorKind::NotFound, "an object that was deleted");
}

/// Of several megabytes, with ranges that lie close and ranges that lie apart.
fn large_objects_are_whole(store: &mut Caller<'_>) {
    let name = object(2, 1);
    let bytes: Vec<u8> = (0..5 * 1024 * 1024_u32).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    store.put(&name, &bytes);
    let ends = [(0, 1), (1000, 2000), (2000, 3000), (3_000_000, 3_100_000), (5_242_000, 5_242_880), (0, 5_242_880)];
    let ranges: Vec<_> = ends.iter().map(|(start, end)| *start as u64..*end as u64).collect();
    let got = store.get(&name, &ranges);
    for ((start, end), got) in ends.iter().zip(got) {
        assert!(got == bytes[*start..*end], "{start}..{end} of a large object");
    }
    store.put(&name, &bytes);
    store.delete(&name);
}

fn listings_are_pages_in_order(store: &mut Caller<'_>) {
    let mut names: Vec<Name> = (0..7).map(|number| object(1, 20 - number)).collect();
    names.extend((0..3).map(|number| object(10, number)));
    names.extend(["t1/_delta_log/00.json", "t1-a/x", "a.b"].map(name));
    for name in &names {
        store.put(name, name.as_str().as_bytes());
    }
    names.sort();
    for max in [1, 3, 7, 1000] {
        let all: Vec<Name> = store.list_all(None, max).into_iter().filter(|name| *name != Marker::name()).collect();
        assert_eq!(all, names, "all names, in pages of {max}");
        let folder = name("t1");
        let below: Vec<Name> = names.iter().filter(|name| name.is_in(&folder)).cloned().collect();
        assert_eq!(store.list_all(Some(&folder), max), below, "the names of a folder, in pages of {max}");
    }
    assert!(store.list_all(Some(&name("t2")), 10).is_empty(), "a folder that is not there");
    for name in &names {
        store.delete(name);
    }
}

fn deleted_objects_are_gone(store: &mut Caller<'_>) {
    let name = object(3, 1);
    store.delete(&name);
    store.put(&name, b"content");
    store.delete(&name);
    store.delete(&name);
    assert!(store.list_all(Some(&ObjectName::folder(TableId(3))), 10).is_empty(), "a deleted object is listed");
}

/// The one that makes requests.
struct Caller<'a> {
    call: &'a mut dyn FnMut(Request) -> Outcome,
}

impl Caller<'_> {
    fn put(&mut self, name: &Name, bytes: &[u8]) {
        assert_eq!(self.succeeds(put(name, bytes)), Reply::Put);
    }

    fn delete(&mut self, name: &Name) {
        assert_eq!(self.succeeds(Request::Delete { name: name.clone() }), Reply::Deleted);
    }

    fn get(&mut self, name: &Name, ranges: &[std::ops::Range<u64>]) -> Vec<Bytes> {
        let request = Request::Get { name: name.clone(), ranges: ranges.to_vec() };
        match self.succeeds(request) {
            Reply::Got(parts) if parts.len() == ranges.len() => parts,
            reply => panic!("get {name} {ranges:?}: {reply:?}"),
        }
    }

    fn list(&mut self, folder: Option<&Name>, after: Option<&Name>, max: usize) -> Page {
        let request = Request::List { folder: folder.cloned(), after: after.cloned(), max };
        match self.succeeds(request) {
            Reply::Listed(page) => page,
            reply => panic!("list {folder:?}: {reply:?}"),
        }
    }

    /// The names of all pages.
    fn list_all(&mut self, folder: Option<&Name>, max: usize) -> Vec<Name> {
        let mut names: Vec<Name> = Vec::new();
        loop {
            let page = self.list(folder, names.last(), max);
            assert!(page.objects.len() <= max, "{} names in a page of {max}", page.objects.len());
            let before = names.len();
            for listed in page.objects {
                let is_marker = listed.name == Marker::name();
                assert!(is_marker || folder_bytes(&listed.name) == listed.bytes, "{listed:?}");
                names.push(listed.name);
            }
            assert!(names.is_sorted_by(|one, next| one < next), "not in order: {names:?}");
            if !page.more {
                return names;
            }
            assert!(names.len() > before, "a page without names that others are to follow");
        }
    }

    fn is_empty_again(&mut self) {
        let left: Vec<Name> = self.list_all(None, 100).into_iter().filter(|name| *name != Marker::name()).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    fn succeeds(&mut self, request: Request) -> Reply {
        let text = format!("{request:?}");
        (self.call)(request).unwrap_or_else(|error| panic!("{text}: {error:#}"))
    }

    /// The kind of its error, which names what was asked for.
    fn fails(&mut self, request: Request) -> StoreErrorKind {
        let (Request::Put { name, .. } | Request::Get { name, .. }) = &request else {
            panic!("only puts and gets are to fail");
        };
        let (name, text) = (name.clone(), format!("{request:?}"));
        match (self.call)(request) {
            Ok(reply) => panic!("{text}: succeeded with {reply:?}"),
            Err(error) => {
                assert_eq!(error.name, Some(name), "{text}: {error:#}");
                error.kind
            }
        }
    }
}

/// Of the objects that are listed here, whose content is their name.
fn folder_bytes(name: &Name) -> u64 {
    name.as_str().len() as u64
}

fn put(name: &Name, bytes: &[u8]) -> Request {
    Request::Put { name: name.clone(), bytes: Bytes::copy_from_slice(bytes), urgency: Urgency::Now }
}

fn object(table: u64, number: u64) -> Name {
    ObjectName { table: TableId(table), id: ObjectId { nonce: 0x1234_5678_9abc_def0, number } }.name()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap_or_else(|error| panic!("{error}"))
}
