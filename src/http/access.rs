//! Who may do what on a server of herald's own.

use actix_web::HttpRequest;
use futures_util::future::{FutureExt, LocalBoxFuture, ready};

#[cfg(feature = "jwt")]
use super::bearer::Bearer;
use crate::grants::Grants;

/// Who may do what.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Access {
    /// Everything, to this machine's own programs and pages; nothing to pages from elsewhere.
    ThisMachine,
    /// Everything, to everybody.
    Anyone,
    /// What their tokens grant.
    #[cfg(feature = "jwt")]
    Bearer(Bearer),
}

impl Access {
    /// A handler for [`configure`](super::configure).
    #[cfg_attr(not(feature = "jwt"), expect(unused_variables, reason = "only tokens are read"))]
    pub(crate) fn grants(
        self,
    ) -> impl Fn(HttpRequest) -> LocalBoxFuture<'static, Result<Grants, actix_web::Error>> + Clone
    {
        move |req| match &self {
            Self::ThisMachine | Self::Anyone => ready(Ok(Grants::all())).boxed_local(),
            #[cfg(feature = "jwt")]
            Self::Bearer(bearer) => bearer.clone().grants()(req),
        }
    }
}
