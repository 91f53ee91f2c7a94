//! What is known of channels: `GET /channels…`.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde::Deserialize;

use super::{
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
pub(super) async fn list(req: HttpRequest, hub: Data<Hub>) -> Result<HttpResponse, Error> {
    let Words { prefix, after, limit } = params::query(&req)?;
    let limit = match limit {
        Some(text) => params::number("limit", &text, 1, MAX_LIMIT)?,
        None => 100,
    };
    let query = ChannelQuery { prefix, after, limit: limit as usize };
    let page = hub.channels(query).await.map_err(Error::Journal)?;
    Ok(HttpResponse::Ok().json(page))
}

/// `GET /channels/{channel}`
pub(super) async fn one(req: HttpRequest, hub: Data<Hub>) -> Result<HttpResponse, Error> {
    let channel = Channel::parse(&channel_in_path(&req)?).map_err(Error::invalid)?;
    let info = hub.channel(channel).await.map_err(Error::Journal)?;
    Ok(HttpResponse::Ok().json(info))
}
