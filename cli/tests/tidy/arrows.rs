//! Which modules of a crate name which. Each folder may use any that stands below it in the crate's row, and no two
//! modules may reach each other. Not found: calls through traits and closures, and of a method that shares its name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path as FilePath,
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, ExprMethodCall, ExprPath, File, Ident, ImplItem, Item, ItemImpl, Macro, Meta, Path, Signature, Token,
    Type, UseTree, Visibility,
    ext::IdentExt,
    punctuated::Punctuated,
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
    Layout { src: "logtail/core/src", order: &[] },
    Layout { src: "logtail/objects/src", order: &[] },
    Layout { src: "cli/src", order: &[] },
];

/// Circles that there are, each to be opened. One that is gone must be taken off the list.
pub(crate) const KNOWN: &[(&str, &str)] = &[];

/// Configurations and features of code that is not shipped, which names whatever it tests.
const OF_TESTS: &[&str] = &["test", "loom", "fuzz"];

/// One module naming another, and the names that it takes from it.
pub(crate) type Arrows = BTreeMap<(String, String), BTreeSet<String>>;

/// What is wrong with the crate's imports: each fault with the arrow it is about, as `from -> to`.
pub(crate) fn faults(root: &FilePath, layout: &Layout) -> Vec<(String, String)> {
    let modules = Modules::load(&root.join(layout.src));
    let (arrows, mut faults) = modules.arrows();
    if !layout.order.is_empty() {
        faults.extend(misplaced(&modules.top_level(), layout.order));
        faults.extend(against(&arrows, layout.order));
    }
    faults.extend(circles(&arrows).into_iter().map(|circle| {
        let of = circle.join(", ");
        (of.clone(), "reach each other".to_owned())
    }));
    faults
}

/// Modules without a place in the order, and places without a module.
fn misplaced(modules: &BTreeSet<&str>, order: &[&str]) -> Vec<(String, String)> {
    let placeless = modules.iter().filter(|module| !order.contains(module));
    let gone = order.iter().filter(|place| !modules.contains(*place));
    let faults = placeless.map(|module| (*module, "is not in the order of the crate's folders"));
    let faults = faults.chain(gone.map(|place| (*place, "is in the order of the crate's folders, and is no module")));
    faults.map(|(module, what)| (module.to_owned(), what.to_owned())).collect()
}

/// The arrows that do not lead down.
fn against(arrows: &Arrows, order: &[&str]) -> Vec<(String, String)> {
    let place = |name: &str| order.iter().position(|other| *other == name);
    let up = arrows.iter().filter(|((from, to), _)| match (place(from), place(to)) {
        (Some(from), Some(to)) => from > to,
        _ => false, // Reported as misplaced.
    });
    up.map(|((from, to), names)| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        (format!("{from} -> {to}"), format!("names what stands above it: {}", names.join(", ")))
    })
    .collect()
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

/// The modules that a path leads through, re-exports followed: the last one defines what it names.
#[derive(Default)]
struct Trail {
    modules: Vec<Vec<String>>,
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
                    let relative = path.strip_prefix(src).expect("the walk stays below src");
                    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    modules.insert(module_path(relative), Module::of(file));
                }
            }
        }
        assert!(modules.len() > 3, "{} has no modules", src.display());
        let mut modules = Self(modules);
        modules.leave_out_tests();
        modules
    }

    /// Leaves out the modules that are declared for tests, with all below them.
    fn leave_out_tests(&mut self) {
        let mut left_out = Vec::new();
        for (path, module) in &self.0 {
            left_out.extend(is_test(&module.file.attrs).then(|| path.clone()));
            let declared = module.file.items.iter().filter_map(|item| match item {
                Item::Mod(item) if is_test(&item.attrs) => Some(name_of(&item.ident)),
                _ => None,
            });
            left_out.extend(declared.map(|child| [&path[..], &[child]].concat()));
        }
        self.0.retain(|path, _| !left_out.iter().any(|above| path.starts_with(above)));
    }

    /// The names of the modules below the root.
    fn top_level(&self) -> BTreeSet<&str> {
        self.0.keys().filter_map(|path| path.first()).map(String::as_str).collect()
    }

    /// The arrows between top-level modules, and what is wrong with single imports.
    pub(crate) fn arrows(&self) -> (Arrows, Vec<(String, String)>) {
        let (mut arrows, mut faults) = (Arrows::new(), Vec::new());
        let named: Vec<Named> = self.0.iter().map(|(name, module)| Named::of(name, &module.file)).collect();
        let mut add = |from: &String, to: &String, what: String| {
            if from != to {
                arrows.entry((from.clone(), to.clone())).or_default().insert(what);
            }
        };
        for Named { module, paths, hidden, .. } in &named {
            faults.extend(hidden.iter().map(|what| (at(module), what.clone())));
            for (here, path) in paths {
                let Some(from) = here.first() else { continue };
                let trail = self.trail(here, path, 0);
                if trail.by_root {
                    let what = format!("takes {} from the crate's root", path.join("::"));
                    faults.push((format!("{} -> (root)", at(module)), what));
                }
                trail.modules.iter().filter_map(|to| to.first()).for_each(|to| add(from, to, path.join("::")));
            }
        }
        let methods = self.methods(&named);
        for Named { module, calls, .. } in &named {
            for (call, to) in calls.iter().filter_map(|call| methods.get_key_value(&**call)) {
                module.first().into_iter().for_each(|from| add(from, to, format!("{call}()")));
            }
        }
        (arrows, faults)
    }

    /// The methods that a folder adds to types of other folders, for any module to call: by name, with the folder. Left
    /// out are names that several functions have, as a call does not say which it calls.
    fn methods<'n>(&self, named: &'n [Named]) -> BTreeMap<&'n str, &'n String> {
        let mut count = BTreeMap::<&str, usize>::new();
        named.iter().flat_map(|named| &named.functions).for_each(|name| *count.entry(name).or_default() += 1);
        let mut methods = BTreeMap::new();
        for Named { module, methods: defined, .. } in named {
            let unique = defined.iter().filter(|(_, name)| count[&**name] == 1);
            for (of, name) in unique {
                let imported = self.0.get(module).and_then(|module| module.exports.get(of));
                let trail = imported.map(|path| self.trail(module, path, 0)).unwrap_or_default();
                if let (Some(folder), Some(of)) = (module.first(), trail.modules.last())
                    && of.first() != Some(folder)
                {
                    methods.insert(&**name, folder);
                }
            }
        }
        methods
    }

    /// Where a path from `here` leads; nowhere if it is not of this crate.
    fn trail(&self, here: &[String], path: &[String], depth: usize) -> Trail {
        let Some((mut at, rest)) = self.begin(here, path) else { return Trail::default() };
        for (nth, segment) in rest.iter().enumerate() {
            let child = [&at[..], std::slice::from_ref(segment)].concat();
            if self.0.contains_key(&child) {
                at = child;
                continue;
            }
            let exported = self.0.get(&at).filter(|module| !module.items.contains(segment));
            let exported = exported.and_then(|module| module.exports.get(segment)).filter(|_| depth < 8);
            let onward = exported.map(|exported| [&exported[..], &rest[nth + 1..]].concat());
            let onward = onward.map(|onward| self.trail(&at, &onward, depth + 1)).unwrap_or_default();
            return Trail { by_root: at.is_empty() || onward.by_root, modules: [&[at], &onward.modules[..]].concat() };
        }
        Trail { by_root: at.is_empty(), modules: vec![at] }
    }

    /// The module that the path begins in, and what is left of the path.
    fn begin<'p>(&self, here: &[String], path: &'p [String]) -> Option<(Vec<String>, &'p [String])> {
        match path.first()?.as_str() {
            "crate" => Some((Vec::new(), &path[1..])),
            "self" | "super" => {
                let rest = path.strip_prefix(&["self".to_owned()]).unwrap_or(path);
                let ups = rest.iter().take_while(|part| *part == "super").count();
                Some((here[..here.len().saturating_sub(ups)].to_vec(), &rest[ups..]))
            }
            // A child, as paths are relative to where they stand.
            first => {
                let child = [here, &[first.to_owned()]].concat();
                self.0.contains_key(&child).then(|| (here.to_vec(), path))
            }
        }
    }
}

/// The path of the module in a file, given from `src` on.
fn module_path(file: &FilePath) -> Vec<String> {
    let mut path: Vec<String> =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let last = path.last().map(String::as_str);
    if last == Some("mod") || (path.len() == 1 && matches!(last, Some("lib" | "main"))) {
        path.pop();
    }
    path
}

/// A module, as it is printed.
fn at(path: &[String]) -> String {
    if path.is_empty() { "(root)".to_owned() } else { path.join("::") }
}

fn name_of(ident: &Ident) -> String {
    ident.unraw().to_string()
}

impl Module {
    fn of(file: File) -> Self {
        let (mut items, mut exports) = (BTreeSet::new(), BTreeMap::new());
        for item in &file.items {
            match item {
                Item::Const(item) => drop(items.insert(name_of(&item.ident))),
                Item::Enum(item) => drop(items.insert(name_of(&item.ident))),
                Item::Fn(item) => drop(items.insert(name_of(&item.sig.ident))),
                Item::Static(item) => drop(items.insert(name_of(&item.ident))),
                Item::Struct(item) => drop(items.insert(name_of(&item.ident))),
                Item::Trait(item) => drop(items.insert(name_of(&item.ident))),
                Item::Type(item) => drop(items.insert(name_of(&item.ident))),
                Item::Union(item) => drop(items.insert(name_of(&item.ident))),
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
    let whole = |ident: &Ident, before: &[String]| match ident == "self" {
        true => before.to_vec(),
        false => [before, &[name_of(ident)]].concat(),
    };
    match tree {
        UseTree::Path(path) => {
            before.push(name_of(&path.ident));
            leaves(&path.tree, before, each);
            before.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, before, each)),
        UseTree::Name(name) => {
            let path = whole(&name.ident, before);
            let last = path.last().cloned().unwrap_or_default();
            each(path, last);
        }
        UseTree::Rename(rename) => each(whole(&rename.ident, before), name_of(&rename.rename)),
        UseTree::Glob(_) => each(before.clone(), "*".to_owned()),
    }
}

/// Gathers what shipped code of a module names.
#[derive(Default)]
struct Named {
    module: Vec<String>,
    /// The module, or one within its file.
    here: Vec<String>,
    /// Paths, each with where it stands.
    paths: Vec<(Vec<String>, Vec<String>)>,
    /// Functions and methods that are defined.
    functions: Vec<String>,
    /// Those methods of inherent `impl`s that are not private, each with its type.
    methods: Vec<(String, String)>,
    /// Methods that are called, and last parts of paths in expressions.
    calls: BTreeSet<String>,
    /// What makes other names of the crate's own than paths do.
    hidden: Vec<String>,
}

impl Named {
    fn of(module: &[String], file: &File) -> Self {
        let mut named = Self { module: module.to_vec(), here: module.to_vec(), ..Self::default() };
        named.visit_file(file);
        named
    }

    fn note(&mut self, path: Vec<String>) {
        self.paths.push((self.here.clone(), path));
    }

    /// Notes the methods of an `impl` that are not private.
    fn note_methods(&mut self, item: &ItemImpl) {
        let Type::Path(of) = &*item.self_ty else { return };
        let Some(of) = of.path.segments.last().map(|segment| name_of(&segment.ident)) else { return };
        let methods = item.items.iter().filter_map(|item| match item {
            ImplItem::Fn(method) if !matches!(method.vis, Visibility::Inherited) => Some(&method.sig.ident),
            _ => None,
        });
        self.methods.extend(methods.map(|method| (of.clone(), name_of(method))));
    }

    /// Notes the paths among tokens that begin with `crate` and `super`, and those of groups within them.
    fn note_tokens(&mut self, tokens: TokenStream, before: &[String]) {
        let is_colon = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(one)) if one.as_char() == ':');
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            let TokenTree::Ident(ident) = token else {
                if let TokenTree::Group(group) = token {
                    self.note_tokens(group.stream(), &[]);
                }
                continue;
            };
            if before.is_empty() && !["crate", "self", "super"].iter().any(|first| ident == first) {
                continue;
            }
            let mut path = [before, &[name_of(ident)]].concat();
            while is_colon(tokens.get(at)) && is_colon(tokens.get(at + 1)) {
                match tokens.get(at + 2) {
                    Some(TokenTree::Ident(ident)) => path.push(name_of(ident)),
                    Some(TokenTree::Group(group)) => self.note_tokens(group.stream(), &path),
                    _ => break,
                }
                at += 3;
            }
            if path.len() > 1 {
                self.note(path);
            }
        }
    }

    /// Notes the paths that an attribute has in strings.
    fn note_strings(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.note_strings(group.stream()),
                TokenTree::Literal(literal) => {
                    let path = syn::parse_str(&literal.to_string()).and_then(|text: syn::LitStr| text.parse::<Path>());
                    path.iter().for_each(|path| self.visit_path(path));
                }
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Named {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_test(attributes(item)) {
            return;
        }
        match item {
            Item::Mod(inner) if inner.content.is_some() => {
                self.here.push(name_of(&inner.ident));
                visit::visit_item(self, item);
                self.here.pop();
                return;
            }
            Item::Impl(item) if item.trait_.is_none() => self.note_methods(item),
            Item::ExternCrate(item) if item.ident == "self" => {
                self.hidden.push("gives the crate another name: extern crate self".to_owned());
            }
            _ => {}
        }
        visit::visit_item(self, item);
    }

    /// A visibility names a module that it is in.
    fn visit_visibility(&mut self, _visibility: &'ast Visibility) {}

    fn visit_use_tree(&mut self, tree: &'ast UseTree) {
        leaves(tree, &mut Vec::new(), &mut |path, _| self.note(path));
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if path.segments.len() > 1 {
            self.note(path.segments.iter().map(|segment| name_of(&segment.ident)).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_signature(&mut self, signature: &'ast Signature) {
        self.functions.push(name_of(&signature.ident));
        visit::visit_signature(self, signature);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        self.calls.insert(name_of(&call.method));
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_path(&mut self, path: &'ast ExprPath) {
        let parts = &path.path.segments;
        self.calls.extend(parts.last().filter(|_| parts.len() > 1).map(|last| name_of(&last.ident)));
        visit::visit_expr_path(self, path);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let text = match &attribute.meta {
            Meta::List(list) => list.tokens.to_string(),
            _ => String::new(),
        };
        for hides in ["path", "macro_use"] {
            let conditional = attribute.path().is_ident("cfg_attr") && text.split([' ', ',']).any(|word| word == hides);
            if attribute.path().is_ident(hides) || conditional {
                self.hidden.push(format!("hides who names whom: #[{hides}]"));
            }
        }
        if let Meta::List(list) = &attribute.meta {
            self.note_strings(list.tokens.clone());
        }
        visit::visit_attribute(self, attribute);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        if call.path.is_ident("include") {
            self.hidden.push("hides who names whom: include!".to_owned());
        }
        visit::visit_macro(self, call);
    }

    fn visit_token_stream(&mut self, tokens: &'ast TokenStream) {
        self.note_tokens(tokens.clone(), &[]);
    }
}

/// Whether an item is compiled for tests, models or fuzzing alone.
fn is_test(attributes: &[Attribute]) -> bool {
    let conditions = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    conditions.filter_map(|attribute| attribute.parse_args::<Meta>().ok()).any(|condition| needs_tests(&condition))
}

/// Whether a condition holds for tests, models or fuzzing alone.
fn needs_tests(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => OF_TESTS.iter().any(|word| path.is_ident(word)),
        Meta::NameValue(pair) => match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(feature), .. }) => OF_TESTS.contains(&&*feature.value()),
            _ => false,
        },
        Meta::List(list) => {
            let inner = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).unwrap_or_default();
            let mut inner = inner.iter();
            match () {
                () if list.path.is_ident("all") => inner.any(needs_tests),
                () if list.path.is_ident("any") => inner.all(needs_tests),
                () => false,
            }
        }
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
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
            "use crate::top::*;",
            "use crate::top::{self as other};",
            "use super::super::{top as other};",
            "use self::super::super::top::top;",
            "use crate::r#top::top;",
            "mod deep { use super::super::super::top::top; }",
            "fn f() { <u8 as crate::top::T>::f(); }",
            "pub(crate) use crate::top::top as lower;",
            "macro_rules! m { () => { $crate::top::top() } }",
            "macro_rules! m { () => { use crate::{middle, top::{top}}; } }",
            "#[derive(crate::top::Derive)] struct S;",
            "#[serde(with = \"crate::top\")] struct S;",
            "#[cfg(all(not(test), unix))] use crate::top::top;",
            "#[cfg(any(test, unix))] use crate::top::top;",
            "#[cfg(feature = \"latest\")] use crate::top::top;",
            "fn f() { if true { use crate::top::top; } }",
        ] {
            let found = faults_of(&LAYOUT, &with("low/inner.rs", text));
            assert!(
                found.iter().any(|fault| fault.starts_with("low -> top: names what stands above")),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn what_is_for_tests_alone_names_what_it_tests() {
        for text in [
            "#[cfg(test)] use crate::top::top;",
            "#[cfg(all(loom, test))] mod deep { use crate::top::top; }",
            "#[cfg(any(test, feature = \"fuzz\"))] use crate::top::top;",
            "#![cfg(test)] use crate::top::top;",
            "#[cfg(test)] macro_rules! m { () => { crate::top::top() } }",
            "macro_rules! m { () => { #[doc = \"crate::top::top\"] struct S; } }",
        ] {
            assert_eq!(faults_of(&LAYOUT, &with("low/inner.rs", text)), Vec::<String>::new(), "{text}");
        }
        let mut files = with("low.rs", "pub mod inner; pub struct Low; #[cfg(test)] mod tests;");
        files.push(("low/tests.rs", "use crate::top::top;"));
        assert_eq!(faults_of(&LAYOUT, &files), Vec::<String>::new());
        files.push(("low.rs", "pub mod inner; pub struct Low; mod tests;"));
        assert_eq!(faults_of(&LAYOUT, &files)[..1], ["low -> top: names what stands above it: crate::top::top"]);
    }

    #[test]
    fn a_re_export_that_stands_above_is_an_arrow_up() {
        let mut files = with("middle.rs", "pub use crate::low::Low;");
        files.push(("low/inner.rs", "use crate::middle::Low;"));
        assert_eq!(faults_of(&LAYOUT, &files)[..1], ["low -> middle: names what stands above it: crate::middle::Low"]);
        files.push(("middle.rs", "pub use crate::low::*;"));
        assert_eq!(faults_of(&LAYOUT, &files)[..1], ["low -> middle: names what stands above it: crate::middle::Low"]);
    }

    #[test]
    fn a_call_of_a_method_that_an_upper_folder_adds_is_an_arrow_up() {
        let top = "use crate::low::Low;\nimpl Low { pub(crate) fn climb(&self) {} fn own(&self) {} }";
        let mut files = with("top.rs", top);
        files.push(("low/inner.rs", "fn f(low: super::Low) { low.climb(); low.own(); }"));
        assert_eq!(faults_of(&LAYOUT, &files)[..1], ["low -> top: names what stands above it: climb()"]);
        files.push(("low/inner.rs", "fn f(low: super::Low) { super::Low::climb(&low); }"));
        assert_eq!(faults_of(&LAYOUT, &files)[..1], ["low -> top: names what stands above it: climb()"]);
        files.push(("middle.rs", "struct Other; impl Other { fn climb(&self) {} }"));
        assert_eq!(faults_of(&LAYOUT, &files), Vec::<String>::new(), "one of two methods");
    }

    #[test]
    fn what_hides_arrows_is_found() {
        for (text, what) in [
            ("#[path = \"../top.rs\"] mod other;", "middle: hides who names whom: #[path]"),
            ("#[cfg_attr(unix, path = \"../top.rs\")] mod other;", "middle: hides who names whom: #[path]"),
            ("#[macro_use] mod other {}", "middle: hides who names whom: #[macro_use]"),
            ("include!(\"top.rs\");", "middle: hides who names whom: include!"),
            ("extern crate self as own;", "middle: gives the crate another name: extern crate self"),
            ("use crate::*;", "middle -> (root): takes crate from the crate's root"),
            ("use super::*;", "middle -> (root): takes super from the crate's root"),
            ("use crate as root;", "middle -> (root): takes crate from the crate's root"),
            ("use crate::{self as root};", "middle -> (root): takes crate from the crate's root"),
        ] {
            assert_eq!(faults_of(&LAYOUT, &with("middle.rs", text)), [what], "{text}");
        }
        let files = with("lib.rs", "extern crate self as own; #[macro_use] mod top; mod middle; mod low;");
        assert_eq!(faults_of(&LAYOUT, &files).len(), 2, "in the root as well");
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
        let found = faults_of(&Layout { src: "src", order: &["top", "low"] }, &with("top.rs", ""));
        assert_eq!(found, ["middle: is not in the order of the crate's folders"]);
        let mut files = with("top.rs", "");
        files.push(("other.rs", ""));
        assert_eq!(faults_of(&LAYOUT, &files), ["other: is not in the order of the crate's folders"]);
        let found = faults_of(&Layout { src: "src", order: &["top", "middle", "low", "gone"] }, &with("top.rs", ""));
        assert_eq!(found, ["gone: is in the order of the crate's folders, and is no module"]);
    }

    #[test]
    fn a_folder_with_a_mod_file_is_one_module() {
        let mut files = with("lib.rs", "mod top; mod middle; mod low;");
        files.retain(|(name, _)| *name != "low.rs");
        files.push(("low/mod.rs", "pub mod inner; pub struct Low; use super::top::top;"));
        assert_eq!(faults_of(&LAYOUT, &files)[..1], ["low -> top: names what stands above it: super::top::top"]);
    }
}
