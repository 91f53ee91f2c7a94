//! What is kept beside the events, made anew from them.
//!
//! The events, their index and the counts go from the write-ahead log to files each in its own time.
//! Where a part of the log cannot be read, some have lost a commit that others have.

use std::sync::Arc;

use fjall::PersistMode;

use super::{
    counts::Counts,
    error::StoreError,
    state::{Amount, Segment, State},
    store::Store,
};
use crate::id::EventId;

/// Makes all that is kept agree with the events, and returns the state that tells of it.
pub(super) fn rebuild(store: &Arc<Store>, mut state: State) -> Result<State, StoreError> {
    store.clear_all_but_events()?;
    let last = store.last_event()?;
    state.ends.head = state.ends.head.max(last.unwrap_or(EventId::MIN));
    store.show(&state);
    // Old events may have gone that the floor does not tell of.
    let oldest = store.read_after(state.ends.floor)?.first().map(|entry| entry.id);
    state.ends.floor = oldest.map_or(state.ends.head, EventId::before);
    let segment = Segment { number: 0, since: state.ends.floor };
    (state.kept, state.segments) = (Amount::default(), vec![segment]);
    let mut after = state.ends.floor;
    loop {
        let entries = store.read_after(after)?;
        let Some(last) = entries.last() else { break };
        after = last.id;
        let mut batch = store.db.batch();
        let mut channels = Counts::new(store);
        for entry in &entries {
            store.put_index(&mut batch, segment, entry);
            for channel in &entry.channels {
                channels.add(channel, entry.wire_id())?;
            }
            state.kept.add(entry.cost());
        }
        channels.put(&mut batch);
        batch.commit()?;
    }
    state.in_segment = state.kept;
    let mut batch = store.db.batch().durability(Some(PersistMode::SyncData));
    store.put_state(&mut batch, &state);
    batch.commit()?;
    store.show(&state);
    Ok(state)
}
