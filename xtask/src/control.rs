//! control-api as a service of this machine: what it is told in any case, and how it becomes ready.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use nix::sys::signal::Signal;
use reqwest::Url;
use tokio::process::Command;

use crate::{context::Context, process, secrets::Secrets, service::Service};

/// One control-api, to be started, and started again, at the same place.
pub(crate) struct Control<'a> {
    pub(crate) context: &'a Context,
    pub(crate) binary: &'a Path,
    pub(crate) secrets: &'a Secrets,
    pub(crate) database_url: String,
    pub(crate) port: u16,
    /// A folder for exports, made where it is missing.
    pub(crate) exports: PathBuf,
    /// Its log, below `.nimriz/logs`.
    pub(crate) log: &'static str,
    /// Further settings: name and value.
    pub(crate) settings: Vec<(&'static str, String)>,
}

impl Control<'_> {
    /// Where it answers.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Applies the migrations.
    pub(crate) async fn migrate(&self) -> anyhow::Result<()> {
        process::output(self.command("migrate")?).await?;
        Ok(())
    }

    /// Starts it and waits until it answers.
    pub(crate) async fn start(&self) -> anyhow::Result<Service> {
        let log = self.context.state("logs")?.join(self.log);
        std::fs::create_dir_all(log.parent().unwrap_or(&log))?;
        let mut service = Service::start("the control API", self.command("serve")?, log, Signal::SIGTERM)?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let readiness = format!("{}/readyz", self.url());
        let ready = || async { http.get(&readiness).send().await.is_ok_and(|answer| answer.status().is_success()) };
        service.until(Duration::from_secs(30), ready).await?;
        Ok(service)
    }

    fn command(&self, does: &str) -> anyhow::Result<Command> {
        std::fs::create_dir_all(&self.exports)?;
        let exports = Url::from_directory_path(&self.exports).ok().context("the checkout's path is not absolute")?;
        let mut command = Command::new(self.binary);
        command
            .current_dir(&self.context.root)
            .arg(does)
            .env("DATABASE_URL", &self.database_url)
            .env("NIM_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("NIM_OPERATOR_KEY", &self.secrets.operator_key)
            .env("NIM_DATA_KEYS", &self.secrets.data_keys)
            .env("TOKEN_SECRETS", &self.secrets.token_secrets)
            .env("EDGE_SECRETS", &self.secrets.edge_secrets)
            .env("NIM_EXPORT_URL", exports.as_str())
            .envs(self.settings.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}
