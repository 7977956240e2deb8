//! Clicks of a history: their reports against the model, and their files against the reports.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{History, add_up, click_key, label, range, table, text, written};

pub async fn is_as_expected(history: &History) {
    for (group, bots) in
        [("partner", "all"), ("program", "human"), ("link", "bot"), ("trigger", "all"), ("day", "human")]
    {
        let mut all: BTreeMap<String, [u64; 5]> = BTreeMap::new();
        for click in history.world.clicks.iter().filter(|click| click.delivered.is_some()) {
            let selected = bots == "all" || click.bot == (bots == "bot");
            let counts = [selected, !click.bot, click.bot, selected && !click.qr, selected && click.qr];
            for key in ["".to_owned(), click_key(history, group, click).unwrap()] {
                let sums = all.entry(key).or_default();
                (0..5).for_each(|n| sums[n] += u64::from(counts[n]));
            }
        }
        let path = format!("/v1/reports/traffic?{}&tz=UTC&group_by={group}&bots={bots}", range(history));
        let report = history.team.get(&path).await.expect(200);
        let counts =
            |at: &Value| ["selected", "human", "bot", "short_link", "qr_scan"].map(|name| at[name].as_u64().unwrap());
        let totals = all.remove("").unwrap_or_default();
        assert_eq!(counts(&report["totals"]), totals, "{report}");
        assert_eq!(report["totals"]["total"], totals[1] + totals[2]);
        let found: BTreeMap<String, [u64; 5]> =
            report["groups"].as_array().unwrap().iter().map(|group| (text(group, "/key"), counts(group))).collect();
        for shown in report["groups"].as_array().unwrap() {
            let key = text(shown, "/key");
            let clicks = history.world.clicks.iter().filter(|click| click.delivered.is_some());
            let clicks = clicks.filter(|click| click_key(history, group, click).as_ref() == Some(&key));
            if matches!(group, "partner" | "program") {
                assert_eq!(shown["label"].as_str().map(str::to_owned), label(history, group, clicks), "{path} {key}");
            }
        }
        // A group of which nothing is selected need not be shown.
        let shown = |counts: &[u64; 5]| counts[0] > 0;
        let only =
            |groups: BTreeMap<String, [u64; 5]>| groups.into_iter().filter(|(_, c)| shown(c)).collect::<Vec<_>>();
        assert_eq!(only(found), only(all), "{path}");
    }
}

/// The traffic export, the report of its moment, and that report as a file, in all and by partner.
pub async fn file_and_report_agree(history: &History) {
    let range = range(history);
    let (from, to) = range.split_once("&to=").unwrap();
    let body = json!({"kind": "traffic", "from": &from[5..], "to": to});
    let export = history.team.post("/v1/exports", body).await.expect(202);
    let path =
        format!("/v1/reports/traffic?{range}&tz=UTC&group_by=partner&bots=all&as_of={}", text(&export, "/as_of"));
    let report = history.team.get(&path).await.expect(200);
    let table = table(history, &path).await;
    let file = written(history, &export).await;
    assert_eq!(json!(add_up(&file, "clicks")), report["totals"]["total"], "{report}");
    for name in ["human", "bot", "short_link", "qr_scan"] {
        assert_eq!(json!(add_up(&file, name)), report["totals"][name], "{name}: {report}");
        assert_eq!(json!(add_up(&table, name)), report["totals"][name], "{name}: {report}");
    }
    let groups = report["groups"].as_array().unwrap();
    assert_eq!(groups.len(), table.len());
    for (group, row) in groups.iter().zip(&table) {
        let key = text(group, "/key");
        assert_eq!((&row["key"], &*row["label"]), (&key, group["label"].as_str().unwrap_or_default()));
        assert_eq!(json!(row["selected"].parse::<i64>().unwrap()), group["selected"]);
        let id = if key == "none" { "" } else { &key };
        let of_group: Vec<_> = file.iter().filter(|row| row["partner_id"] == id).cloned().collect();
        assert_eq!(json!(add_up(&of_group, "clicks")), group["selected"], "{key}");
    }
}
