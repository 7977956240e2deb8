//! Work that is cheaper done for several at once: whoever asks while a group is being served waits for the next group.
//! Nobody waits for company, so somebody who asks alone is served at once; the more ask, the larger the groups.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};

use futures::FutureExt as _;
use tokio::sync::oneshot;

/// Those who wait, by what they have in common. A key is there while a group of it is being served.
type Lines<K, I, O> = Mutex<HashMap<K, VecDeque<Waiting<I, O>>>>;

/// See the module.
pub struct Coalescer<K, I, O> {
    waiting: Arc<Lines<K, I, O>>,
}

struct Waiting<I, O> {
    item: I,
    answer: oneshot::Sender<O>,
}

impl<K, I, O> Default for Coalescer<K, I, O> {
    fn default() -> Self {
        Self { waiting: Arc::default() }
    }
}

impl<K, I, O> Coalescer<K, I, O>
where
    K: Clone + Eq + Hash + Send + 'static,
    I: Send + 'static,
    O: Send + 'static,
{
    /// Has `serve` answer an item, along with all others of its key that wait by the time it is their turn, at most `most`
    /// of them, in the order in which they came. One group of a key is served at a time, and to its end, also where those
    /// who asked have gone. `serve` answers each item, in their order; `None` is what it left unanswered, or a panic.
    ///
    /// Groups that form are served by the `serve` of whoever came first; all of one key must do the same.
    pub async fn serve<F>(
        &self,
        key: K,
        item: I,
        most: usize,
        serve: impl Fn(Vec<I>) -> F + Send + Sync + 'static,
    ) -> Option<O>
    where
        F: Future<Output = Vec<O>> + Send,
    {
        let (answer, answered) = oneshot::channel();
        let first = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let first = !waiting.contains_key(&key);
            waiting.entry(key.clone()).or_default().push_back(Waiting { item, answer });
            first
        };
        if first {
            let waiting = Arc::clone(&self.waiting);
            tokio::spawn(async move {
                while let Some(group) = next(&waiting, &key, most) {
                    let (items, answers): (Vec<I>, Vec<_>) =
                        group.into_iter().map(|Waiting { item, answer }| (item, answer)).unzip();
                    // What a panic leaves unanswered is told so, and the next group has its turn.
                    let outcomes =
                        AssertUnwindSafe(async { serve(items).await }).catch_unwind().await.unwrap_or_default();
                    for (answer, outcome) in answers.into_iter().zip(outcomes) {
                        // Whoever has gone needs none.
                        let _ = answer.send(outcome);
                    }
                }
            });
        }
        answered.await.ok()
    }
}

/// The next group of a key; `None`, and the key's place cleared, where nobody waits.
fn next<K: Eq + Hash, I, O>(waiting: &Lines<K, I, O>, key: &K, most: usize) -> Option<Vec<Waiting<I, O>>> {
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let line = waiting.get_mut(key)?;
    if line.is_empty() {
        waiting.remove(key);
        return None;
    }
    let count = line.len().min(most);
    Some(line.drain(..count).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn those_who_wait_are_served_together_and_in_order() {
        let together = Coalescer::<&str, usize, (usize, usize)>::default();
        let gate = Arc::new(Semaphore::new(0));
        let groups = Arc::new(AtomicUsize::new(0));
        let ask = |item| {
            let (gate, groups) = (Arc::clone(&gate), Arc::clone(&groups));
            together.serve("key", item, 3, move |items| {
                let (gate, groups) = (Arc::clone(&gate), Arc::clone(&groups));
                async move {
                    gate.acquire().await.unwrap().forget();
                    let group = groups.fetch_add(1, Ordering::Relaxed);
                    items.into_iter().map(|item| (item, group)).collect()
                }
            })
        };
        let all = join_all((0..6).map(ask));
        let open = async {
            // Everybody is in line by then: `join_all` has asked for each of them before this is.
            gate.add_permits(3);
        };
        let (answers, ()) = tokio::join!(all, open);
        let answers: Vec<_> = answers.into_iter().flatten().collect();
        assert_eq!(answers.iter().map(|(item, _)| *item).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(groups.load(Ordering::Relaxed), 2, "{answers:?}");
        assert!(together.waiting.lock().unwrap().is_empty(), "a key without anybody takes no room");
    }

    #[tokio::test]
    async fn a_panic_is_told_to_those_it_concerns_alone() {
        let together = Coalescer::<u8, u8, u8>::default();
        let ask = |item: u8| {
            together.serve(0, item, 1, |items| async move {
                assert!(items != [1], "a panic on purpose");
                items
            })
        };
        assert_eq!(tokio::join!(ask(0), ask(1), ask(2)), (Some(0), None, Some(2)));
    }
}
