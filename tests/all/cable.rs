//! A cable between a hub and its store, to be cut and squeezed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Passes bytes on to a port of this machine, until it is dropped.
pub(crate) struct Cable {
    pub(crate) port: u16,
    /// Counts the cuts.
    cuts: watch::Sender<usize>,
    /// What happens on the way.
    way: Arc<Way>,
    listening: JoinHandle<()>,
}

#[derive(Default)]
struct Way {
    port: AtomicU16,
    delay_millis: AtomicU64,
    connections: AtomicUsize,
    /// So many connections, the first ones, pass nothing on any more.
    hung: AtomicUsize,
}

impl Cable {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let cuts = watch::Sender::new(0);
        let way = Arc::new(Way { port: port.into(), ..Way::default() });
        let (cut, on_the_way) = (cuts.clone(), way.clone());
        let listening = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                // Where nobody listens, the cable is cut.
                let port = on_the_way.port.load(SeqCst);
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let (mut cut, way) = (cut.subscribe(), on_the_way.clone());
                let number = way.connections.fetch_add(1, SeqCst);
                tokio::spawn(async move {
                    let ((near_in, near_out), (far_in, far_out)) =
                        (near.into_split(), far.into_split());
                    tokio::select! {
                        () = pass(near_in, far_out, &way, number) => {}
                        () = pass(far_in, near_out, &way, number) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { port: own_port, cuts, way, listening }
    }

    /// Ends all connections that there are.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// From now on, each piece takes so long.
    pub(crate) fn slow_down(&self, delay: Duration) {
        self.way.delay_millis.store(delay.as_millis() as u64, SeqCst);
    }

    /// From now on, new connections lead to another port.
    pub(crate) fn lead_to(&self, port: u16) {
        self.way.port.store(port, SeqCst);
    }

    /// From now on, the connections that there are stay open and pass nothing on.
    pub(crate) fn hang(&self) {
        self.way.hung.store(self.way.connections.load(SeqCst), SeqCst);
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    way: &Way,
    number: usize,
) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(len @ 1..) = from.read(&mut piece).await {
        tokio::time::sleep(Duration::from_millis(way.delay_millis.load(SeqCst))).await;
        if number < way.hung.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        if to.write_all(&piece[..len]).await.is_err() {
            break;
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}
