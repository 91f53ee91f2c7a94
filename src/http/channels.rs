//! What is known of channels: `GET /channels…`.

use actix_web::{HttpRequest, HttpResponse, http::header, web::Data};
use serde::{Deserialize, Serialize};

use super::{
    caller::Caller,
    error::Error,
    params::{self, channel_in_path},
};
use crate::{channel::Channel, hub::Hub, listing::ChannelQuery};

/// The most channels on a page.
const MAX_LIMIT: u64 = 1_000;

#[derive(Deserialize)]
struct Words {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    after: String,
    limit: Option<String>,
}

/// `GET /channels?prefix=&after=&limit=`
pub(super) async fn list(
    req: HttpRequest,
    hub: Data<Hub>,
    caller: Caller,
) -> Result<HttpResponse, Error> {
    caller.may_come_in()?;
    let Words { prefix, after, limit } = params::query(&req)?;
    let limit = match limit {
        Some(text) => params::number("limit", &text, 1, MAX_LIMIT)? as usize,
        None => 100,
    };
    let query = ChannelQuery { prefix, after, limit };
    let page = hub.channels_as(query, |channel| caller.sight(channel)).await;
    Ok(answer(&page.map_err(Error::Journal)?))
}

/// `GET /channels/{channel}`
pub(super) async fn one(
    req: HttpRequest,
    hub: Data<Hub>,
    caller: Caller,
) -> Result<HttpResponse, Error> {
    let channel = Channel::parse(&channel_in_path(&req)?).map_err(Error::invalid)?;
    caller.may_subscribe(&channel.clone().into())?;
    let sight = caller.sight(&channel);
    let info = hub.channel_as(channel, sight).await.map_err(Error::Journal)?;
    Ok(answer(&info))
}

/// What one caller may see is not for another's cache.
fn answer(json: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(json)
}
