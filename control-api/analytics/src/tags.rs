//! Groups by the tags that partners carry now.

use hashbrown::HashMap;
use uuid::Uuid;

use super::{group_key::GroupKey, keyed_sums::KeyedSums, pack::Key};

/// The tags that partners carry now.
#[derive(Debug, Default)]
pub struct Tags(HashMap<Uuid, Vec<String>>);

impl Tags {
    /// The tags of partners by their id.
    #[must_use]
    pub fn new(by_partner: impl IntoIterator<Item = (Uuid, Vec<String>)>) -> Self {
        Self(by_partner.into_iter().collect())
    }

    /// What stands under partners once more under each of their tags, of all or of some: each may have several, or none.
    pub(crate) fn spread<'a, 'p, Sum: Default + 'p>(
        &'a self,
        partners: impl IntoIterator<Item = (GroupKey<'p>, &'p Sum)>,
        only: Option<Vec<GroupKey<'a>>>,
        mut merge: impl FnMut(&mut Sum, &Sum),
    ) -> KeyedSums<'a, Sum> {
        let mut tagged = vec![];
        for (partner, sum) in partners {
            let tags = match partner {
                GroupKey::Key(Key::Id(id)) => self.0.get(&Uuid::from_u128(id)).map(Vec::as_slice).unwrap_or_default(),
                _ => &[],
            };
            if tags.is_empty() {
                tagged.push((GroupKey::NONE, sum));
            }
            tagged.extend(tags.iter().map(|tag| (GroupKey::key(tag), sum)));
        }
        tagged.sort_unstable_by_key(|(tag, _)| *tag);
        let mut sums = KeyedSums::new(only);
        sums.add(tagged, |to: &mut Sum, of| merge(to, of));
        sums
    }
}
