//! Publishers and followers that go on whatever happens to the hubs, and remember what they were
//! told: what was acknowledged and what was seen must all be there at the end.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::StreamExt;
use reqwest::Client;
use sse_stream::SseByteStream;
use tokio::task::JoinHandle;

use crate::hub::{Hub, within};

/// An event's id and data.
pub(crate) type Seen = (String, String);

/// A hub that does not answer for so long has gone.
const SILENCE: Duration = Duration::from_secs(5);

/// Some publishers and followers of the channel `demo`, of hubs that come and go.
pub(crate) struct Witnesses {
    ports: Arc<[u16]>,
    is_over: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    publishers: Vec<JoinHandle<Vec<Seen>>>,
    followers: Vec<JoinHandle<Vec<Seen>>>,
}

impl Witnesses {
    pub(crate) fn start(ports: &[u16], publishers: usize, followers: usize) -> Self {
        let (ports, is_over) = (Arc::from(ports), Arc::new(AtomicBool::new(false)));
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let witness = |name| Witness {
            name,
            client: Client::builder().read_timeout(SILENCE).build().unwrap(),
            ports: Arc::clone(&ports),
            is_over: is_over.clone(),
        };
        Self {
            publishers: (0..publishers)
                .map(|name| tokio::spawn(witness(name).publish(acknowledged.clone())))
                .collect(),
            followers: (0..followers).map(|name| tokio::spawn(witness(name).follow())).collect(),
            ports,
            is_over,
            acknowledged,
        }
    }

    /// How many events were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.load(SeqCst)
    }

    /// Ends it all, with each of the hubs there again; `hub` tells what is kept.
    ///
    /// Returns how many events there are.
    pub(crate) async fn all_agree(self, hub: &Hub) -> usize {
        self.is_over.store(true, SeqCst);
        let mut acknowledged = Vec::new();
        for publisher in self.publishers {
            acknowledged.extend(within(publisher).await.unwrap());
        }
        for port in self.ports.iter() {
            let last = hub.client.post(format!("http://127.0.0.1:{port}/events/demo")).body("last");
            assert_eq!(within(last.send()).await.unwrap().status(), 200);
        }
        let kept = kept(hub).await;
        let places: HashMap<_, _> =
            kept.iter().enumerate().map(|(place, (_, data))| (data, place)).collect();
        let lasts = self.ports.len() - 1;
        assert_eq!(places.len(), kept.len() - lasts, "each event is kept once");
        for (id, data) in &acknowledged {
            let place =
                places.get(data).unwrap_or_else(|| panic!("{data} was acknowledged, and lost"));
            assert_eq!(kept[*place].0, *id);
        }
        for follower in self.followers {
            let seen = within(follower).await.unwrap();
            let start = places[&seen[0].1];
            let end = start + seen.len();
            assert_eq!(seen, kept[start..end], "a follower sees what is kept, in order, each once");
            assert_eq!(kept[end - 1].1, "last");
        }
        kept.len()
    }
}

/// Everything that is kept of the channel.
async fn kept(hub: &Hub) -> Vec<Seen> {
    let path = "/events/demo?wait=0&last_event_id=earliest";
    let events = hub.subscribe(path).await.all().await;
    events.into_iter().map(|event| (event.id.unwrap(), event.data.unwrap())).collect()
}

struct Witness {
    name: usize,
    client: Client,
    ports: Arc<[u16]>,
    is_over: Arc<AtomicBool>,
}

impl Witness {
    fn is_over(&self) -> bool {
        self.is_over.load(SeqCst)
    }

    /// Any of the hubs.
    fn url(&self, path: &str) -> String {
        let port = self.ports[fastrand::usize(..self.ports.len())];
        format!("http://127.0.0.1:{port}{path}")
    }

    async fn pause(&self) {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(1..20))).await;
    }

    /// Publishes an event after the other, each until it is acknowledged.
    async fn publish(self, count: Arc<AtomicUsize>) -> Vec<Seen> {
        let mut acknowledged = Vec::new();
        while !self.is_over() {
            let data = format!("{}.{}", self.name, acknowledged.len());
            let id = loop {
                let request = self.client.post(self.url("/events/demo"));
                let request = request.header("Idempotency-Key", &data).body(data.clone());
                match request.send().await {
                    Ok(answer) if answer.status() == 200 => {
                        if let Ok(answer) = answer.json::<serde_json::Value>().await {
                            break answer["id"].as_str().unwrap().to_owned();
                        }
                    }
                    Ok(answer) => assert_eq!(answer.status(), 503),
                    Err(_) => {}
                }
                self.pause().await;
            };
            acknowledged.push((id, data));
            count.fetch_add(1, SeqCst);
        }
        acknowledged
    }

    /// Follows the channel to the last event of each hub.
    async fn follow(self) -> Vec<Seen> {
        let mut seen = Vec::new();
        let mut last_event_id = None;
        let mut lasts = 0;
        loop {
            let mut request = self.client.get(self.url("/events/demo"));
            if let Some(id) = &last_event_id {
                request = request.header("Last-Event-ID", id);
            }
            let Ok(answer) = request.send().await else {
                self.pause().await;
                continue;
            };
            let mut blocks = SseByteStream::new(answer.bytes_stream());
            while let Some(Ok(block)) = blocks.next().await {
                last_event_id = block.id.clone().or(last_event_id);
                let Some(data) = block.data else { continue };
                assert_eq!(block.event, None, "{data}");
                lasts += usize::from(data == "last");
                seen.push((block.id.unwrap(), data));
                if lasts == self.ports.len() {
                    return seen;
                }
            }
        }
    }
}
