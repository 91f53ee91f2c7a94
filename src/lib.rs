//! **herald**, a Server-Sent Events hub: programs publish events over HTTP, browsers and other
//! clients subscribe with a plain `EventSource`, and every subscriber gets every event of its
//! channels, in order, without a gap.
//!
//! The `herald` program serves a [`Hub`]; an actix-web app can [mount](http) one beside its own
//! routes. The library reads no environment and installs no logger, allocator or signal handler.
//!
//! # A tour of the house
//!
//! In reading order, from the ground up; each floor uses only those below it.
//!
//! * `id`, `channel`, `event`, [`config`]: values, parsed and validated once, at the edge. `frame`
//!   is what goes on the wire, `grants` what a caller may do.
//! * `auth`: a token becomes grants.
//! * `journal`: the ordered log of events, and the contract of whoever keeps it. The journal is
//!   the truth: appending gives an event its id and its place, and its *sequencer* hands it on. It
//!   is in `memory`, on `disk` or in `redis`; the latter two have the newest events in memory, too,
//!   and a `reader` finds places and makes pages of either.
//! * `broadcaster`: an actor on each worker thread that owns the thread's subscribers. Those with
//!   the same selection share a *feed*, a short ring of frames; a *flush* wakes its readers a
//!   slice at a time.
//! * `admission`: who may subscribe, and until when; `pace`: how often.
//! * `revocations`: tokens and users whose streams end before their time, told by events.
//! * `stats`: how many events there are and how long they take, measured while somebody listens.
//! * `subscriber`: a cursor, not a queue. It reads pages of the journal until it has caught up,
//!   and then its feed; one that falls behind goes back to the journal.
//! * `hub`: what handlers and apps hold: publish, subscribe, channels, drain. `listing` is what
//!   it tells of channels.
//! * [`http`]: the bridge; every route on one page.
//! * [`server`]: listeners and workers, start-up and drain. A `connection` ends when its client keeps
//!   a worker busy; `tls` has the certificate, `multiplexed` looks after the streams of HTTP/2,
//!   and `header_gate` after its headers.
//!
//! The way of an event: `http::publish` → [`Hub::publish`] → `Journal::append` → the journal's
//! sequencer → a `Broadcast` to every broadcaster → the feeds whose selector and view match → their
//! parked subscribers are woken → `http::stream` → socket.
//!
//! The way of a subscriber: `http::subscribe` → a place in the journal → `Register` with this
//! thread's broadcaster → pages from the journal while its feed does not have what it needs, then
//! the feed. Both are in the order of ids, so that crossing over neither skips nor repeats.

#[cfg(feature = "jwt")]
pub mod auth;
pub mod config;
pub mod http;
pub mod server;

mod admission;
mod broadcaster;
mod channel;
mod connection;
mod event;
mod frame;
mod grants;
#[cfg(feature = "tls")]
mod header_gate;
mod hub;
mod id;
mod journal;
mod listing;
#[cfg(test)]
mod model;
#[cfg(feature = "tls")]
mod multiplexed;
mod pace;
mod revocations;
mod stats;
mod subscriber;
#[cfg(feature = "tls")]
mod tls;

pub use channel::{Channel, ChannelError, Pattern, Selector, View};
pub use event::{Event, EventType, EventTypeError};
pub use grants::{Grants, Session};
pub use hub::{Hub, PublishError, Refusal, SubscribeError};
pub use id::{EventId, LastEventId, OwnId, OwnIdError, WireId};
pub use journal::{Batch, IdempotencyKey, JournalError, Receipt, Start};
pub use listing::{ChannelInfo, ChannelPage, ChannelQuery, Scope};
pub use subscriber::{Subscriber, Subscription};

/// The README's Rust is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
