//! Ending sessions: `DELETE /users/{id}/streams` and `POST /revocations`.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use serde::Deserialize;

use super::{body, caller::Caller, error::Error, params::user_in_path, publish};
use crate::{
    grants::user_channel,
    hub::Hub,
    revocations::{MAX_TOKEN_ID_BYTES, Notice},
};

/// `DELETE /users/{id}/streams`, for those who may publish to the user.
pub(super) async fn log_out(
    req: HttpRequest,
    hub: Data<Hub>,
    caller: Caller,
) -> Result<HttpResponse, Error> {
    let user = user_in_path(&req)?;
    let channel = user_channel(&user).map_err(Error::invalid)?;
    caller.may_publish(std::slice::from_ref(&channel))?;
    // It is an event to all nodes.
    publish::count(&req, &hub, &caller, 1)?;
    hub.log_out(&user).await.map_err(Error::Publish)?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /revocations`, for those who are granted to publish to `herald/revocations` by name.
pub(super) async fn revoke(
    hub: Data<Hub>,
    caller: Caller,
    body: Payload,
) -> Result<HttpResponse, Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Token {
        jti: String,
        exp: u64,
    }
    caller.may_publish(&[Notice::channel()])?;
    let body = body::read(body, hub.config().limits.body_bytes).await?;
    let Token { jti, exp } = serde_json::from_slice(&body).map_err(|error| {
        Error::Invalid(format!(
            "{error}; send the token's id and end, such as {{\"jti\":\"…\",\"exp\":1790000000}}"
        ))
    })?;
    if jti.is_empty() || jti.len() > MAX_TOKEN_ID_BYTES {
        return Err(Error::Invalid(format!("jti must have 1 to {MAX_TOKEN_ID_BYTES} bytes")));
    }
    hub.revoke(&jti, exp).await.map_err(Error::Publish)?;
    Ok(HttpResponse::NoContent().finish())
}
