//! What a command says while it works: one line per step, on stderr. Results go to stdout, elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A step under way. On a terminal it shows a spinner with the time spent; without one, a line at its start
/// and one at its end. Dropped unfinished it leaves its line as it stands, above the error that follows.
pub(crate) struct Step {
    title: String,
    started: Instant,
    spinner: ProgressBar,
}

impl Step {
    /// Starts a step that is silent itself.
    pub(crate) fn start(title: impl Into<String>) -> Self {
        let title = title.into();
        let spinner = ProgressBar::new_spinner();
        if spinner.is_hidden() {
            eprintln!("▸ {title}");
        } else {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}");
            spinner.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            spinner.set_message(title.clone());
            spinner.enable_steady_tick(Duration::from_millis(120));
        }
        Self { title, started: Instant::now(), spinner }
    }

    /// Starts a step whose tool shows its own progress.
    pub(crate) fn announce(title: impl Into<String>) -> Self {
        let title = title.into();
        eprintln!("▸ {title}");
        Self { title, started: Instant::now(), spinner: ProgressBar::hidden() }
    }

    /// Ends the step well, with an optional remark.
    pub(crate) fn done(self, remark: &str) {
        self.end('✓', remark);
    }

    /// Ends the step badly; the caller says why.
    pub(crate) fn failed(self) {
        self.end('✗', "failed");
    }

    /// Ends the step undone, and says why.
    pub(crate) fn skipped(self, reason: &str) {
        self.end('–', &format!("skipped: {reason}"));
    }

    fn end(&self, mark: char, remark: &str) {
        self.spinner.finish_and_clear();
        let separator = if remark.is_empty() { "" } else { ": " };
        eprintln!("{mark} {}{separator}{remark} ({:.1} s)", self.title, self.started.elapsed().as_secs_f64());
    }
}
