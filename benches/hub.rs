//! What the hub costs inside the process, without sockets: `cargo bench --bench hub`.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark fails by panicking"
)]

use std::{
    cell::Cell,
    hint::black_box,
    rc::Rc,
    time::{Duration, Instant},
};

use actix_web::rt::{System, spawn};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::StreamExt;
use herald::{
    Channel, Event, Hub, LastEventId, Pattern, Selector, Start, Subscription,
    config::{History, HubConfig},
};
use tokio::sync::Notify;

fn hub() -> Hub {
    Hub::in_memory(History::default(), HubConfig::default())
}

fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

fn event(name: &str, bytes: usize) -> Event {
    Event::new(channel(name), "x".repeat(bytes))
}

/// Subscribers that read as they are woken, and count what they read.
#[derive(Clone, Default)]
struct Crowd {
    pieces: Rc<Cell<usize>>,
    more: Rc<Notify>,
}

impl Crowd {
    async fn join(&self, hub: &Hub, selector: impl Into<Selector>) {
        let mut subscriber = hub.subscribe(Subscription::new(selector)).await.unwrap();
        // The opening.
        subscriber.next().await.unwrap();
        let crowd = self.clone();
        spawn(async move {
            while let Some(piece) = subscriber.next().await {
                black_box(piece);
                crowd.pieces.set(crowd.pieces.get() + 1);
                crowd.more.notify_one();
            }
        });
    }

    async fn have_read(&self, pieces: usize) {
        while self.pieces.get() < pieces {
            self.more.notified().await;
        }
        self.pieces.set(0);
    }
}

/// Encoding an event and appending it, where nobody listens.
fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let lines = "sixty-three characters and a line end make up a line of this\n".repeat(1024);
    for (name, data) in [("256 bytes", "x".repeat(256)), ("1024 lines", lines)] {
        group.throughput(Throughput::Bytes(data.len() as u64));
        group.bench_function(name, |bencher| {
            let event = Event::new(channel("demo"), data.as_str());
            bencher.iter_custom(|count| {
                System::new().block_on(async {
                    let hub = hub();
                    let start = Instant::now();
                    for _ in 0..count {
                        hub.publish(event.clone()).await.unwrap();
                    }
                    start.elapsed()
                })
            });
        });
    }
}

/// Publishing on 10,000 channels in turn while patterns are subscribed to that take in none of
/// them: what is more than with no pattern is matching.
fn match_patterns(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("match");
    let events: Vec<_> = (0..10_000)
        .map(|number| event(&format!("shop/{}/orders/{number}", number % 100), 16))
        .collect();
    for patterns in [0, 1, 1_000] {
        group.bench_function(BenchmarkId::new("patterns", patterns), |bencher| {
            bencher.iter_custom(|count| {
                System::new().block_on(async {
                    let (hub, crowd) = (hub(), Crowd::default());
                    for number in 0..patterns {
                        let text = match number % 4 {
                            0 => format!("shop/*/offers/{number}"),
                            1 => format!("shop/{}/*/new", number % 100),
                            2 => format!("*/{number}/**"),
                            _ => format!("shop/{}/orders/*/**", number % 100),
                        };
                        crowd.join(&hub, Pattern::parse(&text).unwrap()).await;
                    }
                    let start = Instant::now();
                    for number in 0..count as usize {
                        hub.publish(events[number % events.len()].clone()).await.unwrap();
                    }
                    // Matching is done when the hub has told of it.
                    hub.channel(channel("x")).await.unwrap();
                    start.elapsed()
                })
            });
        });
    }
}

/// One event to everybody, from its publication until the last has read it.
fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan-out");
    for subscribers in [1, 100, 10_000] {
        group.throughput(Throughput::Elements(subscribers as u64));
        group.bench_function(BenchmarkId::from_parameter(subscribers), |bencher| {
            bencher.iter_custom(|count| {
                System::new().block_on(async {
                    let (hub, crowd) = (hub(), Crowd::default());
                    for _ in 0..subscribers {
                        crowd.join(&hub, channel("demo")).await;
                    }
                    let event = event("demo", 256);
                    let mut elapsed = Duration::ZERO;
                    for _ in 0..count {
                        let start = Instant::now();
                        hub.publish(event.clone()).await.unwrap();
                        crowd.have_read(subscribers).await;
                        elapsed += start.elapsed();
                    }
                    elapsed
                })
            });
        });
    }
}

/// Reading 10,000 kept events of a channel among 100, page by page.
fn page(criterion: &mut Criterion) {
    const EVENTS: usize = 10_000;
    let mut group = criterion.benchmark_group("page");
    group.throughput(Throughput::Elements(EVENTS as u64));
    for (name, selector) in [
        ("channel", Selector::from(channel("demo/7"))),
        ("pattern", Pattern::parse("*/7").unwrap().into()),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                System::new().block_on(async {
                    let hub = Hub::in_memory(
                        History { bytes: 1 << 30, ..History::default() },
                        HubConfig::default(),
                    );
                    for number in 0..EVENTS {
                        hub.publish(event("demo/7", 256)).await.unwrap();
                        hub.publish(event(&format!("demo/{}", number % 100), 256)).await.unwrap();
                    }
                    let start = Instant::now();
                    for _ in 0..count {
                        let subscription = Subscription {
                            start: Start::After(LastEventId::Earliest),
                            limit: Some(EVENTS),
                            ..Subscription::new(selector.clone())
                        };
                        let stream = hub.subscribe(subscription).await.unwrap();
                        black_box(stream.map(|piece| piece.len()).collect::<Vec<_>>().await);
                    }
                    start.elapsed()
                })
            });
        });
    }
}

criterion_group!(benches, encode, match_patterns, fan_out, page);
criterion_main!(benches);
