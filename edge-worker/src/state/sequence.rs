//! The sequence numbers of this isolate's clicks, by the hour inside their ids. Each click carries its number, so that a
//! missing click shows at the other end. Pure.

use shared::{Millis, click::Minted};

/// Counts for the two latest hours: requests that began before the turn of the hour may still sequence after it.
#[derive(Default)]
pub(crate) struct Sequence {
    isolate: Option<u64>,
    hours: [(i64, u64); 2],
}

impl Sequence {
    /// The next click's number. `random` names the isolate at its first click.
    pub(crate) fn next(&mut self, at: Millis, random: impl FnOnce() -> u64) -> Minted {
        let isolate = *self.isolate.get_or_insert_with(|| random() & 0xffff_ffff_ffff);
        let hour = at.0 / Millis::HOUR;
        let [latest, before] = &mut self.hours;
        if hour > latest.0 {
            *before = std::mem::replace(latest, (hour, 0));
        }
        let counted = if hour == latest.0 { latest } else { before };
        counted.1 += 1;
        Minted { isolate, nth: counted.1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_the_clicks_of_each_hour() {
        let mut sequence = Sequence::default();
        let hour = Millis(500_000 * Millis::HOUR);
        let next = hour.plus(Millis::HOUR);
        let numbers: Vec<u64> = [hour, hour.plus(1), next, hour.plus(2), next, next.plus(Millis::HOUR), next]
            .into_iter()
            .map(|at| sequence.next(at, || u64::MAX).nth)
            .collect();
        assert_eq!(numbers, [1, 2, 1, 3, 2, 1, 3]);
        assert_eq!(sequence.next(hour, || 0).isolate, 0xffff_ffff_ffff, "named once");
    }
}
