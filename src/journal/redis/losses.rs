//! What this node has seen and Redis has lost.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::{id::EventId, journal::Lost};

/// So many are remembered: who has slept for longer is told that its place is unknown.
const MOST: usize = 16;

/// The last losses. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses(Arc<Mutex<Vec<Lost>>>);

impl Losses {
    pub(super) fn add(&self, lost: Lost) {
        let mut losses = self.0.lock();
        if losses.len() == MOST {
            losses.remove(0);
        }
        losses.push(lost);
    }

    /// Where somebody goes on who stands in a loss: before the first of it.
    pub(super) fn place(&self, id: EventId) -> Option<EventId> {
        let losses = self.0.lock();
        // Redis may have lost again what a place is in.
        let mut place = None;
        while let Some(lost) = losses.iter().find(|lost| lost.has(place.unwrap_or(id))) {
            place = Some(lost.after);
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stands_in_a_loss_goes_on_before_it() {
        let id = |number| EventId::new(number, 0);
        let losses = Losses::default();
        losses.add(Lost { after: id(10), upto: id(20) });
        losses.add(Lost { after: id(5), upto: id(12) });
        assert_eq!(losses.place(id(21)), None);
        assert_eq!(losses.place(id(20)), Some(id(5)), "the first loss begins in the second");
        assert_eq!(losses.place(id(12)), Some(id(5)));
        assert_eq!(losses.place(id(5)), None);
        for number in 100..100 + MOST as u64 {
            losses.add(Lost { after: id(number), upto: id(number + 1) });
        }
        assert_eq!(losses.place(id(20)), None);
    }
}
