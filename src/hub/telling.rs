//! Telling the hub's statistics, once a second for as long as somebody listens.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    task::spawn_local,
    time::{MissedTickBehavior, interval},
};

use super::{Core, Hub};
use crate::{
    broadcaster::Ephemeral,
    frame,
    stats::{Stats, Telling},
};

/// How often they are told.
const SPAN: Duration = Duration::from_secs(1);

impl Hub {
    /// Sees to it that who listens to the statistics is told.
    pub(super) fn tell_stats(&self) {
        if let Some(telling) = self.0.stats.begin_telling() {
            spawn_local(tell(Arc::downgrade(&self.0), self.0.stats.clone(), telling));
        }
    }
}

/// Tells until nobody listens, the drain is over, or the hub is gone.
async fn tell(core: Weak<Core>, stats: Arc<Stats>, mut telling: Telling) {
    let mut spans = interval(SPAN);
    spans.set_missed_tick_behavior(MissedTickBehavior::Delay);
    spans.tick().await;
    // What was before anybody listened took longer than a span.
    stats.take(0);
    loop {
        spans.tick().await;
        if !stats.is_heard() {
            drop(telling);
            match stats.begin_telling() {
                Some(again) => telling = again,
                None => return,
            }
        }
        let Some(core) = core.upgrade() else { return };
        if core.admission.is_drained() {
            return;
        }
        let told = stats.take(core.admission.subscribers());
        let channel = stats.channel().clone();
        let ephemeral = Ephemeral { channel, frame: frame::stats(&told) };
        for broadcaster in core.broadcasters.lock().values() {
            broadcaster.do_send(ephemeral.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::StreamExt;

    use crate::{
        channel::Channel, config::HubConfig, event::Event, hub::Hub, subscriber::Subscription,
    };

    #[test]
    fn statistics_are_made_only_while_somebody_listens() {
        actix_web::rt::System::new().block_on(async {
            tokio::time::pause();
            let hub = Hub::in_memory(Default::default(), HubConfig::default());
            let stats = hub.0.stats.clone();
            let demo = Channel::parse("demo").unwrap();
            let mut events = hub.subscribe(Subscription::new(demo.clone())).await.unwrap();
            hub.publish(Event::new(demo.clone(), "unheard")).await.unwrap();
            for _ in ["the first block", "unheard"] {
                events.next().await;
            }
            assert!(!stats.is_told());

            let statistics = Subscription::new(stats.channel().clone());
            let mut stream = hub.subscribe(statistics).await.unwrap();
            stream.next().await;
            let told = stream.next().await.unwrap();
            let data = r#"{"events":0,"subscribers":2,"latency":null}"#;
            assert_eq!(told, format!("event: stats\ndata: {data}\n\n"), "of nothing before");
            hub.publish(Event::new(demo, "heard")).await.unwrap();
            events.next().await;
            let told = String::from_utf8(stream.next().await.unwrap().to_vec()).unwrap();
            assert!(told.contains(r#""events":1,"subscribers":2,"latency":{"p50":"#), "{told}");

            drop(stream);
            while stats.is_told() {
                tokio::time::advance(Duration::from_secs(1)).await;
            }
        });
    }

    #[test]
    fn a_hub_that_is_gone_or_has_drained_tells_nothing() {
        actix_web::rt::System::new().block_on(async {
            tokio::time::pause();
            for drains in [false, true] {
                let hub = Hub::in_memory(Default::default(), HubConfig::default());
                let stats = hub.0.stats.clone();
                let statistics = Subscription::new(stats.channel().clone());
                let stream = hub.subscribe(statistics).await.unwrap();
                assert!(stats.is_told());
                if drains {
                    hub.drain(Duration::ZERO).await.unwrap();
                }
                let kept = drains.then_some(hub);
                while stats.is_told() {
                    tokio::time::advance(Duration::from_secs(1)).await;
                }
                drop((stream, kept));
            }
        });
    }
}
