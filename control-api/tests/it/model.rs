//! Random histories against a naive model: every conversion row by row, the reports, and the files.
//!
//! [`history`] does things to the service and tells the model, [`plain`] is the model. A failure prints its seed.

mod history;
mod plain;
mod traffic;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use history::History;
use model::time::Timestamp;
use plain::{Click, DAY, Pay, Row};
use serde_json::{Value, json};
use shared::Millis;
use sqlx::PgPool;

use super::service::{Service, fold, text};

const SEEDS: u64 = 6;
const STEPS: usize = 220;

/// What the histories must have come to at least once, or they prove little.
const OUTCOMES: [&str; 18] = [
    "pending_click",
    "pending_original",
    "waiting customer",
    "token",
    "customer",
    "original",
    "no_token",
    "token_invalid",
    "before_click",
    "outside_window",
    "tracking_disabled",
    "no_partner_assignment",
    "original_ambiguous",
    "duplicate_order",
    "exceeds_original",
    "currency_mismatch",
    "terms that don't apply",
    "clawback",
];

/// With the clock as it is, and ahead of the database's by days, so that all terms began before all clicks.
#[sqlx::test(migrations = "../migrations")]
async fn random_histories_end_as_the_plain_model_says(pool: PgPool) {
    let service = Service::start(&pool).await;
    let mut histories = vec![];
    let mut missing = BTreeSet::from(OUTCOMES);
    for seed in 0..SEEDS {
        if seed == SEEDS / 2 {
            service.advance(6 * DAY);
        }
        eprintln!("seed {seed}");
        let mut history = History::begin(&service, &pool, seed).await;
        for half in 0..2 {
            history.go_on(STEPS / 2).await;
            rows_are_as_expected(&history).await;
            strike_out(&history, &mut missing);
            if half == 0 {
                fold(&pool, 20).await;
            }
        }
        traffic::is_as_expected(&history).await;
        histories.push(history);
    }
    assert!(missing.is_empty(), "never happened: {missing:?}");
    let _work = service.work();
    let files = histories.iter().map(file_and_report_agree);
    futures::future::join_all(files).await;
    futures::future::join_all(histories.iter().map(traffic::file_and_report_agree)).await;
}

/// Takes away what has happened in a history so far.
fn strike_out(history: &History, missing: &mut BTreeSet<&str>) {
    for (row, event) in history.world.rows().iter().zip(&history.world.events) {
        let named = [Some(row.status), row.method, row.reason];
        let marks = [
            (row.status == "pending_click" && event.token.is_none(), "waiting customer"),
            (row.version.is_some() && row.pay.is_none(), "terms that don't apply"),
            (row.clawback.is_some_and(|clawback| clawback > 0), "clawback"),
        ];
        let marks = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| mark);
        for outcome in named.iter().flatten().chain(&row.flags).chain(marks) {
            missing.remove(outcome);
        }
    }
}

fn time(millis: i64) -> Value {
    Timestamp::from_millis(Millis(millis)).to_string().into()
}

/// What the service must say of each conversion.
fn expected(history: &History, rows: &[Row], n: usize) -> Value {
    let world = &history.world;
    let (row, event) = (&rows[n], &world.events[n]);
    let attributed = row.status == "attributed";
    let click = row.click.map(|click| &world.clicks[click]);
    let judged = click.filter(|_| row.judged);
    let link = judged.map(|click| &world.links[click.link]);
    let credited = click.filter(|_| attributed);
    let named = |named: &plain::Named| json!({"id": named.id, "key": named.key, "name": named.name});
    let reward = row.version.map(|version| {
        let (basis, rate, amount) = match &row.pay {
            None => (Value::Null, Value::Null, Value::Null),
            Some(Pay::Share(bps)) => ("percentage".into(), (*bps).into(), Value::Null),
            Some(Pay::Fixed(amount, _)) => ("fixed".into(), Value::Null, (*amount).into()),
        };
        json!({
            "terms_version": version, "basis": basis, "rate_bps": rate, "amount_minor": amount,
            "currency": row.reward_currency, "hold_until": row.hold_until.map(time),
            "estimated_commission_minor": row.commission, "clawback_minor": row.clawback,
        })
    });
    let review = attributed.then(|| {
        let reasons = world.review(rows, n);
        json!({"status": if reasons.is_empty() { "ready" } else { "review" }, "reasons": reasons})
    });
    json!({
        "id": event.conversion, "source": history.source_id(event.source), "event_id": event.event_id, "type": event.kind,
        "event_name": null, "customer_id": event.customer, "order_id": event.order, "original_event_id": event.original,
        "reverses": row.original.map(|o| &world.events[o].conversion), "amount_minor": event.amount,
        "currency": row.currency, "reversed_minor": row.reversed, "quantity": null, "occurred_at": time(event.occurred),
        "attribution": {
            "status": row.status, "method": row.method, "reason": row.reason,
            "partner": credited.and_then(|click| click.partner.as_ref()).map(named),
            "program": credited.and_then(|click| click.program.as_ref()).map(|(_, program)| named(program)),
            "link": link.map(|link| json!({"id": link.id, "short_url": link.short_url, "destination": link.destination})),
            "click_id": click.map(|click| &click.id), "clicked_at": click.map(|click| time(click.at)),
            "window_days": judged.map(|click| world.window(click)),
        },
        "review": review, "reward": reward, "metadata": {},
    })
}

async fn rows_are_as_expected(history: &History) {
    let mut listed = history.listed().await;
    let rows = history.world.rows();
    assert_eq!(listed.len(), rows.len());
    for (n, event) in history.world.events.iter().enumerate() {
        let mut found = listed.remove(&event.conversion).unwrap();
        found.as_object_mut().unwrap().remove("received_at");
        let expected = expected(history, &rows, n);
        assert_eq!(
            found,
            expected,
            "event {n}: {event:#?}\nclick: {:#?}",
            rows[n].click.map(|c| &history.world.clicks[c])
        );
    }
}

fn range(history: &History) -> String {
    let now = history.team.service.now();
    format!("from={}&to={}", time(now.0 - 60 * DAY).as_str().unwrap(), time(now.0 + 2 * DAY).as_str().unwrap())
}

fn day(millis: i64) -> String {
    time(millis).as_str().unwrap()[..10].to_owned()
}

fn click_key(history: &History, group: &str, click: &Click) -> Option<String> {
    Some(match group {
        "partner" => click.partner.as_ref().map_or("none".into(), |partner| partner.id.clone()),
        "program" => click.program.as_ref().map_or("none".into(), |(_, program)| program.id.clone()),
        "link" => history.world.links[click.link].id.clone(),
        "trigger" => if click.qr { "qr" } else { "link" }.into(),
        "day" => day(click.at),
        _ => return None,
    })
}

/// What a group is called: as its latest click called it.
fn label<'a>(history: &History, group: &str, clicks: impl Iterator<Item = &'a Click>) -> Option<String> {
    let latest = clicks.max_by(|one, other| one.id.cmp(&other.id))?;
    match group {
        "partner" => latest.partner.as_ref().map(|partner| partner.name.clone()),
        "program" => latest.program.as_ref().map(|(_, program)| program.name.clone()),
        _ => click_key(history, group, latest),
    }
}

/// Sums as the conversion report shows them.
#[derive(Default)]
struct Sums {
    counts: [i64; 5],
    revenue: BTreeMap<String, (i64, i64)>,
    reward: BTreeMap<String, i64>,
}

const TYPES: [&str; 5] = ["lead", "sale", "refund", "cancellation", "reversal"];

impl Sums {
    fn add(&mut self, kind: &str, amount: Option<i64>, row: &Row) {
        self.counts[TYPES.iter().position(|one| *one == kind).unwrap()] += 1;
        let follows = !matches!(kind, "lead" | "sale");
        if let (Some(amount), Some(currency)) = (amount.or(row.reversed), &row.currency) {
            let (gross, negative) = self.revenue.entry(currency.clone()).or_default();
            *(if follows { negative } else { gross }) += if follows { -amount } else { amount };
        }
        if let (Some(currency), true) = (&row.reward_currency, row.commission.is_some() || row.clawback.is_some()) {
            *self.reward.entry(currency.clone()).or_default() +=
                row.commission.unwrap_or(0) - row.clawback.unwrap_or(0);
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn shown(&self, human_clicks: Option<i64>) -> Value {
        let rate = |count: i64| human_clicks.filter(|clicks| *clicks > 0).map(|clicks| count as f64 / clicks as f64);
        let [leads, sales, refunds, cancellations, reversals] = self.counts;
        let revenue = self.revenue.iter().map(|(currency, (gross, negative))| {
            json!({"currency": currency, "gross_minor": gross, "negative_minor": negative, "net_minor": gross + negative})
        });
        let reward = self.reward.iter().map(|(currency, amount)| json!({"currency": currency, "amount_minor": amount}));
        json!({
            "leads": leads, "sales": sales, "refunds": refunds, "cancellations": cancellations, "reversals": reversals,
            "revenue": revenue.collect::<Vec<_>>(), "human_clicks": human_clicks, "lead_rate": rate(leads),
            "sale_rate": rate(sales), "estimated_reward": reward.collect::<Vec<_>>(),
        })
    }
}

/// Rates to nine places: reading a text of JSON may change the last ones.
fn rounded(outcome: &Value) -> Value {
    let mut outcome = outcome.clone();
    for name in ["lead_rate", "sale_rate"] {
        if let Some(rate) = outcome[name].as_f64() {
            outcome[name] = format!("{rate:.9}").into();
        }
    }
    outcome
}

async fn report_is_as_expected(history: &History, group: &str, as_of: &str) -> Value {
    let world = &history.world;
    let rows = world.rows();
    let (mut totals, mut groups) = (Sums::default(), BTreeMap::<String, Sums>::new());
    for (row, event) in rows.iter().zip(&world.events).filter(|(row, _)| row.status == "attributed") {
        let key = match group {
            "type" => event.kind.to_owned(),
            "currency" => row.currency.clone().unwrap_or_else(|| "none".to_owned()),
            "day" => day(event.occurred),
            _ => click_key(history, group, &world.clicks[row.click.unwrap()]).unwrap(),
        };
        totals.add(event.kind, event.amount, row);
        groups.entry(key).or_default().add(event.kind, event.amount, row);
    }
    let humans = |key: Option<&str>| {
        let counted =
            world.clicks.iter().filter(|click| click.delivered.is_some() && !click.bot && click.partner.is_some());
        let counted = counted.filter(|click| key.is_none() || click_key(history, group, click).as_deref() == key);
        i64::try_from(counted.count()).unwrap()
    };
    let path = format!("/v1/reports/conversions?{}&tz=UTC&group_by={group}{as_of}", range(history));
    let report = history.team.get(&path).await.expect(200);
    assert_eq!(rounded(&report["totals"]), rounded(&totals.shown(Some(humans(None)))), "{path}");
    let mut found: BTreeMap<String, Value> = BTreeMap::new();
    for shown in report["groups"].as_array().unwrap() {
        let mut outcome = rounded(shown);
        let fields = outcome.as_object_mut().unwrap();
        // Nothing was asked to be compared.
        assert_eq!((fields.remove("previous"), fields.remove("change")), (Some(Value::Null), Some(Value::Null)));
        fields.retain(|name, _| name != "key" && name != "label");
        let key = text(shown, "/key");
        if matches!(group, "partner" | "program") {
            let credited = rows.iter().filter(|row| row.status == "attributed");
            let clicks = credited.map(|row| &world.clicks[row.click.unwrap()]);
            let expected =
                label(history, group, clicks.filter(|click| click_key(history, group, click).as_ref() == Some(&key)));
            assert_eq!(shown["label"].as_str().map(str::to_owned), expected, "{path} {key}");
        }
        found.insert(key, outcome);
    }
    let has_clicks = !matches!(group, "type" | "currency");
    let shown =
        |(key, sums): (&String, &Sums)| (key.clone(), rounded(&sums.shown(has_clicks.then(|| humans(Some(key))))));
    let expected: BTreeMap<String, Value> = groups.iter().map(shown).collect();
    assert_eq!(found, expected, "{path}");
    let count = |status: &str| rows.iter().filter(|row| row.status.starts_with(status)).count();
    assert_eq!(
        (&report["unattributed"], &report["pending"]),
        (&json!(count("unattributed")), &json!(count("pending")))
    );
    report
}

fn read(file: &str) -> Vec<HashMap<String, String>> {
    csv::Reader::from_reader(file.as_bytes()).deserialize().collect::<Result<_, _>>().unwrap()
}

/// Adds up columns of a file, where they hold something.
fn add_up(rows: &[HashMap<String, String>], column: &str) -> i64 {
    rows.iter().filter_map(|row| row[column].parse::<i64>().ok()).sum()
}

/// A report as CSV.
async fn table(history: &History, path: &str) -> Vec<HashMap<String, String>> {
    let request = axum::http::Request::get(path)
        .header("authorization", format!("Bearer {}", history.team.key))
        .header("accept", "text/csv");
    read(&history.team.service.send(request.body(axum::body::Body::empty()).unwrap()).await.text)
}

/// The rows of an export, once it is written.
async fn written(history: &History, export: &Value) -> Vec<HashMap<String, String>> {
    let path = format!("/v1/exports/{}", text(export, "/id"));
    while !matches!(text(&history.team.get(&path).await.expect(200), "/status").as_str(), "completed" | "failed") {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let file = history.team.get(&format!("{path}/file")).await;
    assert_eq!(file.status, 200, "{}", file.text);
    read(&file.text)
}

/// The export, the report of its moment, and that report as a file.
async fn file_and_report_agree(history: &History) {
    let body = range(history);
    let (from, to) = body.split_once("&to=").unwrap();
    let body = json!({"kind": "conversions", "from": &from[5..], "to": to});
    let export = history.team.post("/v1/exports", body).await.expect(202);
    let as_of = format!("&as_of={}", text(&export, "/as_of"));
    for group in ["program", "link", "type", "currency", "day"] {
        report_is_as_expected(history, group, "").await;
    }
    let report = report_is_as_expected(history, "partner", &as_of).await;
    let path = format!("/v1/reports/conversions?{}&tz=UTC&group_by=partner{as_of}", range(history));
    let table = table(history, &path).await;
    for name in ["leads", "sales", "refunds", "cancellations", "reversals"] {
        assert_eq!(json!(add_up(&table, name)), report["totals"][name], "{name}");
    }

    let file = written(history, &export).await;
    let world = &history.world;
    let rows = world.rows();
    let mut entries = BTreeSet::new();
    for entry in &file {
        let n = world.events.iter().position(|event| event.conversion == entry["entry_id"]).unwrap();
        let (row, event, follows) = (&rows[n], &world.events[n], rows[n].original.is_some());
        let number = |number: Option<i64>| number.map_or_else(String::new, |number| number.to_string());
        let sign = if follows { -1 } else { 1 };
        assert_eq!(
            entry["amount_minor"],
            number(event.amount.or(row.reversed).map(|amount| sign * amount)),
            "{entry:?}"
        );
        assert_eq!(entry["estimated_commission_minor"], number(row.commission), "{entry:?}");
        assert_eq!(entry["clawback_minor"], number(row.clawback.map(|clawback| -clawback)), "{entry:?}");
        assert_eq!(entry["reward_terms_version"], number(row.version), "{entry:?}");
        assert_eq!(entry["review_reasons"], world.review(&rows, n).join(";"), "{entry:?}");
        assert_eq!(entry["partner_name"], world.clicks[row.click.unwrap()].partner.as_ref().unwrap().name, "{entry:?}");
        let reversed = row.original.map_or("", |o| &world.events[o].conversion);
        assert_eq!((row.status, &*entry["reverses_entry_id"]), ("attributed", reversed), "{entry:?}");
        entries.insert(n);
    }
    assert_eq!(entries.len(), rows.iter().filter(|row| row.status == "attributed").count());
    for revenue in report["totals"]["revenue"].as_array().unwrap() {
        let currency = text(revenue, "/currency");
        let rows: Vec<_> = file.iter().filter(|row| row["currency"] == currency).cloned().collect();
        assert_eq!(json!(add_up(&rows, "amount_minor")), revenue["net_minor"], "{currency}");
        for sum in ["gross", "negative", "net"] {
            assert_eq!(json!(add_up(&table, &format!("{sum}_minor_{currency}"))), revenue[format!("{sum}_minor")]);
        }
    }
    for reward in report["totals"]["estimated_reward"].as_array().unwrap() {
        let currency = text(reward, "/currency");
        let rows: Vec<_> = file.iter().filter(|row| row["reward_currency"] == currency).cloned().collect();
        let sum = add_up(&rows, "estimated_commission_minor") + add_up(&rows, "clawback_minor");
        assert_eq!(json!(sum), reward["amount_minor"], "{currency}");
        assert_eq!(json!(add_up(&table, &format!("estimated_reward_minor_{currency}"))), reward["amount_minor"]);
    }
}
