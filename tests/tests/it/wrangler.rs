//! The same worker under the tool that deploys it.

use std::{path::Path, process::Stdio, time::Duration};

use tests::{Edge, Options, Stack, eventually};
use tokio::process::Command;

/// wrangler and the processes it starts; they end together.
struct Group(u32);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill").args(["-TERM", "--", &format!("-{}", self.0)]).status();
    }
}

/// `wrangler dev` serves the worker with the bindings of `wrangler.toml`: a link that the centre knows
/// redirects on the first visit, by a fill, because this worker's own store is still empty.
#[tokio::test]
async fn wrangler_dev_serves_the_worker() {
    let stack = Stack::with(Options { edge: Edge::Absent }).await;
    let team = stack.team().await;
    let (host, _) = team.campaign().await;

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = std::env::temp_dir().join(format!("wrangler-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let secrets = folder.join("secrets.env");
    std::fs::write(&secrets, stack.edge_environment()).expect("secrets");
    let port = tests::free_port().to_string();
    let wrangler = Command::new(std::env::var("NIM_NODE").expect("NIM_NODE"))
        .arg(root.join("node_modules/wrangler/bin/wrangler.js"))
        .args([
            "dev",
            "--port",
            &port,
            "--ip",
            "127.0.0.1",
            "--inspector-port",
            "0",
            "--show-interactive-dev-session=false",
        ])
        .args(["--var", &format!("CONTROL_API_URL:{}", stack.api_url), "--persist-to"])
        .arg(&folder)
        .arg("--env-file")
        .arg(&secrets)
        .current_dir(&root)
        .env("WRANGLER_SEND_METRICS", "false")
        // Of its own, so that no other development session on this machine is met there.
        .env("WRANGLER_REGISTRY_PATH", &folder)
        .env("CI", "true")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(if std::env::var_os("NIM_LOG").is_some() { Stdio::inherit() } else { Stdio::null() })
        .process_group(0)
        .spawn()
        .expect("wrangler starts");
    let _group = Group(wrangler.id().expect("it runs"));
    let url = format!("http://127.0.0.1:{port}/nomura");
    let location = eventually("wrangler dev to redirect", || async {
        let request =
            stack.http.get(&url).header("host", &host).header("user-agent", "Mozilla/5.0 (iPhone) Safari/604.1");
        let answer = request.timeout(Duration::from_secs(30)).send().await.ok()?;
        let location = answer.headers().get("location")?.to_str().ok()?.to_owned();
        (answer.status() == 302).then_some(location)
    })
    .await;
    assert!(location.starts_with("https://shop.example.com/?a=1&nim_ct="), "{location}");
    team.traffic_of(1).await;
}
