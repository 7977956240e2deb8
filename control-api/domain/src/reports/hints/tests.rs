//! Each reason of an empty report, and which of several is given.

use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// March in Berlin.
fn march(bots: Bots, as_of: Option<&str>) -> Question {
    Question {
        from: at("2026-02-28T23:00:00Z"),
        to: at("2026-03-31T22:00:00Z"),
        tz: Tz::Europe__Berlin,
        as_of: as_of.map(at),
        bots,
    }
}

fn extent(first: &str, last: &str) -> Option<Extent> {
    Some(Extent { first: at(first), last: at(last) })
}

fn side(filter: Option<&'static str>, clicks: Option<Extent>, assigned: Option<bool>) -> Side {
    Side { filter, clicks, assigned }
}

fn codes(hints: &[Hint]) -> Vec<&'static str> {
    hints.iter().map(|hint| hint.code).collect()
}

#[test]
fn traffic_is_empty_for_a_reason() {
    let january = extent("2026-01-05T10:00:00Z", "2026-01-31T23:30:00Z");
    let april = extent("2026-04-05T10:00:00Z", "2026-04-06T10:00:00Z");
    let around = extent("2026-01-05T10:00:00Z", "2026-04-06T10:00:00Z");
    let all = |clicks| vec![side(None, clicks, None)];
    let partner = |clicks, assigned| side(Some("partner"), clicks, Some(assigned));
    let country = |clicks| side(Some("country"), clicks, None);
    let link = |clicks, assigned| side(Some("link"), clicks, Some(assigned));
    for (bots, as_of, left_out, sides, expected) in [
        (Bots::Human, None, 3, all(around), vec!["bots_filtered"]),
        (Bots::Bot, None, 3, all(around), vec!["humans_filtered"]),
        (Bots::All, None, 0, all(None), vec!["no_clicks_yet"]),
        (Bots::All, None, 0, all(january), vec!["outside_range"]),
        (Bots::All, None, 0, all(april), vec!["outside_range"]),
        (Bots::All, None, 0, all(around), vec!["outside_range"]),
        (Bots::All, Some("2026-04-01T00:00:00Z"), 0, all(april), vec!["recorded_after_as_of"]),
        (Bots::All, None, 0, vec![partner(None, false)], vec!["no_assignment_yet"]),
        (Bots::All, None, 0, vec![partner(None, true)], vec!["no_clicks_yet"]),
        (Bots::All, None, 0, vec![partner(january, true)], vec!["outside_range"]),
        // A link needs no partner to be clicked.
        (Bots::All, None, 0, vec![link(None, false)], vec!["no_clicks_yet"]),
        (Bots::All, None, 0, vec![partner(None, false), country(None)], vec!["no_assignment_yet", "no_clicks_yet"]),
        // What never matched says more than what matched elsewhere.
        (Bots::All, None, 0, vec![partner(january, true), country(None)], vec!["no_clicks_yet"]),
        (Bots::All, None, 0, vec![partner(january, true), country(around)], vec!["outside_range"]),
        (Bots::All, None, 0, vec![partner(around, true), country(around)], vec!["no_match"]),
    ] {
        let facts = TrafficFacts { left_out, later: None, sides };
        assert_eq!(codes(&of_traffic(march(bots, as_of), &facts)), expected, "{bots} {as_of:?} {facts:?}");
    }
    // They happened in the range, and were recorded when it was over.
    let facts = TrafficFacts { left_out: 0, later: Some(at("2026-04-02T10:00:00.123Z")), sides: all(around) };
    let hints = of_traffic(march(Bots::All, Some("2026-04-01T00:00:00Z")), &facts);
    assert_eq!(codes(&hints), ["recorded_after_as_of"]);
    assert!(hints[0].detail.contains("2026-04-02T10:00:00.123Z"), "{hints:?}");
}

#[test]
fn conversions_are_missing_for_a_reason() {
    let january = extent("2026-01-05T10:00:00Z", "2026-01-31T23:30:00Z");
    let clicked = side(Some("partner"), january, Some(true));
    let later = Some(at("2026-04-02T10:00:00.123Z"));
    let base = || ConversionFacts {
        left_out: 0,
        unattributed: 0,
        pending: 0,
        later: None,
        conversions: None,
        has_events: true,
        tracking: (2, 1),
        sides: vec![clicked],
    };
    for (facts, expected) in [
        (base(), vec!["no_conversions_yet"]),
        (ConversionFacts { unattributed: 2, ..base() }, vec!["unattributed_only"]),
        (ConversionFacts { pending: 2, ..base() }, vec!["pending_only"]),
        (ConversionFacts { unattributed: 1, pending: 2, ..base() }, vec!["unattributed_only", "pending_only"]),
        (ConversionFacts { left_out: 4, ..base() }, vec!["bots_filtered"]),
        // Something is in the range; that more is outside it explains nothing.
        (ConversionFacts { later, conversions: january, ..base() }, vec!["recorded_after_as_of"]),
        (ConversionFacts { later, pending: 2, ..base() }, vec!["pending_only", "recorded_after_as_of"]),
        (ConversionFacts { conversions: january, ..base() }, vec!["outside_range"]),
        (ConversionFacts { tracking: (0, 3), ..base() }, vec!["tracking_disabled"]),
        // No links at all is no matter of their tracking.
        (ConversionFacts { tracking: (0, 0), ..base() }, vec!["no_conversions_yet"]),
        (ConversionFacts { has_events: false, ..base() }, vec!["no_events_yet"]),
        (
            ConversionFacts { sides: vec![side(Some("partner"), None, Some(false))], has_events: false, ..base() },
            vec!["no_assignment_yet", "no_events_yet"],
        ),
        (ConversionFacts { sides: vec![side(Some("link"), None, Some(false))], ..base() }, vec!["no_assignment_yet"]),
        (ConversionFacts { sides: vec![side(None, None, None)], ..base() }, vec!["no_clicks_yet"]),
    ] {
        assert_eq!(codes(&of_conversions(march(Bots::Human, None), &facts)), expected, "{facts:?}");
    }
}

#[test]
fn days_are_those_of_the_zone() {
    let facts = TrafficFacts {
        left_out: 0,
        later: None,
        sides: vec![side(None, extent("2026-01-05T10:00:00Z", "2026-01-31T23:30:00Z"), None)],
    };
    let hints = of_traffic(march(Bots::All, None), &facts);
    assert_eq!(hints[0].detail, "none in the range; clicks are known from 2026-01-05 to 2026-02-01");
}
