//! The connection on which scripts run.
//!
//! It is made and given up together with the one that follows the stream, so that what is asked and
//! what is followed are one server. One that no longer answers is given up by who asked.

use std::{sync::Arc, time::Duration};

use redis::{
    ErrorKind, RedisError, ScriptInvocation, ServerErrorKind::ReadOnly, Value,
    aio::MultiplexedConnection,
};
use tokio::{runtime::Handle, sync::watch};

use super::address::Address;

/// How long an answer may take.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call waits where there is no connection: one that was cut is soon made again.
const RECONNECT: Duration = Duration::from_secs(1);

/// The connection that there is now, or why there is none. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connection {
    /// Told from the next by where it is in memory.
    current: watch::Sender<Result<Arc<MultiplexedConnection>, RedisError>>,
    /// Of the journal's own thread, which is never busy with subscribers.
    runtime: Handle,
}

impl Connection {
    /// None yet. To be called on the journal's own thread.
    pub(super) fn new() -> Self {
        Self { current: watch::Sender::new(Err(none())), runtime: Handle::current() }
    }

    /// Makes one, in place of any before it.
    pub(super) async fn make(&self, address: &Address) -> Result<(), RedisError> {
        let mut connection = address.connect(RESPONSE_TIMEOUT).await?;
        // To who has not said its password, only a short command is answered with a good reason.
        redis::cmd("PING").exec_async(&mut connection).await?;
        self.current.send_modify(|current| *current = Ok(connection.into()));
        Ok(())
    }

    pub(super) fn give_up(&self) {
        self.current.send_modify(|current| *current = Err(none()));
    }

    /// Waits until there is one, for a while.
    pub(super) async fn is_made(&self) -> Result<(), RedisError> {
        let mut current = self.current.subscribe();
        let made = tokio::time::timeout(RECONNECT, current.wait_for(Result::is_ok)).await;
        if made.is_ok() { Ok(()) } else { self.current.borrow().clone().map(drop) }
    }

    /// Waits until there is none, and tells why.
    pub(super) async fn is_cut(&self) -> RedisError {
        let mut current = self.current.subscribe();
        match current.wait_for(Result::is_err).await.as_deref() {
            Ok(Err(error)) => error.clone(),
            // The sender is here.
            Ok(Ok(_)) | Err(_) => none(),
        }
    }

    /// Runs a script to its end, whether or not anybody waits for it; holds `turn` until then.
    pub(super) async fn run(
        &self,
        call: ScriptInvocation<'static>,
        turn: impl Send + 'static,
    ) -> Result<Value, RedisError> {
        let this = self.clone();
        let run = self.runtime.spawn(async move {
            let _turn = turn;
            let connection = this.current.borrow().clone()?;
            let answer = call.invoke_async(&mut MultiplexedConnection::clone(&connection)).await;
            if let Err(error) = &answer
                && is_the_end(error)
            {
                this.end(&connection, error);
            }
            answer
        });
        run.await.unwrap_or_else(|_| Err((ErrorKind::Client, "the journal is closed").into()))
    }

    fn end(&self, connection: &Arc<MultiplexedConnection>, why: &RedisError) {
        self.current.send_if_modified(|current| {
            // There may be another by now.
            let is_it = current.as_ref().is_ok_and(|current| Arc::ptr_eq(current, connection));
            if is_it {
                *current = Err(why.clone());
            }
            is_it
        });
    }
}

fn none() -> RedisError {
    (ErrorKind::Io, "there is no connection to it").into()
}

/// Whether a connection is good for nothing after this: it may never answer again, or lead to a
/// server that is no longer the one to ask.
fn is_the_end(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_unrecoverable_error()
        || error.kind() == ErrorKind::Server(ReadOnly)
}
