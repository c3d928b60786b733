//! Which modules of a crate name which. Each folder may use any that stands below it in the crate's row, and no two
//! modules may reach each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path as FilePath,
};

use syn::{
    Attribute, File, Item, Macro, Path, UseTree,
    visit::{self, Visit},
};

/// A crate, and its folders and files below `src`, the topmost first; empty where only circles are looked for.
pub(crate) struct Layout {
    pub(crate) src: &'static str,
    pub(crate) order: &'static [&'static str],
}

/// What the crates hold to.
pub(crate) const LAYOUTS: &[Layout] = &[
    Layout { src: "disk/src", order: &[] },
    Layout {
        src: "wal/src",
        order: &[
            "open",
            "sealing",
            "copy",
            "wal",
            "start",
            "recovery",
            "maintenance",
            "group_commit",
            "read",
            "scan",
            "segments",
            "format",
            "runtime",
            "types",
        ],
    },
    Layout {
        src: "snapshot/src",
        order: &[
            "store",
            "keep",
            "export",
            "receiver",
            "chunk",
            "reader",
            "fetch",
            "builder",
            "draft",
            "built",
            "lease",
            "shared",
            "opened",
            "medium",
            "pipe",
            "header",
            "manifest",
            "position",
            "registered",
            "block",
            "codec",
            "name",
            "spec",
            "entry_id",
            "progress",
            "stop",
            "host",
            "error",
            "mutants",
        ],
    },
    Layout {
        src: "engine/src",
        order: &[
            "engine",
            "snapshots",
            "backup",
            "read_only",
            "ticket",
            "health",
            "metrics",
            "recovery",
            "append",
            "maintenance",
            "read",
            "checkpoint",
            "shard_state",
            "index",
            "encoding",
            "types",
        ],
    },
    Layout { src: "rsm/src", order: &[] },
    Layout { src: "adapters/raft-rs/src", order: &[] },
    Layout { src: "adapters/openraft/src", order: &[] },
];

/// Circles that there are, each to be opened. One that is gone must be taken off the list.
pub(crate) const KNOWN: &[(&str, &str)] = &[];

/// Modules that name whatever they test.
const EXEMPT: &[&str] = &["fuzz", "models", "tests"];

/// One module naming another, and the names that it takes from it.
pub(crate) type Arrows = BTreeMap<(String, String), BTreeSet<String>>;

/// What is wrong with the crate's imports: each fault with the arrow it is about, as `from -> to`.
pub(crate) fn faults(root: &FilePath, layout: &Layout) -> Vec<(String, String)> {
    let modules = Modules::load(&root.join(layout.src));
    let (arrows, mut faults) = modules.arrows();
    let place = |name: &str| layout.order.iter().position(|other| *other == name);
    for ((from, to), names) in &arrows {
        let arrow = format!("{from} -> {to}");
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if layout.order.is_empty() {
            continue;
        }
        match (place(from), place(to)) {
            (Some(upper), Some(lower)) if upper < lower => {}
            (Some(_), Some(_)) => faults.push((arrow, format!("names what stands above it: {}", names.join(", ")))),
            _ => faults.push((arrow, "is not in the order of the crate's folders".to_owned())),
        }
    }
    faults.extend(circles(&arrows).into_iter().map(|circle| {
        let of = circle.join(", ");
        (of.clone(), "reach each other".to_owned())
    }));
    faults
}

/// Sets of modules that reach each other, of two and more.
fn circles(arrows: &Arrows) -> Vec<Vec<String>> {
    let all: BTreeSet<&str> = arrows.keys().flat_map(|(from, to)| [&**from, &**to]).collect();
    let reached = |from: &str| {
        let (mut found, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(one) = open.pop() {
            for (_, to) in arrows.keys().filter(|(from, _)| *from == one) {
                if found.insert(&**to) {
                    open.push(to);
                }
            }
        }
        found
    };
    let reach: BTreeMap<&str, BTreeSet<&str>> = all.iter().map(|one| (*one, reached(one))).collect();
    let mut circles = BTreeSet::new();
    for one in &all {
        let mutual = |other: &&&str| reach[one].contains(**other) && reach[**other].contains(one);
        let circle: Vec<String> = all.iter().filter(mutual).map(|other| (*other).to_owned()).collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

/// The modules of a crate by their paths, and what each defines.
pub(crate) struct Modules(BTreeMap<Vec<String>, Module>);

/// Where something is defined, and whether the root of the crate stood in between.
struct Defining {
    module: Vec<String>,
    by_root: bool,
}

struct Module {
    file: File,
    /// Names of items, child modules left out.
    items: BTreeSet<String>,
    /// What it re-exports under which name.
    exports: BTreeMap<String, Vec<String>>,
}

impl Modules {
    pub(crate) fn load(src: &FilePath) -> Self {
        let mut modules = BTreeMap::new();
        let mut folders = vec![src.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
                let path = entry.expect("an entry of a folder can be read").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let relative = path.strip_prefix(src).expect("the walk stays below src").with_extension("");
                    let mut name: Vec<String> =
                        relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
                    if name.last().is_some_and(|last| last == "lib" || last == "main") && name.len() == 1 {
                        name.clear();
                    }
                    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    modules.insert(name, Module::of(file));
                }
            }
        }
        assert!(modules.len() > 3, "{} has no modules", src.display());
        Self(modules)
    }

    /// The arrows between top-level modules, and what is wrong with single imports.
    pub(crate) fn arrows(&self) -> (Arrows, Vec<(String, String)>) {
        let (mut arrows, mut faults) = (Arrows::new(), Vec::new());
        for (name, module) in &self.0 {
            let Some(from) = name.first().filter(|_| !name.iter().any(|part| EXEMPT.contains(&&**part))) else {
                continue;
            };
            let mut named = Named { modules: self, here: name, paths: Vec::new() };
            named.visit_file(&module.file);
            for path in named.paths {
                let Some(defining) = self.defining(name, &path, 0) else { continue };
                if defining.by_root {
                    let what = format!("takes {} from the crate's root", path.join("::"));
                    faults.push((format!("{} -> (root)", name.join("::")), what));
                }
                if let Some(to) = defining.module.first()
                    && to != from
                    && !EXEMPT.contains(&&**to)
                {
                    arrows.entry((from.clone(), to.clone())).or_default().insert(path.join("::"));
                }
            }
        }
        (arrows, faults)
    }

    /// Where a path from `here` is defined, re-exports followed. `None` for what is not of this crate.
    fn defining(&self, here: &[String], path: &[String], depth: usize) -> Option<Defining> {
        let (mut at, rest) = self.begin(here, path)?;
        for (nth, segment) in rest.iter().enumerate() {
            let module = self.0.get(&at)?;
            let child = [&at[..], std::slice::from_ref(segment)].concat();
            if self.0.contains_key(&child) {
                at = child;
                continue;
            }
            if depth < 8
                && !module.items.contains(segment)
                && let Some(exported) = module.exports.get(segment)
            {
                let onward = [&exported[..], &rest[nth + 1..]].concat();
                let by_root = at.is_empty();
                return Some(match self.defining(&at, &onward, depth + 1) {
                    Some(found) => Defining { by_root: found.by_root || by_root, ..found },
                    // Another crate's.
                    None => Defining { by_root, module: at },
                });
            }
            return Some(Defining { by_root: at.is_empty(), module: at });
        }
        Some(Defining { by_root: false, module: at })
    }

    /// The module that the path begins in, and what is left of the path.
    fn begin<'p>(&self, here: &[String], path: &'p [String]) -> Option<(Vec<String>, &'p [String])> {
        let mut at = here.to_vec();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => (at, rest) = (Vec::new(), &rest[1..]),
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|first| first == "super") {
                    at.pop();
                    rest = &rest[1..];
                }
            }
            // A child, as paths are relative to where they stand.
            first => {
                let child = [here, &[first.to_owned()]].concat();
                return self.0.contains_key(&child).then(|| (here.to_vec(), path));
            }
        }
        Some((at, rest))
    }
}

impl Module {
    fn of(file: File) -> Self {
        let (mut items, mut exports) = (BTreeSet::new(), BTreeMap::new());
        for item in &file.items {
            match item {
                Item::Const(item) => drop(items.insert(item.ident.to_string())),
                Item::Enum(item) => drop(items.insert(item.ident.to_string())),
                Item::Fn(item) => drop(items.insert(item.sig.ident.to_string())),
                Item::Static(item) => drop(items.insert(item.ident.to_string())),
                Item::Struct(item) => drop(items.insert(item.ident.to_string())),
                Item::Trait(item) => drop(items.insert(item.ident.to_string())),
                Item::Type(item) => drop(items.insert(item.ident.to_string())),
                Item::Union(item) => drop(items.insert(item.ident.to_string())),
                Item::Use(item) => leaves(&item.tree, &mut Vec::new(), &mut |path, name| {
                    exports.insert(name, path);
                }),
                _ => {}
            }
        }
        Self { file, items, exports }
    }
}

/// Calls `each` with every path of a `use`, and the name that it gets.
fn leaves(tree: &UseTree, before: &mut Vec<String>, each: &mut dyn FnMut(Vec<String>, String)) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            leaves(&path.tree, before, each);
            before.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, before, each)),
        UseTree::Name(name) if name.ident == "self" => {
            each(before.clone(), before.last().cloned().unwrap_or_default());
        }
        UseTree::Name(name) => each([&before[..], &[name.ident.to_string()]].concat(), name.ident.to_string()),
        UseTree::Rename(rename) => each([&before[..], &[rename.ident.to_string()]].concat(), rename.rename.to_string()),
        UseTree::Glob(_) => each(before.clone(), "*".to_owned()),
    }
}

/// Gathers the paths that shipped code names.
struct Named<'m> {
    modules: &'m Modules,
    here: &'m [String],
    paths: Vec<Vec<String>>,
}

impl Named<'_> {
    fn note(&mut self, path: Vec<String>) {
        if self.modules.begin(self.here, &path).is_some() {
            self.paths.push(path);
        }
    }
}

impl<'ast> Visit<'ast> for Named<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_use_tree(&mut self, tree: &'ast UseTree) {
        leaves(tree, &mut Vec::new(), &mut |path, _| self.note(path));
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if path.segments.len() > 1 {
            self.note(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    /// Paths within a macro's tokens: those that begin with `crate` and `super`.
    fn visit_macro(&mut self, call: &'ast Macro) {
        visit::visit_macro(self, call);
        let text = call.tokens.to_string().replace(' ', "");
        for start in ["crate::", "super::"] {
            for (at, _) in text.match_indices(start) {
                let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
                let path: String = text[at..].chars().take_while(|c| is_part(*c)).collect();
                self.note(path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect());
            }
        }
    }
}

/// Whether an item is compiled for tests, models or fuzzing alone.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        let text = attribute.meta.require_list().map(|list| list.tokens.to_string()).unwrap_or_default();
        !text.starts_with("not") && ["test", "loom", "fuzz"].iter().any(|word| text.contains(word))
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// What is wrong in any of the crates, the circles that are known left out; and of these the ones that are gone.
pub(crate) fn all_faults(root: &FilePath) -> Vec<String> {
    let (mut faults, mut met) = (Vec::new(), BTreeSet::new());
    for layout in LAYOUTS {
        for (arrow, what) in self::faults(root, layout) {
            if KNOWN.contains(&(layout.src, &arrow)) {
                met.insert((layout.src, arrow));
            } else {
                faults.push(format!("{}: {arrow}: {what}", layout.src));
            }
        }
    }
    let gone = KNOWN.iter().filter(|(src, circle)| !met.contains(&(*src, (*circle).to_owned())));
    faults.extend(gone.map(|(src, circle)| format!("{src}: {circle} is no circle any more: take it off the list")));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout { src: "src", order: &["top", "middle", "low"] };

    /// What is wrong with a crate of these files.
    fn faults_of(layout: &Layout, files: &[(&str, &str)]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("src/low")).unwrap();
        for (name, text) in files {
            fs::write(dir.path().join("src").join(name), text).unwrap();
        }
        faults(dir.path(), layout).into_iter().map(|(arrow, what)| format!("{arrow}: {what}")).collect()
    }

    fn with(name: &'static str, text: &'static str) -> Vec<(&'static str, &'static str)> {
        let mut files = vec![
            ("lib.rs", "mod top; mod middle; mod low; pub use low::Low;"),
            ("top.rs", "use crate::{low::inner::Inner, middle};\npub fn top() { middle::middle(); }"),
            ("middle.rs", "pub fn middle() -> crate::low::Low { crate::low::Low }"),
            ("low.rs", "pub mod inner; pub struct Low; #[cfg(test)] mod tests { use crate::top::top; }"),
            ("low/inner.rs", "//! See [`crate::top`].\npub struct Inner;"),
        ];
        files.retain(|(other, _)| *other != name);
        files.push((name, text));
        files
    }

    #[test]
    fn whatever_names_what_is_below_it_is_right() {
        assert_eq!(faults_of(&LAYOUT, &with("top.rs", "use crate::middle::middle;")), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_that_points_up_is_found_however_it_is_written() {
        for text in [
            "use crate::top::top;",
            "use crate::{middle::middle, top::{self}};",
            "fn f() { crate::top::top(); }",
            "fn f() { super::super::top::top(); }",
            "fn f() { assert!(crate::top::top() == ()); }",
            "mod deep { use crate::top; }",
            "impl From<crate::top::T> for u8 {}",
        ] {
            let found = faults_of(&LAYOUT, &with("low/inner.rs", text));
            assert!(
                found.iter().any(|fault| fault.starts_with("low -> top: names what stands above")),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn an_import_through_the_root_is_found() {
        let found = faults_of(&LAYOUT, &with("middle.rs", "use crate::Low;"));
        assert_eq!(found, ["middle -> (root): takes crate::Low from the crate's root"]);
        let mut files = with("middle.rs", "use crate::Arc;");
        files.push(("lib.rs", "mod top; mod middle; mod low; pub use std::sync::Arc;"));
        assert_eq!(faults_of(&LAYOUT, &files), ["middle -> (root): takes crate::Arc from the crate's root"]);
    }

    #[test]
    fn a_circle_is_found_where_no_order_is_said() {
        let files = with("low/inner.rs", "use crate::middle::middle;");
        let found = faults_of(&Layout { src: "src", order: &[] }, &files);
        assert_eq!(found, ["low, middle: reach each other"]);
    }

    #[test]
    fn a_module_that_has_no_place_is_found() {
        let found = faults_of(&Layout { src: "src", order: &["top", "low"] }, &with("top.rs", "use crate::middle;"));
        assert!(found.iter().any(|fault| fault.contains("is not in the order")), "{found:?}");
    }
}
