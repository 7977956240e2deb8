//! What the documents show is what happens: the quick start and the signing samples of docs/QUICKSTART.md, run as a reader
//! would run them.

use std::{env, io::Write as _, path::PathBuf};

use tests::{Edge, Options, Stack};
use tokio::process::Command;

/// The quick start, from workspace to report, as one would paste it into a shell.
#[tokio::test]
async fn the_quick_start_ends_in_a_report() {
    let programs = ["bash", "curl", "openssl"];
    if let Some(missing) = programs.into_iter().find(|program| find(program).is_none()) {
        return skip("quick start", missing);
    }
    let stack = Stack::start().await;
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", quick_start()]).kill_on_drop(true);
    shell.env("api", &stack.api_url).env("edge", &stack.edge_url).env("operator_key", stack.operator_key());
    // Neither a proxy nor the reader's own settings of curl.
    shell.env("no_proxy", "*").env("CURL_HOME", "/nonexistent");
    let output = shell.output().await.expect("bash runs");
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    for shown in [
        r#""status":"accepted""#,
        r#""label":"Nomura Travels""#,
        r#""net_minor":4999"#,
        // 10 % of it, half-even.
        r#""estimated_reward":[{"currency":"USD","amount_minor":500}]"#,
    ] {
        assert!(said.contains(shown), "{shown} is missing in\n{said}\n{complained}");
    }
    let file = said.lines().rev().find(|line| line.starts_with("prt_"));
    assert!(file.is_some_and(|row| row.contains("Nomura Travels")), "no row of CSV in\n{said}");
}

/// The block that is marked so.
fn quick_start() -> &'static str {
    let document = include_str!("../../../docs/QUICKSTART.md");
    let (_, rest) = document.split_once("\n```sh quick-start\n").expect("the block");
    rest.split_once("\n```").expect("the end of the block").0
}

/// Each sample sends a signed event that is accepted.
#[tokio::test]
async fn signing_samples_are_accepted() {
    let stack = Stack::with(Options { edge: Edge::Absent }).await;
    let team = stack.team().await;
    let samples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/samples");
    let node = env::var_os("NIM_NODE").map_or_else(|| "node".into(), PathBuf::from);
    let interpreters: [(&str, &str, PathBuf, &[&str]); 5] = [
        ("Node", "sign.mjs", node, &[]),
        ("Python", "sign.py", "python3".into(), &[]),
        ("PHP", "sign.php", "php".into(), &[]),
        ("Ruby", "sign.rb", "ruby".into(), &[]),
        ("Go", "sign.go", "go".into(), &["run"]),
    ];
    let mut commands = vec![("Rust", Command::new(compiled_sample()))];
    for (language, file, interpreter, arguments) in interpreters {
        let Some(program) = find(&interpreter.to_string_lossy()) else {
            skip(&format!("signing sample in {language}"), &interpreter.to_string_lossy());
            continue;
        };
        let mut command = Command::new(program);
        command.args(arguments).arg(samples.join(file));
        commands.push((language, command));
    }
    for (language, mut command) in commands {
        let source = team.source().await;
        command.env("NIM_API_URL", &stack.api_url).env("NIM_SOURCE_ID", &source.id);
        command.env("NIM_SOURCE_SECRET", source.secret.reveal()).env("no_proxy", "*").kill_on_drop(true);
        let output = command.output().await.expect("the sample runs");
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.contains(r#""status":"accepted""#), "{language}: {said}\n{complained}");
    }
}

/// The sample in Rust, which cargo builds with the tests.
fn compiled_sample() -> PathBuf {
    let test = env::current_exe().expect("the test's own path");
    let sample = test.ancestors().nth(2).expect("the build folder").join("examples/sign");
    assert!(sample.is_file(), "{} is missing: `cargo build --package tests --examples`", sample.display());
    sample
}

/// A program by its path, or by its name on PATH.
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Says so past the capture of the test's output.
fn skip(what: &str, missing: &str) {
    writeln!(std::io::stderr(), "{what} skipped: no {missing}").expect("stderr takes a line");
}
