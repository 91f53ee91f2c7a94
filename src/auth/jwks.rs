//! A set of keys that is kept elsewhere, and fetched again when it has changed.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::LocalBoxFuture;
use parking_lot::{Mutex, RwLock};
use tokio::{
    sync::watch,
    task::spawn_local,
    time::{Instant, timeout},
};

use super::keys::{KeyError, Keys};

/// Unknown keys make it fetched at most once in this time.
const REFETCH: Duration = Duration::from_secs(30);
/// A set this old is fetched again even so: a key may have been taken out of it.
const MAX_AGE: Duration = Duration::from_secs(10 * 60);
/// How long a fetch may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Fetches the JSON of a set.
type Fetch = dyn Fn() -> LocalBoxFuture<'static, Result<Vec<u8>, String>> + Send + Sync;

/// A JSON Web Key Set (RFC 7517), kept while it cannot be fetched. Cheap to clone.
#[derive(Clone)]
pub struct Jwks(Arc<Cache>);

struct Cache {
    name: String,
    fetch: Box<Fetch>,
    keys: RwLock<Arc<Keys>>,
    last: Mutex<LastFetch>,
    /// Told of every fetch that has ended.
    ended: watch::Sender<()>,
}

struct LastFetch {
    began: Instant,
    is_under_way: bool,
}

impl Jwks {
    /// A set that `fetch` gets, and that messages call `name`. The fetch runs on whichever thread's
    /// `LocalSet` needs it.
    ///
    /// # Errors
    /// It cannot be fetched, or is no such set.
    pub async fn fetched<F>(name: String, fetch: F) -> Result<Self, JwksError>
    where
        F: Fn() -> LocalBoxFuture<'static, Result<Vec<u8>, String>> + Send + Sync + 'static,
    {
        let keys = get(&fetch).await.map_err(|error| error.of(&name))?;
        // The first fetch makes no other wait.
        let began = Instant::now().checked_sub(REFETCH).unwrap_or_else(Instant::now);
        Ok(Self(Arc::new(Cache {
            name,
            fetch: Box::new(fetch),
            keys: RwLock::new(Arc::new(keys)),
            last: Mutex::new(LastFetch { began, is_under_way: false }),
            ended: watch::Sender::new(()),
        })))
    }

    /// The keys as they were last fetched.
    pub(super) fn keys(&self) -> Arc<Keys> {
        if self.0.last.lock().began.elapsed() >= MAX_AGE {
            self.begin(MAX_AGE);
        }
        self.0.keys.read().clone()
    }

    /// Waits for a newer set, if it is time for one. Returns whether one may be there.
    pub(super) async fn refetch(&self) -> bool {
        let mut ended = self.0.ended.subscribe();
        self.begin(REFETCH) && timeout(PATIENCE, ended.changed()).await.is_ok()
    }

    /// Begins a fetch if the last one began so long ago. Returns whether one is under way.
    ///
    /// It is a task of its own: a client that hangs up must not end it for others.
    fn begin(&self, pause: Duration) -> bool {
        let mut last = self.0.last.lock();
        if !last.is_under_way && last.began.elapsed() >= pause {
            *last = LastFetch { began: Instant::now(), is_under_way: true };
            let fetch = UnderWay(self.0.clone());
            spawn_local(async move {
                let cache = &fetch.0;
                let late = |_| Err(Failure::Fetch("it takes too long".into()));
                match timeout(PATIENCE, get(&*cache.fetch)).await.unwrap_or_else(late) {
                    Ok(keys) => *cache.keys.write() = Arc::new(keys),
                    Err(error) => log::warn!("{}; the old keys stay", error.of(&cache.name)),
                }
            });
        }
        last.is_under_way
    }
}

/// A fetch, which ends however its task does.
struct UnderWay(Arc<Cache>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.last.lock().is_under_way = false;
        self.0.ended.send_replace(());
    }
}

async fn get(fetch: &Fetch) -> Result<Keys, Failure> {
    let json = fetch().await.map_err(Failure::Fetch)?;
    Keys::from_jwks(&json).map_err(Failure::Keys)
}

enum Failure {
    Fetch(String),
    Keys(KeyError),
}

impl Failure {
    fn of(self, name: &str) -> JwksError {
        match self {
            Self::Fetch(why) => JwksError::Fetch { name: name.into(), why },
            Self::Keys(source) => JwksError::Keys { name: name.into(), source },
        }
    }
}

/// Why a set of keys is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwksError {
    /// It could not be fetched.
    #[error("cannot get the keys at {name}: {why}")]
    Fetch {
        /// Where it is.
        name: String,
        /// What was in the way.
        why: String,
    },
    /// It is not what it should be.
    #[error("the keys at {name} cannot be used: {source}")]
    Keys {
        /// Where it is.
        name: String,
        /// What is wrong.
        source: KeyError,
    },
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks").field("name", &self.0.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use futures_util::future::{FutureExt, join_all};
    use tokio::{task::LocalSet, time::sleep};

    use super::*;

    const SET: &[u8] = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    /// A set whose fetches take a second, and how many there were.
    async fn slow_set(answer: fn() -> Result<Vec<u8>, String>) -> (Jwks, Arc<AtomicUsize>) {
        let fetches = Arc::new(AtomicUsize::new(0));
        let count = fetches.clone();
        let fetch = move || {
            let number = count.fetch_add(1, SeqCst);
            async move {
                sleep(Duration::from_secs(1)).await;
                if number == 0 { Ok(SET.to_vec()) } else { answer() }
            }
            .boxed_local()
        };
        (Jwks::fetched("a set".into(), fetch).await.unwrap(), fetches)
    }

    #[tokio::test(start_paused = true)]
    async fn one_fetch_serves_many_and_the_next_waits_its_time() {
        let test = async {
            let (jwks, fetches) = slow_set(|| Ok(SET.to_vec())).await;
            let waiters: Vec<_> = (0..100).map(|_| jwks.refetch()).collect();
            assert_eq!(join_all(waiters).await, [true; 100]);
            assert_eq!(fetches.load(SeqCst), 2);
            assert!(!jwks.refetch().await, "too early");
            sleep(REFETCH).await;
            assert!(jwks.refetch().await);
            assert_eq!(fetches.load(SeqCst), 3);
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_hangs_up_ends_no_fetch() {
        let test = async {
            let (jwks, fetches) = slow_set(|| Ok(SET.to_vec())).await;
            let hasty = timeout(Duration::from_millis(10), jwks.refetch());
            assert!(hasty.await.is_err());
            assert!(jwks.refetch().await, "the same one");
            assert_eq!(fetches.load(SeqCst), 2);
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_fails_leaves_the_old_keys() {
        let test = async {
            for answer in [|| Err("gone".into()), || Ok(b"{}".to_vec())] {
                let (jwks, _) = slow_set(answer).await;
                assert!(jwks.refetch().await);
                assert!(!jwks.keys().is_empty());
            }
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_set_is_fetched_again_though_nobody_misses_a_key() {
        let test = async {
            let (jwks, fetches) = slow_set(|| Ok(SET.to_vec())).await;
            sleep(MAX_AGE).await;
            jwks.keys();
            jwks.keys();
            sleep(Duration::from_secs(2)).await;
            assert_eq!(fetches.load(SeqCst), 2);
        };
        LocalSet::new().run_until(test).await;
    }
}
