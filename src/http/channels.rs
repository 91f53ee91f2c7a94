//! What is known of channels: `GET /channels…`.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde::Deserialize;

use super::{
    caller::Caller,
    error::Error,
    params::{self, channel_in_path},
};
use crate::{
    channel::Channel,
    hub::Hub,
    listing::{ChannelPage, ChannelQuery},
};

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
    let Words { prefix, after, limit } = params::query(&req)?;
    let limit = match limit {
        Some(text) => params::number("limit", &text, 1, MAX_LIMIT)? as usize,
        None => 100,
    };
    // One more than wanted tells whether there are more.
    let query = ChannelQuery { prefix, after, limit: limit + 1 };
    let mut page = shown_to(&caller, &hub, query).await?;
    page.more = page.channels.len() > limit;
    page.channels.truncate(limit);
    Ok(HttpResponse::Ok().json(page))
}

/// A page without the channels that `caller` may not subscribe to.
async fn shown_to(
    caller: &Caller,
    hub: &Hub,
    mut query: ChannelQuery,
) -> Result<ChannelPage, Error> {
    let wanted = query.limit;
    let mut shown = Vec::new();
    loop {
        let mut page = hub.channels(query.clone()).await.map_err(Error::Journal)?;
        let last = page.channels.last().map(|info| info.channel.to_string());
        shown.extend(page.channels.drain(..).filter(|info| caller.sees(&info.channel)));
        match last {
            Some(last) if page.more && shown.len() < wanted => query.after = last,
            _ => return Ok(ChannelPage { channels: shown, ..page }),
        }
        // Few are shown: look further at a time.
        query.limit = (2 * query.limit).min(MAX_LIMIT as usize);
    }
}

/// `GET /channels/{channel}`
pub(super) async fn one(
    req: HttpRequest,
    hub: Data<Hub>,
    caller: Caller,
) -> Result<HttpResponse, Error> {
    let channel = Channel::parse(&channel_in_path(&req)?).map_err(Error::invalid)?;
    caller.may_subscribe(&channel.clone().into())?;
    let info = hub.channel(channel).await.map_err(Error::Journal)?;
    Ok(HttpResponse::Ok().json(info))
}
