//! The walls of the house: which crate may use which, no circle of modules inside one, statements in the store alone, files
//! that fit a few screens.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Crates of the workspace that ship, and the others of it that each may use.
const LAYERS: [(&str, &[&str]); 8] = [
    ("shared", &[]),
    ("edge-worker", &["shared"]),
    ("model", &["shared"]),
    ("analytics", &["shared", "model"]),
    ("store", &["shared", "model", "analytics"]),
    ("domain", &["shared", "model", "analytics", "store"]),
    ("web", &["shared", "model", "analytics", "store", "domain"]),
    ("control-api", &["shared", "model", "analytics", "store", "domain", "web"]),
];

/// Crates from outside that a layer must do without: its reader may rely on that.
const WITHOUT: [(&str, &[&str]); 5] = [
    ("model", &["sqlx", "axum", "tokio", "reqwest"]),
    ("analytics", &["sqlx", "axum", "tokio", "reqwest"]),
    ("store", &["axum", "reqwest"]),
    ("domain", &["axum", "sqlx", "reqwest"]),
    ("web", &["sqlx", "reqwest"]),
];

/// The longest file, in lines.
const MAX_LINES: usize = 400;

/// Files that are longer still; the list only ever shrinks.
const LONGER: [&str; 3] = ["it/attribution.rs", "it/concurrency.rs", "tests/src/stack.rs"];

/// Modules that are in circles still; the list only ever shrinks.
const IN_CIRCLES: [&str; 1] = ["openapi"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn folder(name: &str) -> PathBuf {
    match name {
        "shared" | "edge-worker" | "control-api" => root().join(name),
        inner => root().join("control-api").join(inner),
    }
}

#[test]
fn crates_use_what_stands_below_them_and_no_other() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(root());
    let metadata: Value = serde_json::from_slice(&metadata.output().unwrap().stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let members: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    for (name, allowed) in LAYERS {
        let package = packages.iter().find(|package| package["name"] == name).unwrap();
        let used: BTreeSet<&str> = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            // Tests may look at anything.
            .filter(|dependency| dependency["kind"] != "dev")
            .map(|dependency| dependency["name"].as_str().unwrap())
            .collect();
        let inner: BTreeSet<&str> = used.intersection(&members).copied().collect();
        let more: Vec<_> = inner.iter().filter(|used| !allowed.contains(used)).collect();
        assert!(more.is_empty(), "{name} must not use {more:?}");
        let banned = WITHOUT.iter().find(|(layer, _)| *layer == name).map(|(_, banned)| *banned).unwrap_or_default();
        let found: Vec<_> = banned.iter().filter(|banned| used.contains(*banned)).collect();
        assert!(found.is_empty(), "{name} must do without {found:?}");
    }
}

#[test]
fn statements_stand_in_the_store_alone() {
    for (name, _) in LAYERS.iter().filter(|(name, _)| *name != "store") {
        for (file, text) in sources(&folder(name).join("src")) {
            for statement in ["query!", "query_as!", "query_scalar!", "query_file", "sqlx::query", "raw_sql"] {
                assert!(!text.contains(statement), "{} has {statement}", file.display());
            }
        }
    }
}

#[test]
fn no_module_uses_one_that_uses_it() {
    for (name, _) in LAYERS {
        let mut circles = circles(&uses(&folder(name).join("src")));
        circles.retain(|circle| !IN_CIRCLES.iter().any(|module| circle.starts_with(module)));
        assert!(circles.is_empty(), "circles of modules in {name}: {circles:#?}");
    }
}

#[test]
fn files_fit_a_few_screens() {
    let mut seen = 0;
    let mut long = vec![];
    let more = ["tests", "xtask"].map(|name| root().join(name));
    let folders = LAYERS.iter().map(|(name, _)| folder(name)).chain(more);
    for (file, text) in folders.flat_map(|folder| sources(&folder)).collect::<BTreeSet<_>>() {
        seen += 1;
        let lines = text.lines().count();
        if lines > MAX_LINES && !LONGER.iter().any(|known| file.ends_with(known)) {
            long.push(format!("{lines} lines: {}", file.display()));
        }
    }
    assert!(seen > 200, "the sources are elsewhere: {seen}");
    assert_eq!(long, Vec::<String>::new());
}

/// Sources in Rust below a folder.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target" && name != "node_modules") {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

/// The modules of a crate that each of its modules names, `pub use` apart: handing on is not using.
fn uses(source: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let files: BTreeMap<String, String> = sources(source)
        .into_iter()
        .map(|(file, text)| {
            let path = file.strip_prefix(source).unwrap().with_extension("");
            let parts: Vec<_> = path.iter().map(|part| part.to_str().unwrap()).collect();
            let module = parts.join("::");
            let module = module.strip_suffix("::mod").unwrap_or(&module);
            (if module == "lib" { String::new() } else { module.to_owned() }, code(&text))
        })
        .collect();
    let mut uses = BTreeMap::new();
    for (module, text) in &files {
        let mut named = BTreeSet::new();
        for path in paths(text) {
            if let Some(target) = resolve(module, &path, &files)
                && target != *module
                && !target.is_empty()
            {
                named.insert(target);
            }
        }
        uses.insert(module.clone(), named);
    }
    uses
}

/// A source without its comments, texts and tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut code = String::new();
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default();
        // Every second piece between quotes is a text.
        code.extend(line.split('"').step_by(2));
        code.push('\n');
    }
    code
}

/// Paths that a source names, `use` declarations spelled out.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut paths = vec![];
    let mut rest = code;
    let mut others = String::new();
    while let Some(at) = rest.find("use ") {
        let before = &rest[..at];
        let begins = before.trim_end_matches(' ').is_empty() || before.ends_with('\n') || before.ends_with(") ");
        let handed_on = before.ends_with("pub ") || before.lines().last().is_some_and(|line| line.contains("pub("));
        others.push_str(before);
        let Some(end) = rest[at..].find(';') else { break };
        if begins && !handed_on {
            spell_out(&[], &rest[at + 4..at + end], &mut paths);
        }
        rest = &rest[at + end..];
    }
    others.push_str(rest);
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    for word in others.split(|c| !is_path(c)).filter(|word| word.contains("::")) {
        paths.push(word.split("::").map(str::to_owned).collect());
    }
    paths
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d` and `a::c::e`.
fn spell_out(prefix: &[String], tree: &str, paths: &mut Vec<Vec<String>>) {
    let (mut depth, mut begin) = (0, 0);
    let mut parts = vec![];
    for (at, c) in tree.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&tree[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tree[begin..]);
    for part in parts.into_iter().map(str::trim).filter(|part| !part.is_empty()) {
        let mut path = prefix.to_vec();
        let (plain, inner) = match part.split_once('{') {
            Some((plain, inner)) => (plain, inner.strip_suffix('}')),
            None => (part.split(" as ").next().unwrap_or_default(), None),
        };
        path.extend(plain.split("::").filter(|name| !name.is_empty()).map(|name| name.trim().to_owned()));
        match inner {
            Some(inner) => spell_out(&path, inner, paths),
            None => paths.push(path),
        }
    }
}

/// The module that holds what a path names, if it is one of these.
fn resolve(module: &str, path: &[String], modules: &BTreeMap<String, String>) -> Option<String> {
    let mut base: Vec<&str> = module.split("::").filter(|name| !name.is_empty()).collect();
    let mut rest = path;
    match rest.first()?.as_str() {
        "crate" => {
            base.clear();
            rest = &rest[1..];
        }
        "super" | "self" => {
            while let Some((first, others)) = rest.split_first() {
                match first.as_str() {
                    "super" => drop(base.pop()),
                    "self" => {}
                    _ => break,
                }
                rest = others;
            }
        }
        child => {
            let own: Vec<&str> = base.iter().copied().chain([child]).collect();
            if !modules.contains_key(&own.join("::")) {
                return None;
            }
        }
    }
    base.extend(rest.iter().map(String::as_str));
    (0..=base.len()).rev().map(|length| base[..length].join("::")).find(|name| modules.contains_key(name))
}

/// Modules that reach themselves, each with the first step of its way.
fn circles(uses: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let reaches = |from: &str, to: &str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(module) = open.pop() {
            if module == to {
                return true;
            }
            if seen.insert(module) {
                open.extend(uses.get(module).into_iter().flatten().map(String::as_str));
            }
        }
        false
    };
    let steps = uses.iter().flat_map(|(from, used)| used.iter().map(move |to| (from, to)));
    steps.filter(|(from, to)| reaches(to, from)).map(|(from, to)| format!("{from} -> {to}")).collect()
}

#[test]
fn circles_are_found() {
    let paths: Vec<_> =
        paths(&code("use crate::a::{self, b::C, d as e};\npub use x::Y;\n fn f() { super::g::h() } // c::d"))
            .into_iter()
            .map(|path| path.join("::"))
            .collect();
    assert_eq!(paths, ["crate::a::self", "crate::a::b::C", "crate::a::d", "super::g::h"]);
    let uses = |list: &[(&str, &[&str])]| {
        let texts = |used: &&[&str]| used.iter().map(|&name| name.to_owned()).collect();
        list.iter().map(|(from, used)| ((*from).to_owned(), texts(used))).collect()
    };
    assert!(circles(&uses(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])])).is_empty());
    assert_eq!(circles(&uses(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"])])).len(), 3);
}
