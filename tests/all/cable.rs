//! A cable between a hub and its store, to be cut and squeezed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
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
    delay_millis: Arc<AtomicU64>,
    listening: JoinHandle<()>,
}

impl Cable {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let cuts = watch::Sender::new(0);
        let delay_millis = Arc::new(AtomicU64::new(0));
        let (cut, delay) = (cuts.clone(), delay_millis.clone());
        let listening = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                // Where nobody listens, the cable is cut.
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let (mut cut, delay) = (cut.subscribe(), delay.clone());
                tokio::spawn(async move {
                    let ((near_in, near_out), (far_in, far_out)) =
                        (near.into_split(), far.into_split());
                    tokio::select! {
                        () = pass(near_in, far_out, &delay) => {}
                        () = pass(far_in, near_out, &delay) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { port: own_port, cuts, delay_millis, listening }
    }

    /// Ends all connections that there are.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// From now on, each piece takes so long.
    pub(crate) fn slow_down(&self, delay: Duration) {
        self.delay_millis.store(delay.as_millis() as u64, SeqCst);
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    delay: &AtomicU64,
) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(len @ 1..) = from.read(&mut piece).await {
        tokio::time::sleep(Duration::from_millis(delay.load(SeqCst))).await;
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
