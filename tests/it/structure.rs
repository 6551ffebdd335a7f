//! Inside the crates: no file imports another that, by whatever way, imports it in turn; and in `copy` a folder imports only
//! what stands below it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::Visit;
use syn::{ItemMod, ItemUse, UseTree};

use crate::support::source_root;

type Module = Vec<String>;

const CRATES: [&str; 7] =
    ["protocol/src", "agent/src", "agent/blob/src", "agent/copy/src", "agent/drive/src", "agent/file/src", "agent/service/src"];

/// The folders and single files of `copy`, from the bottom up: each imports only from the lines above its own.
const COPY: [&[&str]; 13] = [
    &["error", "limits"],
    &["call"],
    &["flow"],
    &["chunk"],
    &["hashing"],
    &["record"],
    &["plan", "source"],
    &["rescue"],
    &["stage"],
    &["verify"],
    &["transfer"],
    &["import", "export"],
    &["lib"],
];

/// The parts of the service, and the other parts that each may import.
const SERVICE: [(&str, &[&str]); 16] = [
    ("router", &["api", "http", "portal", "state"]),
    ("api", &["http", "jobs", "state", "stations", "store", "tokens", "vault"]),
    ("portal", &["entra", "http", "jobs", "scheduler", "state", "store", "tokens"]),
    ("tokens", &["state", "store"]),
    ("state", &["http", "jobs", "scheduler", "stations", "store"]),
    ("jobs", &["scheduler", "store"]),
    ("stations", &["names", "scheduler", "store"]),
    ("http", &["entra", "store", "vault"]),
    ("scheduler", &["names", "notify", "store"]),
    ("notify", &["store"]),
    ("entra", &["store"]),
    ("store", &["moment", "vault"]),
    ("moment", &[]),
    ("names", &[]),
    ("vault", &[]),
    ("fuzzing", &["entra"]),
];

/// What a file names of its own crate.
struct Paths {
    module: Module,
    /// The modules that it declares.
    parts: BTreeSet<String>,
    found: BTreeSet<Module>,
}

impl Paths {
    fn add(&mut self, segments: &[String]) {
        let mut base = match segments.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self") => self.module.clone(),
            Some("super") => self.module[..self.module.len().saturating_sub(1)].to_vec(),
            Some(name) if self.parts.contains(name) => [&self.module[..], &[name.to_owned()]].concat(),
            _ => return,
        };
        let ups = segments[1..].iter().take_while(|segment| *segment == "super").count();
        base.truncate(base.len().saturating_sub(ups));
        base.extend(segments[1 + ups..].iter().cloned());
        self.found.insert(base);
    }

    fn add_tree(&mut self, before: &mut Vec<String>, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.add_tree(before, &path.tree);
                before.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|item| self.add_tree(before, item)),
            UseTree::Name(name) if name.ident == "self" => self.add(before),
            UseTree::Name(name) => self.add(&[&before[..], &[name.ident.to_string()]].concat()),
            UseTree::Rename(rename) => self.add(&[&before[..], &[rename.ident.to_string()]].concat()),
            UseTree::Glob(_) => self.add(before),
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_tree(&mut Vec::new(), &item.tree);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(&segments);
        syn::visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        // Unit tests may look at anything.
        if item.ident != "tests" {
            syn::visit::visit_item_mod(self, item);
        }
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.chain(folders.iter().filter(|folder| !folder.ends_with("tests")).flat_map(|folder| files_below(folder))).collect()
}

/// Each module of a crate that has a file of its own, and which others it imports.
fn imports(source: &Path) -> BTreeMap<Module, BTreeSet<Module>> {
    let files: BTreeMap<Module, PathBuf> = files_below(source)
        .into_iter()
        .map(|path| {
            let relative = path.strip_prefix(source).unwrap().with_extension("");
            let mut module: Module = relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if ["mod", "lib", "main"].contains(&module.last().unwrap().as_str()) {
                module.pop();
            }
            (module, path)
        })
        .filter(|(module, _)| module.last().is_none_or(|name| name != "tests"))
        .collect();
    let mut imports = BTreeMap::new();
    for (module, path) in &files {
        let file = syn::parse_file(&std::fs::read_to_string(path).unwrap()).unwrap();
        let parts = file.items.iter().filter_map(|item| match item {
            syn::Item::Mod(item) => Some(item.ident.to_string()),
            _ => None,
        });
        let mut paths = Paths { module: module.clone(), parts: parts.collect(), found: BTreeSet::new() };
        paths.visit_file(&file);
        let resolved = paths.found.iter().map(|found| {
            let known = (0..=found.len()).rev().map(|length| found[..length].to_vec()).find(|module| files.contains_key(module));
            known.unwrap_or_default()
        });
        imports.insert(module.clone(), resolved.filter(|other| other != module).collect::<BTreeSet<_>>());
    }
    imports
}

/// Modules from which one comes back to itself.
fn in_circles(imports: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<String> {
    let is_reached = |from: &Module| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(module) = next.pop() {
            for other in imports.get(module).into_iter().flatten() {
                if other == from {
                    return true;
                }
                if seen.insert(other) {
                    next.push(other);
                }
            }
        }
        false
    };
    imports.keys().filter(|module| is_reached(module)).map(|module| module.join("::")).collect()
}

#[test]
fn no_file_imports_itself_by_way_of_others() {
    for source in CRATES {
        let imports = imports(&source_root().join(source));
        assert!(imports.len() > 1, "{source} was not found");
        assert_eq!(in_circles(&imports), [""; 0], "{source}");
    }
}

/// The folder or the single file at the top of a crate that a module belongs to.
fn part_of(module: &Module) -> &str {
    module.first().map_or("lib", String::as_str)
}

/// Imports from one part of a crate into another that `may_import` forbids.
fn forbidden(source: &str, may_import: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (module, others) in imports(&source_root().join(source)) {
        for other in others.iter().filter(|other| part_of(other) != part_of(&module)) {
            if !may_import(part_of(&module), part_of(other)) {
                found.push(format!("{} imports {}", module.join("::"), other.join("::")));
            }
        }
    }
    found
}

#[test]
fn the_folders_of_the_engine_import_only_downwards() {
    let level = |name: &str| {
        let found = COPY.iter().position(|names| names.contains(&name));
        found.unwrap_or_else(|| panic!("`{name}` is in no line of the table"))
    };
    assert_eq!(forbidden("agent/copy/src", |part, other| level(other) < level(part)), [""; 0]);
}

#[test]
fn the_parts_of_the_service_import_only_what_the_table_says() {
    let table = BTreeMap::from(SERVICE);
    let may_import = |part: &str, other: &str| {
        // The crate's own page hands on what users of the crate need.
        part == "lib" || table.get(part).unwrap_or_else(|| panic!("`{part}` is in no line of the table")).contains(&other)
    };
    assert_eq!(forbidden("agent/service/src", may_import), [""; 0]);
}

#[test]
fn use_cases_know_no_http() {
    for path in files_below(&source_root().join("agent/service/src/jobs")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for word in ["axum", "hyper", "StatusCode", "HeaderMap"] {
            assert!(!text.contains(word), "{} names {word}", path.display());
        }
    }
}

#[test]
fn a_circle_would_be_found() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("lib.rs", "mod a; mod b; mod c;");
    write("a.rs", "use crate::b::B;");
    write("b.rs", "use super::c::{self, C}; use std::fmt;");
    write("c.rs", "fn f() { crate::a::g(); }");
    assert_eq!(in_circles(&imports(folder.path())), ["a", "b", "c"]);
    write("c.rs", "#[cfg(test)] mod tests { use crate::a::g; }");
    assert_eq!(in_circles(&imports(folder.path())), [""; 0]);
}
